"""Replay: what a candidate would have done with the tasks of a journal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lepton_rl.core.errors import WorkloadError
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.tasks import Task
from lepton_rl.evaluate.contenders import HeuristicContender
from lepton_rl.evaluate.metrics import waits_s
from lepton_rl.evaluate.replaying import RECORDED, compare_blocks, from_journal
from lepton_rl.evaluate.statistics import Bootstrap, Verdict
from lepton_rl.policies.registry import heuristic, rule_of
from lepton_rl.system import Scheduler
from lepton_rl.system.journal import Journal

BOOTSTRAP = Bootstrap(resamples=2000)


def worked(path: Path, policy: str, count: int = 200) -> Path:
    """A journal of a simulated scheduler that has done its work."""
    rng = np.random.default_rng(0)
    with Journal.open(path) as journal:
        system = Scheduler(Cluster.pool(8), heuristic(policy), journal=journal)
        for number in range(count):
            run_s = float(rng.choice([10.0, 50.0, 700.0]))
            task = Task(f"t{number}", {"cpu": int(rng.integers(1, 6))}, run_s, 30.0 * number,
                        run_time_s=run_s, preemptible=False)  # fmt: skip
            system.submit(task)
        system.submit(Task("gone", {"cpu": 1}, 5.0, 1e6, run_time_s=5.0))
        system.cancel("gone")
        system.run()
    return path


def replayed(path: Path, spec: str, last: int | None = None):  # type: ignore[no-untyped-def]
    with Journal.open(path, read_only=True) as journal:
        found = from_journal(journal, last)
    work = found.workload
    contender = HeuristicContender(spec, rule_of(spec))
    return found, contender.schedule(work, work.cluster, Backfill.NONE)


def test_the_policy_that_acted_does_the_same_again(tmp_path: Path) -> None:
    found, schedule = replayed(worked(tmp_path / "j.db", "fcfs"), "fcfs")

    np.testing.assert_array_equal(schedule.start_us, found.schedule.start_us)
    np.testing.assert_array_equal(schedule.end_us, found.schedule.end_us)
    assert found.workload.skipped == {"did not complete": 1}
    compared = compare_blocks(schedule, found.schedule, RECORDED, 10, BOOTSTRAP)
    assert compared.differences["wait_s"].difference == 0.0
    assert compared.differences["wait_s"].verdict is Verdict.NOT_SHOWN


def test_a_better_one_is_found_to_be_better(tmp_path: Path) -> None:
    found, schedule = replayed(worked(tmp_path / "j.db", "ljf"), "sjf")

    compared = compare_blocks(schedule, found.schedule, RECORDED, 20, BOOTSTRAP)

    for difference in compared.differences.values():
        assert difference.verdict is Verdict.BETTER
    ours, theirs = compared.means["wait_s"]
    assert ours == pytest.approx(waits_s(schedule).mean())
    assert ours < theirs


def test_only_the_last_tasks(tmp_path: Path) -> None:
    found, schedule = replayed(worked(tmp_path / "j.db", "fcfs"), "sjf", last=50)

    assert len(found.workload) == len(schedule.start_us) == 50
    assert found.workload.ids[-1] == "t199"
    assert found.schedule.submit_us[0] == 0


def test_a_journal_without_work(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "j.db") as journal:
        with pytest.raises(WorkloadError, match="no cluster is recorded"):
            from_journal(journal)
        Scheduler(Cluster.pool(8), heuristic("fcfs"), journal=journal)
        with pytest.raises(WorkloadError, match="expected tasks that have completed"):
            from_journal(journal)
