"""Predictions in the live system: policies see them, executors never do."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from lepton_rl.core.errors import ConfigError
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.policies.registry import heuristic
from lepton_rl.prediction import LiveEstimates, PredictionConfig, predicted_workload
from lepton_rl.sim.replay import replay
from lepton_rl.system import Failures, Scheduler, SimulatedExecutor
from lepton_rl.system.estimates import PREDICTION_ERROR, Estimator
from lepton_rl.system.journal import Journal
from lepton_rl.system.life import Entry
from lepton_rl.workloads.workload import Workload
from tests.prediction.small import Job, workload_of

POOL = Cluster.pool(8)
LAST_TWO = PredictionConfig(kind="last-two")


@dataclass
class Told:
    """Predicts what it is told to, and writes down what it hears."""

    predictions: dict[str, float] = field(default_factory=dict)
    arrived: list[str] = field(default_factory=list)
    heard: dict[str, float | None] = field(default_factory=dict)

    def submitted(self, task: Task) -> float:
        self.arrived.append(task.id)
        return self.predictions.get(task.id, task.requested_time_s)

    def ended(self, task_id: str, run_time_s: float | None) -> None:
        self.heard[task_id] = run_time_s


def job(name: str, run_s: float, submit_s: float = 0, cpu: float = 8, **more: object) -> Task:
    return Task(name, {"cpu": cpu}, 100, submit_s, run_s, **more)  # type: ignore[arg-type]


def seen_s(system: Scheduler, task_id: str) -> float:
    """What the rules see."""
    row = system.queue.local_of(task_id)
    return float(system.assess().tasks["requested_us"][row]) / 1e6


def test_policies_see_predictions_and_executors_the_users_limit() -> None:
    """`y` is predicted to be the shorter one, though both ask for 100 s and y takes longer."""
    told = Told({"x": 50, "y": 5})
    executor = SimulatedExecutor(enforce_requested_time=True)
    system = Scheduler(POOL, heuristic("sjf"), executor, prediction=told)
    system.submit_all([job("x", 60), job("y", 90)])
    system.step()

    assert [task.id for task in system.queue.running] == ["y"]
    assert seen_s(system, "x") == 50
    assert system.queue.entry("y").task.requested_time_s == 100
    system.run()
    assert system.state_of("y") is TaskState.COMPLETED, "not stopped when it outlived 5 s"
    assert system.schedule().start_us.tolist() == [90_000_000, 0]


def test_a_task_is_predicted_when_it_arrives() -> None:
    """Not when it is submitted: the two that end before it arrives are known by then."""
    system = Scheduler(POOL, heuristic("fcfs"), prediction=LiveEstimates(LAST_TWO))
    tasks = [job("x", 10, 0, tenant="ada"), job("y", 30, 0, tenant="ada")]
    system.submit_all([*tasks, job("z", 30, 41, tenant="ada"), job("w", 30, 41, tenant="bob")])
    system.run_until(41)

    assert seen_s(system, "z") == (10 + 30) / 2
    assert seen_s(system, "w") == 100


def test_what_ends_at_this_very_instant_is_not_known_yet() -> None:
    """As in `predict_online`."""
    system = Scheduler(POOL, heuristic("fcfs"), prediction=LiveEstimates(LAST_TWO))
    first = [job("x", 10, cpu=4, tenant="ada"), job("y", 20, cpu=4, tenant="ada")]
    system.submit_all([*first, job("at", 30, 20, tenant="ada"), job("after", 1, 21, tenant="ada")])
    system.run_until(21)

    assert seen_s(system, "at") == 100
    assert seen_s(system, "after") == (10 + 20) / 2


def test_only_one_whole_run_teaches_and_at_speed_1() -> None:
    cluster = Cluster((Node("fast", {"cpu": 8}, speed_factors={"": 2.0}),))
    told = Told()
    executor = SimulatedExecutor(Failures(after_s={"retried": [1], "failed": [3]}))
    system = Scheduler(cluster, heuristic("fcfs"), executor, prediction=told)
    speed = cluster.nodes[0].speed_of("")
    system.submit_all(
        [
            job("whole", 10),
            job("retried", 10, max_retries=1),
            job("failed", 10),
            job("cancelled", 10),
            job("doomed", 10, depends_on=("failed",)),
        ]
    )
    system.run_until(0)
    system.cancel("cancelled")
    system.run()

    assert told.heard == {
        "whole": 10,
        "retried": None,
        "failed": pytest.approx(3 * speed),
        "cancelled": None,
        "doomed": None,
    }
    assert "doomed" not in told.arrived


@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.0, -1.0])
def test_a_prediction_that_is_no_run_time(bad: float) -> None:
    strict = Scheduler(POOL, heuristic("fcfs"), prediction=Told({"x": bad}))
    strict.submit(job("x", 10))
    with pytest.raises(ConfigError, match="task 'x': expected a finite run time > 0 s, got"):
        strict.run()

    lenient = Scheduler(POOL, heuristic("fcfs"), prediction=Told({"x": bad}), strict=False)
    lenient.submit(job("x", 10))
    lenient.run_until(1)
    assert seen_s(lenient, "x") == 100
    assert lenient.monitor.incidents == {PREDICTION_ERROR: 1}


def test_a_predictor_that_fails_loses_no_task() -> None:
    class Fails(Told):
        def submitted(self, task: Task) -> float:
            raise RuntimeError("no")

        def ended(self, task_id: str, run_time_s: float | None) -> None:
            raise RuntimeError("no")

    system = Scheduler(POOL, heuristic("fcfs"), prediction=Fails(), strict=False)
    system.submit_all([job("x", 10), job("y", 10)])
    system.run()

    assert system.monitor.outcomes == {"completed": 2}
    assert system.monitor.incidents == {PREDICTION_ERROR: 4}


def test_tasks_taken_up_from_a_journal_are_predicted(tmp_path: Path) -> None:
    def scheduler(told: Told) -> tuple[Scheduler, Journal]:
        journal = Journal.open(tmp_path / "journal.db")
        return Scheduler(POOL, heuristic("fcfs"), journal=journal, prediction=told), journal

    first, journal = scheduler(Told())
    first.submit_all([job("x", 10), job("y", 10)])
    first.step()
    journal.close()
    second, journal = scheduler(Told({"x": 42, "y": 43}))
    second.step()
    journal.close()

    assert {seen_s(second, "x"), seen_s(second, "y")} == {42, 43}


def test_what_the_user_asked_for_stays_in_the_record() -> None:
    record = (
        np.full(1, 100_000_000, np.int64)
        .repeat(2)
        .view([("requested_us", np.int64), ("limit_us", np.int64)])
    )
    entry = Entry(job("x", 10), 0, 0, record)

    Estimator(Told({"x": 7}), pytest.fail).arriving(entry)

    assert entry.record[0].tolist() == (7_000_000, 100_000_000)


def test_a_restarted_scheduler_can_be_told_the_past(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal.db")
    system = Scheduler(POOL, heuristic("fcfs"), journal=journal)
    system.submit_all([job(name, run_s, tenant="ada") for name, run_s in (("x", 10), ("y", 30))])
    system.submit(job("cancelled", 90, tenant="ada"))
    system.run_until(50)
    system.cancel("cancelled")
    system.run()
    journal.close()

    estimates = LiveEstimates(LAST_TWO)
    with Journal.open(tmp_path / "journal.db") as journal:
        assert estimates.learn_past(journal.history()) == 2

    assert estimates.submitted(job("z", 1, tenant="ada")) == (10 + 30) / 2


def random_workload(count: int, seed: int) -> Workload:
    rng = np.random.default_rng(seed)
    return workload_of(
        sorted(
            Job(
                submit=int(rng.integers(0, 20 * count)),
                run=int(rng.integers(1, 400)),
                requested=int(rng.choice([400, 800])),
                wait=int(rng.integers(0, 60)),
                tenant=str(rng.choice(["", "ada", "bob"])),
                size=int(rng.choice([1, 2, 8])),
            )
            for _ in range(count)
        )
    )


@pytest.mark.parametrize("policy", ["sjf+easy", "fcfs+easy"])
def test_replaying_a_workload_with_predictions(policy: str) -> None:
    """The system does what the simulator does, and its tasks have their users' limits."""
    workload = random_workload(200, seed=3)
    seen = predicted_workload(workload, LAST_TWO)
    system = Scheduler(seen.cluster, heuristic(policy))
    system.submit_all(seen)
    limits = [system.queue.entry(name).task.requested_time_s for name in seen.ids.tolist()]
    system.run()

    rule = heuristic(policy).rule
    simulated = replay(seen.tasks, seen.run_us, seen.cluster, rule).start_us
    without = replay(workload.tasks, workload.run_us, workload.cluster, rule).start_us
    assert system.schedule().start_us.tolist() == simulated.tolist()
    assert (simulated != without).any(), "else the test proves nothing"
    assert limits == (workload.tasks["requested_us"] / 1e6).tolist()


def test_a_replayed_workload_has_its_tenants() -> None:
    workload = random_workload(20, seed=4)
    system = Scheduler(workload.cluster, heuristic("fcfs"))
    system.submit_all(workload)

    assert workload.tenants is not None
    tenants = [system.queue.entry(name).task.tenant for name in workload.ids.tolist()]
    assert tenants == workload.tenants.tolist()
    assert len(set(tenants)) == 3


def test_a_live_predictor_goes_before_predictions_of_the_workload() -> None:
    seen = predicted_workload(random_workload(20, seed=4), LAST_TWO)
    told = Told(dict.fromkeys(seen.ids.tolist(), 77.0))
    system = Scheduler(seen.cluster, heuristic("fcfs"), prediction=told)
    system.submit_all(seen)
    system.step()

    assert seen_s(system, str(seen.ids[0])) == 77
