from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from lepton_rl.core.errors import WorkloadError
from lepton_rl.workloads.node_lists import read_nodes
from lepton_rl.workloads.sources import describe_cluster, open_workload
from tests.workloads.files import write

SPOT = ("gpu_model,gpu_capacity_num,cpu_num,node_name", "A10,1,128,7", "H800,8,192,8")


def test_spot_nodes(tmp_path: Path) -> None:
    cluster = read_nodes(write(tmp_path, "nodes.csv", *SPOT))
    assert [node.name for node in cluster.nodes] == ["7", "8"]
    assert cluster.nodes[1].capacity == {"cpu": 192, "gpu": 8}
    assert cluster.nodes[0].device_model == "A10"
    assert describe_cluster(cluster) == {
        "nodes": 2,
        "capacity": {"cpu": 320.0, "gpu": 9.0},
        "device_models": {"A10": 1, "H800": 1},
    }


def test_a_cluster_in_yaml(tmp_path: Path) -> None:
    path = write(tmp_path, "c.yaml", "nodes: [{name: n, count: 2, capacity: {gpu: 4}}]")
    assert len(read_nodes(path).nodes) == 2


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match=r"expected the header of a node list \(openb: sn, "):
        read_nodes(write(tmp_path, "a.csv", "name,cpu", "n,1"))
    path = write(tmp_path, "b.csv", SPOT[0], "A10,64,128,7")
    with pytest.raises(WorkloadError, match=r"line 2: field 'gpu_capacity_num' must be .* to 63"):
        read_nodes(path)
    with pytest.raises(WorkloadError, match=r"c\.csv: cluster: two nodes are named '7'"):
        read_nodes(write(tmp_path, "c.csv", *SPOT[:2], SPOT[1]))
    with pytest.raises(WorkloadError, match=r"this is a node list \(spot2026\), not tasks"):
        open_workload(write(tmp_path, "d.csv", *SPOT))


def test_the_public_lists(trace_dir: Path) -> None:
    spot = read_nodes(trace_dir / "openb" / "spot2026_node_info_df.csv.gz")
    assert len(spot.nodes) == 4278
    assert Counter(node.device_model for node in spot.nodes)["A100-SXM4-80GB"] == 432
    nodes = read_nodes(trace_dir / "openb" / "openb_node_list_all_node.csv")
    assert len(nodes.nodes) == 1523
    cards: Counter[str] = Counter()
    for node in nodes.nodes:
        cards[node.device_model] += int(node.capacity["gpu"])
    assert cards == {
        "": 0, "G2": 4392, "T4": 842, "P100": 265, "G3": 312, "V100M16": 195, "V100M32": 204,
        "A10": 2,
    }  # fmt: skip
    assert len(read_nodes(trace_dir / "gpu" / "tiresias_cluster_spec.csv").nodes) == 16


def test_pods_on_nodes_that_do_not_state_their_memory(trace_dir: Path) -> None:
    pods = trace_dir / "openb" / "openb_pod_list_default.csv.gz"
    workload = open_workload(pods, settings={"nodes": "spot2026_node_info_df.csv.gz"})
    assert len(workload) == 8152
    assert workload.skipped["no node says its memory: demand left away"] == 8151
