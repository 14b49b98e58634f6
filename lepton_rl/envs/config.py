"""Configuration of the scheduling environment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any, Literal

from pydantic import Field, StrictFloat, field_validator

from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.rules.placement import Place
from lepton_rl.core.settings import Settings, load_settings, require_mapping
from lepton_rl.prediction.config import PredictionConfig
from lepton_rl.sim.batch import episode_rule
from lepton_rl.sim.episode import EpisodeRule
from lepton_rl.sim.objective import SINGLE, Objective

__all__ = ["EnvironmentConfig", "WorkloadConfig"]

_MOST_WEIGHT = 1e6


class WorkloadConfig(Settings):
    """Where tasks come from.

    Attributes:
        source: a trace (docs/workloads.md has the kinds) or the name of a generator.
        processors: size of the machine, for generators and SWF; overrides the trace's.
        settings: of the generator, or of the kind of trace.
        seed: of the generator.
        train: share of the tasks, by time, to train on.
        validation: share to choose on; what follows is for tests only.
        prediction: predictions of run times that policies see in the place of what users asked
            for; by default none.
    """

    source: str = "lublin"
    processors: int | None = Field(default=None, ge=1)
    settings: dict[str, Any] = Field(default_factory=dict)
    seed: int = Field(default=0, ge=0)
    train: float = Field(default=0.6, gt=0, lt=1)
    validation: float = Field(default=0.2, gt=0, lt=1)
    prediction: PredictionConfig = PredictionConfig()


class EnvironmentConfig(Settings):
    """What one episode is.

    Attributes:
        workload: where tasks come from.
        split: part of the workload that episodes are drawn from.
        episode_tasks: tasks of an episode, a window of the split.
        slots: task slots of the observation window.
        place: placement rule around the choice.
        choose_nodes: the agent also chooses the node of each replica of the task that it puts
            first; `place` is left those that overtake it.
        backfill: who may overtake a task that is first but blocked.
        objective: metric that rewards add up to, with its sign turned; or several with their
            weights (above 0), each in its own unit: {bounded-slowdown: 1, deadlines: 20}. The
            first named ranks in reports.
        wait_weight: added to the cost of a task is wait_weight * (wait / 1 h) ^ wait_power.
        wait_power: above 1 it is mostly the longest waits that count, below 1 how many are long.
        may_wait: offer "wait" as an action.
        skip_forced: do not ask when one task is pending and waiting is not offered, nor for a
            node where only one has room.
        strict: refuse a masked action with an error; otherwise it counts as an incident and the
            oldest pending task is taken instead.
        num_threads: threads that step large batches; results are the same with any.
    """

    workload: WorkloadConfig = WorkloadConfig()
    split: Literal["train", "validation", "test"] = "train"
    episode_tasks: int = Field(default=256, ge=1, le=1_000_000)
    slots: int = Field(default=128, ge=2, le=65_536)
    place: str = "first-fit"
    choose_nodes: bool = False
    backfill: str = "none"
    objective: str | dict[str, StrictFloat] = "bounded-slowdown"
    wait_weight: float = Field(default=0.0, ge=0)
    wait_power: float = Field(default=1.0, gt=0, le=4)
    may_wait: bool = False
    skip_forced: bool = True
    strict: bool = False
    num_threads: int = Field(default=1, ge=1, le=1024)

    @classmethod
    def of(
        cls, config: EnvironmentConfig | Mapping[str, Any] | None, settings: Mapping[str, Any]
    ) -> EnvironmentConfig:
        """`config` with `settings` on top, each of which replaces a whole entry.

        Raises:
            ConfigError: an unknown setting (with the nearest right one) or a bad value.
        """
        given = config.model_dump() if isinstance(config, EnvironmentConfig) else config or {}
        base = require_mapping(given, "environment", None)
        return load_settings(cls, {**base, **settings}, "environment")

    @field_validator("place")
    @classmethod
    def _known_place(cls, value: str) -> str:
        return _known(value, Place)

    @field_validator("backfill")
    @classmethod
    def _known_backfill(cls, value: str) -> str:
        if value == "fixed-shadow":
            raise ValueError(
                "fixed-shadow belongs to the rlscheduler protocol; use none, easy or conservative"
            )
        return _known(value, Backfill)

    @field_validator("objective")
    @classmethod
    def _known_objective(cls, value: str | dict[str, float]) -> str | dict[str, float]:
        if isinstance(value, str):
            return _known(value, SINGLE)
        if not value:
            raise ValueError("expected at least one objective with its weight, got none")
        for name, weight in value.items():
            _known(name, SINGLE)
            if not 0 < weight <= _MOST_WEIGHT:
                raise ValueError(
                    f"{name}: expected a weight above 0, at most {_MOST_WEIGHT:g}, got {weight:g}"
                )
        return value

    def rule(self) -> EpisodeRule:
        """What surrounds the learned choice, as the compiled code wants it."""
        return episode_rule(
            Place[_key(self.place)],
            Backfill[_key(self.backfill)],
            self._kind(),
            may_wait=self.may_wait,
            skip_forced=self.skip_forced,
            choose_nodes=self.choose_nodes,
        )

    def weights(self) -> tuple[float, ...]:
        """Of each single objective in a weighted sum; zeros where there is none."""
        given = {} if isinstance(self.objective, str) else self.objective
        return tuple(given.get(_name(kind), 0.0) for kind in SINGLE)

    def named_objectives(self) -> tuple[str, ...]:
        """The objectives that rewards count, in the order given."""
        return (self.objective,) if isinstance(self.objective, str) else tuple(self.objective)

    def _kind(self) -> Objective:
        if isinstance(self.objective, str):
            return Objective[_key(self.objective)]
        return Objective.WEIGHTED_SUM


def _name(kind: IntEnum) -> str:
    return kind.name.lower().replace("_", "-")


def _key(value: str) -> str:
    return value.upper().replace("-", "_")


def _known(value: str, kinds: Iterable[IntEnum]) -> str:
    names = [_name(kind) for kind in kinds]
    if value not in names:
        raise ValueError(f"expected one of {', '.join(names)}")
    return value
