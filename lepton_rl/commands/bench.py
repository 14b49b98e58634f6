"""`lepton-rl bench`: how fast the simulator steps a configuration's environment on this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from lepton_rl.commands.inputs import environment_for, open_with_log
from lepton_rl.commands.progress import log
from lepton_rl.core.errors import StateError
from lepton_rl.envs.config import EnvironmentConfig
from lepton_rl.envs.episodes import Episodes
from lepton_rl.envs.single import SchedulingEnv

__all__ = ["run_benchmark"]

_PART_S = 0.02
"""A measurement consists of parts of at least this length; their median is told."""


@dataclass(frozen=True, slots=True)
class Speed:
    """One row.

    Attributes:
        interface: `batch` (the compiled simulator) or `gymnasium` (one environment).
        environments: stepped together.
        threads: that step them.
        steps_per_s: decisions a second, over all environments; the median of many short parts.
        best_steps_per_s: their 95 % quantile: what nobody interrupts.
        episodes: that ended meanwhile; their resets are part of the time.
        shown: mean share of the task slots that show a task, 0 to 1.
    """

    interface: str
    environments: int
    threads: int
    steps_per_s: float
    best_steps_per_s: float
    episodes: int
    shown: float


class _Batch:
    """Environments under first come, first served; whoever ends begins again."""

    def __init__(self, config: EnvironmentConfig, episodes: Episodes, count: int) -> None:
        self.simulator = episodes.simulator(config, count)
        self.episodes, self.ended, self.shown = episodes, 0, 0.0
        self._rng = np.random.default_rng(0)
        for b in range(count):
            self._begin(b)

    def _begin(self, b: int) -> None:
        self.simulator.reset(b, self.episodes.draw(self._rng))

    def __call__(self) -> int:
        """One step of all; how many that are."""
        obs = self.simulator.obs
        self.simulator.step(obs.action_mask.argmax(axis=1))
        for b in np.flatnonzero(self.simulator.terminated).tolist():
            self._begin(b)
            self.ended += 1
        self.shown = float((obs.window >= 0).mean())
        return self.simulator.batch


class _Single:
    """One Gymnasium environment, likewise."""

    def __init__(self, config: EnvironmentConfig, episodes: Episodes) -> None:
        self.env, self.ended, self.shown = SchedulingEnv(config, episodes=episodes), 0, 0.0
        _, info = self.env.reset(seed=0)
        self._mask = info["action_mask"]

    def __call__(self) -> int:
        """A hundred steps; how many that are."""
        for _ in range(100):
            _, _, over, _, info = self.env.step(np.int64(self._mask.argmax()))
            self._mask = info["action_mask"]
            if over:
                self.ended += 1
                self._mask = self.env.reset()[1]["action_mask"]
        self.shown = float((self.env.simulator.obs.window >= 0).mean())
        return 100


def run_benchmark(
    config: str,
    overrides: Sequence[str],
    environments: Sequence[int],
    seconds: float,
    *,
    as_json: bool,
) -> str:
    """Measure and tell.

    Args:
        config: a shipped configuration or a file, whose environment is stepped.
        overrides: `name=value` settings of it.
        environments: batch sizes.
        seconds: of each measurement.
        as_json: JSON instead of a table.

    Raises:
        LeptonError: a name or setting is wrong.
        StateError: no episode ended in the time given, so resets would be missing from it.
    """
    chosen = environment_for(config, overrides)
    episodes = Episodes.of(chosen, open_with_log(chosen.workload))
    rows = [_measure("gymnasium", 1, 1, _Single(chosen, episodes), seconds)]
    for count in environments:
        batch = _Batch(chosen, episodes, count)
        rows.append(_measure("batch", count, chosen.num_threads, batch, seconds))
    if as_json:
        return json.dumps({"config": config, "speeds": [asdict(row) for row in rows]}) + "\n"
    return _table(rows)


def _measure(
    interface: str, environments: int, threads: int, stepped: _Batch | _Single, seconds: float
) -> Speed:
    log(f"measuring {interface}, {environments} environments, {seconds:g} s")
    stepped()  # compiled by now
    rates, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until or not stepped.ended:
        rates.append(_part(stepped))
        if time.perf_counter() > until + 10 * max(seconds, 1.0):
            raise StateError(
                f"bench: no episode of {environments} environments ended in {seconds:g} s and ten"
                " times as long again; use --set environment.episode_tasks=N with fewer tasks"
            )
    best = float(np.quantile(rates, 0.95))
    median = float(np.median(rates))
    return Speed(
        interface, environments, threads, median, best, stepped.ended, round(stepped.shown, 3)
    )


def _part(stepped: _Batch | _Single) -> float:
    """Steps a second of a short part."""
    began, steps = time.perf_counter(), 0
    while (passed_s := time.perf_counter() - began) < _PART_S:
        steps += stepped()
    return steps / passed_s


def _table(rows: Sequence[Speed]) -> str:
    lines = ["interface  environments  threads     steps/s        best  episodes  slots in use"]
    lines += [
        f"{row.interface:<11}{row.environments:>12}{row.threads:>9}{row.steps_per_s:>12,.0f}"
        f"{row.best_steps_per_s:>12,.0f}{row.episodes:>10}{row.shown:>14.0%}"
        for row in rows
    ]
    return "\n".join(lines) + "\n"
