"""The published packing results are reproduced on the published traces."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from lepton_rl.core.intake import Intake
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.rules.placement import Place
from lepton_rl.core.tasks import Task
from lepton_rl.evaluate.fgd import ARRIVED, PUBLISHED_PLACES, _arrivals, allocated_share
from lepton_rl.sim.packing import pack
from lepton_rl.workloads.sources import open_workload
from lepton_rl.workloads.workload import Workload

TOLERANCE = 0.7
"""Points of the allocated share by which a mean may differ from the published one."""
WORKLOADS = ("default", "cpu250", "gpushare100", "gpuspec33", "multigpu50")
NO_TIMES = {"multigpu50": {"interval_s": 1.0, "run_time_s": 1.0}}


def published(folder: Path, workload: str) -> dict[str, float]:
    with (folder / "fgd_expected_summary.csv").open(newline="") as file:
        return {
            row["policy"]: float(row["alloc_pct_mean"])
            for row in csv.DictReader(file)
            if row["workload"] == f"openb_pod_list_{workload}" and row["arrived_pct"] == "130"
        }


def pods(folder: Path, workload: str) -> Workload:
    path = folder / f"openb_pod_list_{workload}.csv.gz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    return open_workload(path, settings=NO_TIMES.get(workload, {}))


def check(folder: Path, workload: str, seeds: range) -> None:
    opened, expected = pods(folder, workload), published(folder, workload)
    for name, place in PUBLISHED_PLACES.items():
        found = 100 * np.mean([allocated_share(opened, place, seed) for seed in seeds])
        assert found == pytest.approx(expected[name], abs=TOLERANCE), (workload, name)


def test_one_run_of_each_rule_is_near_the_published_mean(trace_dir: Path) -> None:
    check(trace_dir / "openb", "default", range(1))


@pytest.mark.slow
@pytest.mark.parametrize("workload", WORKLOADS)
def test_means_of_ten_runs_are_the_published_ones(trace_dir: Path, workload: str) -> None:
    check(trace_dir / "openb", workload, range(10))


def small() -> Workload:
    cluster = Cluster((Node("a", {"cpu": 8, "gpu": 2}), Node("b", {"cpu": 8, "gpu": 1})))
    tasks = [
        Task("half", {"gpu": 0.5}, 1, run_time_s=1),
        Task("two", {"gpu": 2}, 1, run_time_s=1),
        Task("one", {"gpu": 1}, 1, run_time_s=1),
    ]
    return Workload.from_tasks("small", cluster, tasks)


def test_who_finds_no_room_is_turned_away_and_others_go_on() -> None:
    work = small()
    nodes = Intake(work.cluster).nodes
    assert pack(work.tasks, nodes, int(Place.FIRST_FIT))[:, 0].tolist() == [0, -1, 0]
    assert pack(work.tasks, nodes, int(Place.GPU_PACKING))[:, 0].tolist() == [1, 0, -1]


def test_tasks_arrive_until_they_ask_for_more_than_there_is() -> None:
    work = small()
    nodes = Intake(work.cluster).nodes
    arriving = _arrivals(work.tasks, nodes, 1, np.random.default_rng(0))
    asked = arriving["demand"][:, 1]
    assert asked.sum() >= ARRIVED * 3000 > asked[:-1].sum()
