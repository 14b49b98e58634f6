"""The window, the mask, and what holds for the observation of any view."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_rl.core.errors import InfeasibleTaskError
from lepton_rl.core.intake import Intake
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.rules.reservation import reserve
from lepton_rl.core.tasks import Task
from lepton_rl.encoding.features import (
    CANDIDATE_FEATURES,
    CLUSTER_FEATURES,
    NODE_FEATURES,
    TASK_FEATURES,
)
from lepton_rl.encoding.observation import Observation, empty_observation, encode
from lepton_rl.encoding.workspace import encoder_workspace
from lepton_rl.envs.spaces import observation_of, observation_space
from tests.builders import Desk, batch_job
from tests.encoding.views import cluster_features, look, shown, spoiled, task_features
from tests.episodes import frozen
from tests.scenarios import FIXED_NODES, LABELS, MODELS

CLUSTER = Cluster(FIXED_NODES)
POOL = Cluster.pool(4)
OUTSIDE = CLUSTER_FEATURES.index("outside_window")


def queue(count: int) -> Desk:
    """`t0`, `t1`, ... pending in this order, one second apart."""
    desk = Desk(POOL, [batch_job(f"t{i}", 1, 10 + i, submit_s=i) for i in range(max(count, 1))])
    desk.at(count)
    desk.submit(*(f"t{i}" for i in range(count)))
    return desk


def test_empty_buffers_are_zero_and_show_nothing() -> None:
    obs = empty_observation(2, 3, 5)

    assert obs.tasks.shape == (2, 3, len(TASK_FEATURES))
    assert obs.nodes.shape == (2, 5, len(NODE_FEATURES))
    assert obs.cluster.shape == (2, len(CLUSTER_FEATURES))
    assert obs.action_mask.shape == (2, 4)
    assert obs.candidates.shape == (2, 0, len(CANDIDATE_FEATURES))
    assert [each.dtype.name for each in obs] == [*["float32"] * 4, "bool", "int64"]
    assert not any(values.any() for values in obs[:-1])
    assert (obs.window == -1).all()


def test_all_pending_tasks_are_shown_in_order_of_arrival() -> None:
    desk = Desk(POOL, [batch_job("late", 1, 9, 5), batch_job("early", 1, 9, 1)])
    desk.at(6)
    desk.submit("late", "early")
    obs = look(desk, slots=2)

    assert shown(desk, obs) == ["early", "late"]
    assert [task_features(desk, obs, each)["rank"] for each in ("early", "late")] == [0, 0.5]


def test_empty_slots_are_zero_and_masked() -> None:
    obs = look(queue(2), slots=4)

    assert obs.window[0].tolist() == [0, 1, -1, -1]
    assert obs.action_mask[0].tolist() == [True, True, False, False, False]
    assert not obs.tasks[0, 2:].any()
    assert obs.tasks[0, :2].any(axis=1).all()


@pytest.mark.parametrize("slots", [2, 3, 4, 5])
@pytest.mark.parametrize("pending", range(9))
def test_what_does_not_fit_leaves_out_the_middle(slots: int, pending: int) -> None:
    obs = look(queue(pending), slots=slots)

    oldest = (slots + 1) // 2
    everyone = list(range(pending))
    expected = everyone if pending <= slots else everyone[:oldest] + everyone[-(slots - oldest) :]
    empty = slots - len(expected)
    assert obs.window[0].tolist() == expected + [-1] * empty
    assert obs.action_mask[0, :-1].tolist() == [True] * len(expected) + [False] * empty
    ranks = obs.tasks[0, : len(expected), TASK_FEATURES.index("rank")]
    np.testing.assert_allclose(ranks, [i / pending for i in expected], rtol=1e-6)
    left_out = (pending - len(expected)) / pending if pending else 0
    assert obs.cluster[0, OUTSIDE] == pytest.approx(left_out)


def test_the_window_follows_arrivals_and_departures() -> None:
    """Six tasks arrive one after another and leave oldest first: what is shown is never stale."""
    desk = Desk(POOL, [batch_job(f"t{i}", 1, 10, submit_s=i) for i in range(6)])
    obs, work = spoiled(3, 1), encoder_workspace(desk.view.nodes, 1, 3)
    seen = []

    def see() -> None:
        encode(desk.view, 0, False, obs, work)
        seen.append([int(local) for local in obs.window[0] if local >= 0])

    for i in range(6):
        desk.at(i)
        desk.submit(f"t{i}")
        see()
    for i in range(6):
        desk.withdraw(f"t{i}")
        see()

    assert seen == [
        [0], [0, 1], [0, 1, 2], [0, 1, 3], [0, 1, 4], [0, 1, 5],
        [1, 2, 5], [2, 3, 5], [3, 4, 5], [4, 5], [5], [],
    ]  # fmt: skip
    assert not obs.tasks.any()


def test_means_are_of_all_pending_tasks_not_only_of_those_shown() -> None:
    """Requested times 10 .. 15 s; the window shows 10, 11 and 15."""
    obs = look(queue(6), slots=3)

    mean = cluster_features(obs)["mean_requested_time"]
    assert mean == pytest.approx(np.log10(1 + 12.5) / 6)
    to_mean = obs.tasks[0, :, TASK_FEATURES.index("requested_time_to_mean")]
    np.testing.assert_allclose(to_mean, np.log10(np.array([10, 11, 15]) / 12.5) / 4, rtol=1e-5)


@pytest.mark.parametrize("may_wait", [False, True])
@pytest.mark.parametrize("pending", [0, 1, 5])
def test_waiting_is_offered_as_told(pending: int, may_wait: bool) -> None:
    obs = look(queue(pending), slots=4, may_wait=may_wait)

    assert bool(obs.action_mask[0, -1]) is may_wait
    assert obs.action_mask[0, :-1].sum() == min(pending, 4)


def test_other_environments_of_the_batch_are_left_alone() -> None:
    obs, view = spoiled(2, 1, batch=2), queue(3).view
    encode(view, 0, True, obs, encoder_workspace(view.nodes, 2, 2))

    for values in (obs.tasks[1], obs.nodes[1], obs.cluster[1], obs.window[1]):
        assert (values == 77).all()
    assert obs.action_mask[1].all()


# --- any view ------------------------------------------------------------------------------------

times = st.one_of(
    st.sampled_from((1e-6, 1.0, 1e11)), st.floats(1e-6, 1e11), st.integers(1, 100).map(float)
)
tasks_drawn = st.builds(
    partial(Task, "unnamed"),
    demand=st.fixed_dictionaries(
        {"cpu": st.sampled_from((0.001, 0.25, 1, 4, 6))},
        optional={
            "memory": st.sampled_from((0.5, 4, 8)),
            "gpu": st.sampled_from((0.001, 0.334, 0.5, 1, 2)),
            "fpga": st.sampled_from((0.5, 1)),
        },
    ),
    requested_time_s=times,
    submit_time_s=st.one_of(st.sampled_from((0.0, 1e11)), st.floats(0, 100)),
    num_replicas=st.sampled_from((1, 1, 2, 3)),
    urgency=st.one_of(st.floats(-20, 20), st.sampled_from((-1e300, 1e300))),
    critical=st.booleans(),
    required_labels=st.sets(st.sampled_from(LABELS), max_size=1),
    device_models=st.sets(st.sampled_from(MODELS), max_size=1),
    exclusive_node=st.booleans(),
)


@st.composite
def desks(draw: st.DrawFn) -> Desk:
    """Some tasks run, some of them beyond their estimates, some are pending, some hold nodes."""
    intake, tasks = Intake(CLUSTER), list[Task]()
    for task in draw(st.lists(tasks_drawn, min_size=1, max_size=10)):
        named = replace(task, id=f"t{len(tasks)}")
        try:
            intake.table([named])
        except InfeasibleTaskError:
            continue
        tasks.append(named)
    tasks = tasks or [Task("t0", {"cpu": 1}, 1.0)]
    tasks.sort(key=lambda task: task.submit_time_s)
    desk = Desk(CLUSTER, tasks)
    for task in tasks:
        desk.at(task.submit_time_s)
        desk.submit(task.id)
        if draw(st.booleans()) and desk.choose(task.id):
            desk.enter(task.id)
    desk.at(tasks[-1].submit_time_s + draw(st.one_of(st.just(0.0), times)))
    if draw(st.booleans()):
        reserve(desk.view, desk.scratch, 0)
    return desk


slot_counts = st.integers(2, 6)


@settings(deadline=None, max_examples=150)
@given(desks(), slot_counts, st.booleans())
def test_every_observation_lies_in_the_space(desk: Desk, slots: int, may_wait: bool) -> None:
    obs = look(desk, slots=slots, may_wait=may_wait)

    space = observation_space(obs)
    single = {name: values[0] for name, values in observation_of(obs).items()}
    assert space.contains(single)
    assert all(np.isfinite(values).all() for values in single.values())


@settings(deadline=None, max_examples=100)
@given(desks(), slot_counts, st.booleans())
def test_window_mask_and_features_agree(desk: Desk, slots: int, may_wait: bool) -> None:
    obs = look(desk, slots=slots, may_wait=may_wait)

    occupied = obs.window[0] >= 0
    visible = [each for each in shown(desk, obs) if each is not None]
    assert obs.action_mask[0].tolist() == [*occupied.tolist(), may_wait]
    assert not obs.tasks[0, ~occupied].any()
    assert visible == [each for each in desk.pending if each in visible], "by arrival, each once"
    assert len(visible) == min(slots, len(desk.pending))
    for each in visible:
        critical = desk.view.tasks["critical"][desk.local[each]]
        assert task_features(desk, obs, each)["critical"] == bool(critical)


@settings(deadline=None, max_examples=60)
@given(desks(), slot_counts, st.booleans())
def test_encoding_never_writes_to_the_view(desk: Desk, slots: int, may_wait: bool) -> None:
    before = frozen(desk.view)
    look(desk, slots=slots, may_wait=may_wait)

    assert frozen(desk.view) == before


@settings(deadline=None, max_examples=60)
@given(desks(), slot_counts)
def test_encoding_twice_gives_the_same(desk: Desk, slots: int) -> None:
    assert frozen(look(desk, slots=slots)) == frozen(look(desk, slots=slots))


def distinct_arrivals(count: int) -> list[Task]:
    """Tasks of all sorts, one second apart."""
    kinds = [{"cpu": 1}, {"cpu": 2, "gpu": 0.5}, {"cpu": 1, "memory": 4}, {"fpga": 1}]
    gangs = [1, 2, 1, 1]
    return [
        Task(f"t{i}", kinds[i % 4], 10.0 + i, float(i), num_replicas=gangs[i % 4])
        for i in range(count)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_rows_of_the_task_table_may_stand_in_any_order(seed: int) -> None:
    """What a task looks like depends on when it arrived, not on where its record stands."""
    tasks = distinct_arrivals(9)
    shuffled = [tasks[i] for i in np.random.default_rng(seed).permutation(9)]

    def seen(order: list[Task]) -> tuple[list[str | None], Observation]:
        desk = Desk(CLUSTER, order)
        desk.run("t0", "t1")
        desk.at(10)
        desk.submit(*(f"t{i}" for i in range(2, 9)))
        obs = look(desk, slots=5)
        return shown(desk, obs), obs

    (ids, obs), (ids_shuffled, obs_shuffled) = seen(tasks), seen(shuffled)
    assert ids == ids_shuffled == ["t2", "t3", "t4", "t7", "t8"]
    assert frozen(obs[:-1]) == frozen(obs_shuffled[:-1])


@pytest.mark.parametrize("order", [(1, 2, 0), (2, 1, 0), (0, 2, 1)])
def test_nodes_in_another_order_look_the_same(order: tuple[int, ...]) -> None:
    """Rows of `nodes` move along, and nothing else changes."""

    def seen(nodes: list[int]) -> Observation:
        desk = Desk(Cluster(tuple(FIXED_NODES[m] for m in nodes)), distinct_arrivals(6))
        desk.run("t3")  # only the big node has an FPGA
        desk.at(10)
        desk.submit("t0", "t1", "t2", "t4", "t5")
        return look(desk, slots=5)

    one, other = seen([0, 1, 2]), seen(list(order))
    np.testing.assert_array_equal(one.nodes[0, list(order)], other.nodes[0])
    assert frozen((one.tasks, one.cluster)) == frozen((other.tasks, other.cluster))
