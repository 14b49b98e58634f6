from __future__ import annotations

import numpy as np

from lepton_rl.workloads.gpu_pools import (
    GpuPoolSettings,
    gang_demand,
    gpu_pool,
    typed_pool,
    whole_node_gangs,
)


def test_jobs_wider_than_a_node_become_whole_nodes() -> None:
    skipped: dict[str, int] = {}
    cards, replicas = whole_node_gangs(np.array([0, 1, 4, 5, 8, 9, 13]), 4, skipped)
    assert cards.tolist() == [0, 1, 4, 4, 4, 4, 4]
    assert replicas.tolist() == [1, 1, 1, 2, 2, 3, 4]
    assert skipped == {"not a whole number of nodes: rounded up to whole nodes": 3}
    demand, _ = gang_demand(np.array([3]), 4, skipped)
    assert demand["gpu"].tolist() == [3000]


def test_pools() -> None:
    pool = gpu_pool(GpuPoolSettings(nodes=3, cards_per_node=2))
    assert [node.capacity for node in pool.nodes] == [{"gpu": 2}] * 3
    typed = typed_pool({"old": 1, "new": 2}, 4, {"old": {}, "new": {"train": 2.0}})
    assert [node.name for node in typed.nodes] == ["old-0", "new-0", "new-1"]
    assert [node.device_model for node in typed.nodes] == ["old", "new", "new"]
    assert [node.speed_of("train") for node in typed.nodes] == [1, 2, 2]
