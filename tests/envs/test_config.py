"""Settings of the environment: what is wrong is refused, with a message that tells what to do."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from lepton_rl.commands.inputs import environment_for
from lepton_rl.core.errors import (
    ConfigError,
    InfeasibleTaskError,
    InputFileError,
    LeptonError,
    WorkloadError,
)
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.rules.placement import Place
from lepton_rl.envs import ENVIRONMENTS
from lepton_rl.envs.config import EnvironmentConfig, WorkloadConfig
from lepton_rl.envs.episodes import Episodes, load_workload
from lepton_rl.envs.single import SchedulingEnv
from lepton_rl.envs.vector import SchedulingVectorEnv
from lepton_rl.sim.objective import Objective
from lepton_rl.workloads.scenarios.registry import SCENARIOS
from lepton_rl.workloads.splits import Split
from tests.episodes import on_pool

SMALL = {"workload": {"settings": {"num_tasks": 200}}, "episode_tasks": 16, "slots": 8}
either = pytest.mark.parametrize("environment", [SchedulingEnv, SchedulingVectorEnv])


def of(**settings: Any) -> EnvironmentConfig:
    return EnvironmentConfig.of(SMALL, settings)


def test_every_id_has_settings_that_are_right() -> None:
    for settings in ENVIRONMENTS.values():
        EnvironmentConfig.of(settings, {})


BAD_SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"slot": 4}, "unknown setting 'slot'; did you mean 'slots'"),
    ({"workload": {"sorce": "lublin"}}, r"'workload\.sorce'; did you mean 'source'"),
    ({"objectve": "wait", "backfil": "easy"}, "'objectve'.*'objective'.*'backfil'.*'backfill'"),
    ({"slots": 1}, "slots: Input should be greater than or equal to 2, got 1"),
    ({"slots": 10**6}, "slots: Input should be less than or equal to 65536"),
    ({"slots": 2.5}, r"slots: .*got 2\.5"),
    ({"slots": math.nan}, "slots: .*got nan"),
    ({"slots": True}, "slots: expected a number, got True"),
    ({"slots": "8"}, "slots: expected a number, got '8'"),
    ({"episode_tasks": 0}, "episode_tasks: .*got 0"),
    ({"episode_tasks": math.inf}, "episode_tasks: .*got inf"),
    ({"workload": {"train": math.nan}}, r"workload\.train: .*finite number, got nan"),
    ({"workload": {"train": 1.0}}, r"workload\.train: Input should be less than 1, got 1\.0"),
    ({"workload": {"validation": 0}}, r"workload\.validation: .*greater than 0, got 0"),
    ({"workload": {"processors": 0}}, r"workload\.processors: .*got 0"),
    ({"workload": {"seed": -1}}, r"workload\.seed: .*got -1"),
    ({"workload": None}, "workload: .*got None"),
    ({"split": "testing"}, "split: Input should be 'train', 'validation' or 'test', got 'testing'"),
    ({"place": "best"}, "place: expected one of first-fit, best-fit, least-loaded.*, got 'best'"),
    ({"place": "FIRST_FIT"}, "place: expected one of"),
    ({"backfill": "bold"}, "backfill: expected one of none, easy"),
    ({"backfill": "fixed-shadow"}, "fixed-shadow belongs to the rlscheduler protocol"),
    ({"objective": "slowdown"}, "expected one of bounded-slowdown, wait, turnaround"),
    ({"objective": "weighted-sum"}, "expected one of bounded-slowdown, wait, turnaround"),
    ({"objective": {"energie": 1.0}}, "expected one of bounded-slowdown, wait, turnaround"),
    ({"objective": {}}, "expected at least one objective with its weight"),
    ({"objective": {"wait": 0.0}}, "wait: expected a weight above 0"),
    ({"objective": {"wait": -1}}, "wait: expected a weight above 0"),
    ({"objective": {"wait": True}}, "objective.*number"),
    ({"may_wait": "perhaps"}, "may_wait: .*got 'perhaps'"),
]


@pytest.mark.parametrize(
    ("settings", "message"), BAD_SETTINGS, ids=[str(settings) for settings, _ in BAD_SETTINGS]
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^environment: .*{message}"):
        of(**settings)


@either
@pytest.mark.parametrize("config", ["hpc.yaml", 3, [("slots", 4)], {1: 2}], ids=str)
def test_what_is_no_mapping_is_refused(environment: Any, config: Any) -> None:
    with pytest.raises(ConfigError, match="environment: expected a mapping of names to values"):
        environment(config=config)


def test_single_settings_go_on_top_and_replace_whole_entries() -> None:
    base = EnvironmentConfig.of({"slots": 9, "workload": {"seed": 4, "train": 0.5}}, {})
    changed = EnvironmentConfig.of(base, {"slots": 7, "workload": {"seed": 5}})

    assert (base.slots, changed.slots) == (9, 7)
    assert changed.workload == WorkloadConfig(seed=5)
    assert EnvironmentConfig.of(base, {}) == base
    assert EnvironmentConfig.of(None, {}) == EnvironmentConfig()


def test_the_rule_is_in_plain_numbers_of_fixed_types() -> None:
    """Other types would make Numba compile everything again."""
    rule = of(place="least-loaded", backfill="easy", objective="wait", may_wait=True).rule()

    assert rule == (Place.LEAST_LOADED, Backfill.EASY, Objective.WAIT, True, True, False)
    assert [type(value) for value in rule] == [int, int, int, bool, bool, bool]


def test_several_objectives_become_weights_in_their_order() -> None:
    config = of(objective={"deadlines": 20, "bounded-slowdown": 0.5})
    assert config.rule().objective == Objective.WEIGHTED_SUM
    assert config.weights() == (0.5, 0.0, 0.0, 20.0)
    assert config.named_objectives() == ("deadlines", "bounded-slowdown")
    assert of(objective="wait").weights() == (0.0, 0.0, 0.0, 0.0)


BAD_WORKLOADS: list[tuple[dict[str, Any], type[LeptonError], str]] = [
    ({"source": "lublim"}, ConfigError, "workload 'lublim': .*did you mean 'lublin'"),
    ({"source": "trace.txt"}, ConfigError, r"expected a path ending in \.swf"),
    ({"source": "missing.swf"}, InputFileError, r"cannot read missing\.swf"),
    ({"settings": {"lod": 0.9}}, ConfigError, "unknown setting 'lod'; did you mean 'load'"),
    ({"settings": {"load": math.nan}}, ConfigError, "load: .*got nan"),
    ({"settings": {"num_tasks": 10}}, WorkloadError, "train would get 6 of 10 tasks, fewer"),
    ({"train": 0.7, "validation": 0.3}, ConfigError, "leave something for the test"),
]


@either
@pytest.mark.parametrize(
    ("workload", "error", "message"), BAD_WORKLOADS, ids=[str(each[0]) for each in BAD_WORKLOADS]
)
def test_bad_workloads_are_refused(
    environment: Any, workload: dict[str, Any], error: type[LeptonError], message: str
) -> None:
    with pytest.raises(error, match=message):
        environment(config=SMALL, workload=workload)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_an_episode_longer_than_a_split_is_refused(split: str) -> None:
    """Of 200 tasks validation and test get 40 each."""
    with pytest.raises(WorkloadError, match="validation would get 40 of 200 tasks, fewer than one"):
        SchedulingEnv(SMALL, split=split, episode_tasks=41)
    assert len(SchedulingEnv(SMALL, split=split, episode_tasks=40).episodes.split) >= 40


def test_windows_lie_within_their_split() -> None:
    ends = {"train": (0, 119), "validation": (120, 159), "test": (160, 199)}
    for split, (first, last) in ends.items():
        env = SchedulingEnv(SMALL, split=split)
        rows = []
        for seed in range(100):
            env.reset(seed=seed)
            rows.append(int(env.simulator.sim.state.status["first_row"][0]))
        assert first <= min(rows) <= first + 10
        assert last - 10 <= max(rows) + 15 <= last


def test_work_that_can_never_start_is_refused() -> None:
    """An episode with it would never end."""
    work = on_pool(4, (0, 1, 10), (1, 2, 10), (2, 4, 10), (3, 1, 10), (4, 1, 10))
    work.tasks["demand"][1] = 5000

    with pytest.raises(InfeasibleTaskError, match=r"task 't1' can never start: .*cpu 5.*cpu 4"):
        Episodes(work, Split("all", 0, 2), 2)
    with pytest.raises(InfeasibleTaskError, match="lower its demand"):
        Episodes.of(EnvironmentConfig(episode_tasks=1), work)


@pytest.mark.parametrize(
    ("first", "last", "length"), [(0, 3, 2), (0, 2, 4), (2, 2, 2), (0, 1, 0), (0, 1, -1)]
)
def test_episodes_fit_their_split_and_this_the_workload(first: int, last: int, length: int) -> None:
    work = on_pool(4, (0, 1, 10), (1, 2, 10), (2, 4, 10))

    with pytest.raises(WorkloadError, match=f"expected episodes of at least one task.*of {length}"):
        Episodes(work, Split("odd", first, last), length)


def test_a_trace_is_read_for_its_own_machine_or_another(tmp_path: Path) -> None:
    """A smaller machine drops the tasks that are too large for it, and counts them."""
    row = "{0} {0} -1 60 {1} -1 -1 {1} 90 -1 1 1 1 1 1 1 -1 -1"
    lines = ["; MaxProcs: 8", *(row.format(i, size) for i, size in enumerate((1, 8, 2), start=1))]
    path = tmp_path / "small.swf"
    path.write_text("\n".join(lines))

    assert len(load_workload(WorkloadConfig(source=str(path)))) == 3
    smaller = load_workload(WorkloadConfig(source=str(path), processors=4))
    assert len(smaller) == 2
    assert smaller.skipped == {"larger than the machine: dropped": 1}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_configuration_of_a_scenario_is_its_environment(name: str) -> None:
    """But for the draw of the workload, the length of an episode, and where who overtakes goes."""
    of_id = next(e for e in ENVIRONMENTS.values() if e["workload"]["source"] == name)
    ours, wanted = environment_for(name), EnvironmentConfig.of(of_id, {})
    beside = {"workload", "episode_tasks", "place"}
    assert ours.model_dump(exclude=beside) == wanted.model_dump(exclude=beside)
    assert (ours.workload.source, ours.workload.prediction) == (name, wanted.workload.prediction)
