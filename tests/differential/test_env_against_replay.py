"""An environment whose agent names what a heuristic puts first schedules as that heuristic does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.rules.dispatch import DispatchRule
from lepton_rl.core.rules.orders import first_in_order
from lepton_rl.envs.config import EnvironmentConfig
from lepton_rl.envs.episodes import Episodes
from lepton_rl.envs.single import SchedulingEnv
from lepton_rl.policies.registry import BASELINES, heuristic
from lepton_rl.sim.reference import heuristic_actions
from lepton_rl.sim.replay import replay
from lepton_rl.workloads.lublin import LublinConfig, generate_lublin
from lepton_rl.workloads.splits import Split
from lepton_rl.workloads.swf import read_swf
from lepton_rl.workloads.workload import Workload
from tests.episodes import simulator, starts_us

LENGTH = 128
SPECS = [f"{order}{backfill}" for order in BASELINES for backfill in ("", "+easy")]
GENERATED = generate_lublin(
    LublinConfig(
        processors=64, num_tasks=1000, load=1.2, estimate_factor_max=4, classes=("whole-sample",)
    ),
    5,
)
STARTS = (131, 300, 555, 0, 678, 700, 701, 872)
PUBLISHED = (1981, 2756, 4299, 8850, 3316, 2714, 5228, 7762, 4022, 7085)


@pytest.fixture(scope="module")
def lublin_256(trace_dir: Path) -> Workload:
    path = trace_dir / "swf" / "lublin_256.swf.gz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    return read_swf(path)


def first_fit(spec: str) -> DispatchRule:
    """The rule with the placement of the environments' default."""
    return heuristic(spec, place="first-fit").rule


def by_replay(work: Workload, first_row: int, rule: DispatchRule) -> list[int]:
    window = work.window(first_row, LENGTH)
    return replay(window.tasks, window.run_us, window.cluster, rule).start_us.tolist()


def environment(work: Workload, rule: DispatchRule) -> SchedulingEnv:
    config = EnvironmentConfig(
        episode_tasks=LENGTH, slots=LENGTH, backfill=Backfill(rule.backfill).name.lower()
    )
    return SchedulingEnv(config, episodes=Episodes(work, Split("all", 0, len(work) - 1), LENGTH))


def by_environment(env: SchedulingEnv, first_row: int, rule: DispatchRule) -> list[int]:
    """At each step the slot of the task that comes first in the order."""
    env.reset(options={"first_row": first_row})
    sim, terminated, total, info = env.simulator, False, 0.0, {}
    while not terminated:
        local = first_in_order(sim.sim.state, 0, rule.order, rule.weights)
        action = sim.obs.window[0].tolist().index(local)
        _, reward, terminated, _, info = env.step(np.int64(action))
        total += reward
    assert total == pytest.approx(-info["metric"], rel=1e-9)
    return starts_us(sim.sim)


def by_batch(
    work: Workload, first_rows: tuple[int, ...], rule: DispatchRule, **more: bool
) -> list[list[int]]:
    """The compiled choice of the heuristic in every environment; who is over begins again."""
    batch, backfill = len(first_rows), Backfill(rule.backfill)
    sim = simulator(work, batch=batch, length=LENGTH, slots=LENGTH, backfill=backfill, **more)
    for b, row in enumerate(first_rows):
        sim.reset(b, row)
    slots = np.zeros(batch, np.int64)
    found: dict[int, list[int]] = {}
    while len(found) < batch:
        heuristic_actions(sim.sim, sim.obs, rule, slots)
        sim.step(slots)
        for b in np.flatnonzero(sim.terminated).tolist():
            found.setdefault(b, starts_us(sim.sim, b))
            sim.reset(b, first_rows[b])
    return [found[b] for b in range(batch)]


@pytest.mark.parametrize("spec", SPECS)
def test_the_environment_on_a_generated_workload(spec: str) -> None:
    rule = first_fit(spec)
    env = environment(GENERATED, rule)

    for first_row in STARTS[:2]:
        assert by_environment(env, first_row, rule) == by_replay(GENERATED, first_row, rule)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("batch", [1, 3, 8])
def test_the_batch_on_a_generated_workload(spec: str, batch: int) -> None:
    rule, rows = first_fit(spec), STARTS[:batch]

    assert by_batch(GENERATED, rows, rule) == [by_replay(GENERATED, row, rule) for row in rows]


@pytest.mark.parametrize("spec", ["fcfs", "f4", "sjf+easy", "unicep+easy"])
def test_asking_about_every_task_changes_nothing(spec: str) -> None:
    rule, rows = first_fit(spec), STARTS[:3]

    assert by_batch(GENERATED, rows, rule, skip_forced=False) == by_batch(GENERATED, rows, rule)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("first_row", PUBLISHED[:4:3])
def test_the_environment_on_a_trace(lublin_256: Workload, spec: str, first_row: int) -> None:
    rule = first_fit(spec)
    env = environment(lublin_256, rule)

    assert by_environment(env, first_row, rule) == by_replay(lublin_256, first_row, rule)


@pytest.mark.parametrize("spec", SPECS)
def test_the_batch_on_a_trace(lublin_256: Workload, spec: str) -> None:
    """The published window starts, side by side."""
    rule = first_fit(spec)

    expected = [by_replay(lublin_256, row, rule) for row in PUBLISHED]
    assert by_batch(lublin_256, PUBLISHED, rule) == expected


def test_the_windows_are_no_walkover() -> None:
    """What would make the comparisons above empty ones: orders and backfilling matter in them."""
    for first_row in STARTS:
        schedules = {tuple(by_replay(GENERATED, first_row, first_fit(spec))) for spec in SPECS}
        assert len(schedules) >= 16
