"""LearnedPolicy: the same schedule in the Python system as in the simulator it was trained in."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from lepton_rl.core.errors import InfeasibleDecisionError
from lepton_rl.core.intake import node_table
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.policy import Start, Wait
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.rules.placement import Place
from lepton_rl.core.typical import typical_tasks
from lepton_rl.encoding.observation import Observation
from lepton_rl.evaluate.learned import LearnedContender
from lepton_rl.policies.artifact import Artifact, read_artifact
from lepton_rl.policies.learned import LearnedPolicy, load_policy
from lepton_rl.system import Scheduler
from lepton_rl.workloads.lublin import LublinConfig, generate_lublin
from lepton_rl.workloads.workload import Workload
from tests.builders import Desk, batch_job
from tests.scenarios import random_cluster, random_tasks
from tests.trained import network, random_policy_file

BACKFILLS = (Backfill.NONE, Backfill.EASY, Backfill.CONSERVATIVE)


@cache
def artifact() -> Artifact:
    return read_artifact(random_policy_file())


class Fake:
    """An artifact with a network made by hand; keeps what it was asked."""

    def __init__(self, logits: Any, **manifest: Any) -> None:
        self._logits = logits
        self.manifest = artifact().manifest.model_copy(update=manifest)
        self.asked: list[tuple[np.ndarray, ...]] = []

    def logits(self, *inputs: np.ndarray) -> np.ndarray:
        self.asked.append(tuple(each.copy() for each in inputs))
        return np.where(inputs[3], self._logits(*inputs), -np.inf).astype(np.float32)

    def bound_to(self, obs: Observation) -> Callable[[], np.ndarray]:
        return lambda: self.logits(obs.tasks, obs.nodes, obs.cluster, obs.action_mask)


def preferring(sign: float, wait: float = -np.inf) -> Any:
    """Logits by requested time: -1 for the shortest task first, +1 for the longest."""

    def logits(tasks: np.ndarray, *_: np.ndarray) -> np.ndarray:
        scores = sign * tasks[:, :, 0]
        return np.concatenate([scores, np.full((len(scores), 1), wait)], axis=1)

    return logits


@cache
def heterogeneous(seed: int) -> Workload:
    rng = np.random.default_rng(seed)
    cluster = random_cluster(rng)
    return Workload.from_tasks(f"random {seed}", cluster, random_tasks(rng, cluster, 60))


@cache
def pool() -> Workload:
    return generate_lublin(LublinConfig(processors=64, num_tasks=300, load=1.1), 7)


def require_equal_schedules(policy: LearnedPolicy, workload: Workload, backfill: Backfill) -> None:
    typical = typical_tasks(workload.tasks, node_table(workload.cluster))
    system = Scheduler(workload.cluster, policy, typical=typical)
    system.submit_all(workload)
    system.run()
    contender = LearnedContender("learned", policy)
    compiled = contender.schedule(workload, workload.cluster, backfill)
    for name in ("submit_us", "start_us", "end_us", "nodes"):
        np.testing.assert_array_equal(
            getattr(system.schedule(), name), getattr(compiled, name), name
        )


@pytest.mark.parametrize(("place", "backfill"), list(product(Place, BACKFILLS)))
def test_system_and_simulator_agree_on_unlike_nodes(place: Place, backfill: Backfill) -> None:
    policy = LearnedPolicy(artifact(), place, backfill)
    for seed in range(3):
        require_equal_schedules(policy, heterogeneous(seed), backfill)


@pytest.mark.parametrize("backfill", BACKFILLS)
def test_system_and_simulator_agree_on_a_pool(backfill: Backfill) -> None:
    require_equal_schedules(LearnedPolicy(artifact(), backfill=backfill), pool(), backfill)


@pytest.mark.parametrize("backfill", BACKFILLS)
@pytest.mark.parametrize("seed", range(3))
def test_they_agree_too_when_the_policy_may_wait(seed: int, backfill: Backfill) -> None:
    """A task alone in the queue is asked about as well, for the policy may let it wait."""
    waits = []

    def unwilling(tasks: np.ndarray, _: np.ndarray, cluster: np.ndarray, mask: np.ndarray) -> Any:
        logits = preferring(-1.0)(tasks)
        logits[:, -1] = np.where(np.sin(1000 * cluster[:, 5]) > 0, 10.0, -10.0)
        waits.append(bool(mask[0, -1]) and logits[0, -1] > 0)
        return logits

    policy = LearnedPolicy(Fake(unwilling, may_wait=True), backfill=backfill)  # type: ignore[arg-type]

    require_equal_schedules(policy, heterogeneous(seed), backfill)

    assert sum(waits) >= 5


def test_it_matters_what_the_network_says() -> None:
    """The comparisons above would be empty ones if every network made the same schedule."""
    starts = []
    for fake in (Fake(preferring(-1.0)), Fake(preferring(1.0))):
        system = Scheduler(pool().cluster, LearnedPolicy(fake))  # type: ignore[arg-type]
        system.submit_all(pool())
        system.run()
        starts.append(system.schedule().start_us)

    assert not np.array_equal(*starts)


def test_what_the_network_gives_is_what_torch_gives() -> None:
    """On every observation of a run in the real system."""
    asked = []

    class Watched:
        manifest = artifact().manifest

        def bound_to(self, obs: Observation) -> Callable[[], np.ndarray]:
            ask, inputs = artifact().bound_to(obs), (obs.tasks, obs.nodes, obs.cluster)

            def watched() -> np.ndarray:
                found = ask()
                seen = tuple(each.copy() for each in (*inputs, obs.action_mask))
                asked.append((seen, found.copy()))
                return found

            return watched

    system = Scheduler(pool().cluster, LearnedPolicy(Watched()))  # type: ignore[arg-type]
    system.submit_all(pool())
    system.run()

    model = network()
    assert len(asked) > 300
    for (*inputs, mask), found in asked:
        with torch.no_grad():
            expected = model(*map(torch.as_tensor, inputs)).numpy()
        assert np.abs(found[mask] - expected[mask]).max() <= 1e-5


def desk_of(tasks: int, running: int = 0) -> Desk:
    """Four processors; t0, t1, ... ask for 1, 2, 3, 4, 1, ... of them; the first ones run."""
    jobs = [batch_job(f"t{i}", 1 + i % 4, 10.0 + i, submit_s=i) for i in range(tasks)]
    desk = Desk(Cluster.pool(4), jobs)
    desk.at(float(tasks))
    desk.run(*desk.ids[:running])
    desk.submit(*desk.ids[running:])
    return desk


@pytest.mark.parametrize(
    ("pending", "slots"),
    [(1, 2), (2, 2), (3, 4), (4, 4), (5, 8), (128, 128), (129, 256), (4096, 4096), (4099, 4096)],
)
def test_the_window_follows_the_queue(pending: int, slots: int) -> None:
    fake = Fake(preferring(1.0))
    policy = LearnedPolicy(fake)  # type: ignore[arg-type]
    desk = desk_of(pending)

    assert desk.ids[policy.head(desk.view)] == f"t{pending - 1}", "the longest is the newest"

    (tasks, _, _, mask), *_ = fake.asked
    assert tasks.shape[1] == slots
    assert mask[0, :-1].sum() == min(pending, slots)
    assert not mask[0, -1]


def test_a_long_queue_does_not_change_what_a_short_one_gets() -> None:
    """The window shrinks again, so a decision depends on the view alone."""
    fake = Fake(preferring(1.0))
    policy = LearnedPolicy(fake)  # type: ignore[arg-type]
    short = desk_of(3)

    for desk in (short, desk_of(500), short):
        policy.head(desk.view)

    first, _, last = fake.asked
    for one, other in zip(first, last, strict=True):
        np.testing.assert_array_equal(one, other)


def test_one_policy_serves_clusters_of_any_size() -> None:
    policy = load_policy(random_policy_file())
    for seed in range(3):
        work = heterogeneous(seed)
        system = Scheduler(work.cluster, policy)
        system.submit_all(work)
        system.run()
        assert (system.schedule().end_us > 0).all()
    require_equal_schedules(policy, pool(), Backfill.NONE)


@pytest.mark.parametrize("backfill", BACKFILLS)
@pytest.mark.parametrize("place", Place)
def test_the_view_is_left_as_it_is(place: Place, backfill: Backfill) -> None:
    """Whether the head fits, is blocked, or is overtaken."""
    for sign, running in product((-1.0, 1.0), (0, 1, 2)):
        policy = LearnedPolicy(Fake(preferring(sign)), place, backfill)  # type: ignore[arg-type]
        desk = desk_of(8, running)
        before = desk.snapshot()

        policy.decide(desk.view)

        assert desk.snapshot() == before


def test_an_empty_queue_is_not_asked_about() -> None:
    fake = Fake(preferring(1.0))
    desk = desk_of(1, running=1)

    assert LearnedPolicy(fake).decide(desk.view) == Wait()  # type: ignore[arg-type]
    assert fake.asked == []


def test_waiting_is_offered_only_while_something_runs() -> None:
    fake = Fake(preferring(1.0, wait=100.0), may_wait=True)
    policy = LearnedPolicy(fake)  # type: ignore[arg-type]

    assert policy.decide(desk_of(3).view) == Start(2, (0,))
    assert policy.decide(desk_of(3, running=1).view) == Wait()
    assert [bool(mask[0, -1]) for *_, mask in fake.asked] == [False, True]


@pytest.mark.parametrize("value", [np.nan, -np.inf, np.inf], ids=str)
def test_a_network_without_a_preference_is_an_error(value: float) -> None:
    def broken(tasks: np.ndarray, *_: np.ndarray) -> np.ndarray:
        return np.full((1, tasks.shape[1] + 1), value)

    policy = LearnedPolicy(Fake(broken, name="broken"))  # type: ignore[arg-type]

    with pytest.raises(InfeasibleDecisionError, match="policy 'broken': expected a finite logit"):
        policy.decide(desk_of(2).view)
    system = Scheduler(pool().cluster, policy)
    system.submit_all(pool())
    with pytest.raises(InfeasibleDecisionError, match="finite logit"):
        system.run()


def test_rules_as_in_training_unless_told_otherwise() -> None:
    told = Fake(preferring(1.0), place="best-fit", backfill="easy")

    policy = LearnedPolicy(told)  # type: ignore[arg-type]
    other = LearnedPolicy(told, Place.LEAST_LOADED, Backfill.NONE)  # type: ignore[arg-type]

    assert (policy.place, policy.backfill) == (Place.BEST_FIT, Backfill.EASY)
    assert (other.place, other.backfill) == (Place.LEAST_LOADED, Backfill.NONE)
    assert policy.name == "random"
    policy.reset()
