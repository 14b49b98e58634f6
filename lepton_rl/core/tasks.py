"""Task: one schedulable unit, as the user describes it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from lepton_rl.core.checks import (
    require_amounts,
    require_count,
    require_flag,
    require_names,
    require_number,
    require_text,
    shown,
)
from lepton_rl.core.errors import ConfigError

__all__ = ["Task", "TaskState"]


class TaskState(enum.Enum):
    """Where a task is in its life; the last four are final. docs/system.md has the transitions."""

    SUBMITTED = "submitted"
    """its submit time lies ahead, or a task it depends on has not completed"""
    PENDING = "pending"
    """it may start"""
    RUNNING = "running"
    PREEMPTED = "preempted"
    """it is being stopped, still holds its nodes, and will be pending again"""
    COMPLETED = "completed"
    FAILED = "failed"
    """with no retry left"""
    CANCELLED = "cancelled"
    """by a user, or because a task it depends on cannot complete any more"""
    TIMED_OUT = "timed_out"
    """its executor stopped it at its time limit"""

    @property
    def is_final(self) -> bool:
        """Whether a task in this state never changes again."""
        return self in _FINAL

    @property
    def is_on_nodes(self) -> bool:
        """Whether a task in this state holds nodes."""
        return self in (TaskState.RUNNING, TaskState.PREEMPTED)


_FINAL = frozenset(
    (TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED, TaskState.TIMED_OUT)
)


@dataclass(frozen=True, slots=True)
class Task:
    """One schedulable unit of work (a Slurm or SWF job, a Kueue workload).

    Attributes:
        id: unique name.
        demand: kind -> amount per replica, in the kind's unit; for devices n >= 1 whole cards
            (exclusive) or a share 0 < s < 1 of one card (shared).
        requested_time_s: the run time the user asks for (> 0); all that a policy may see of it.
        submit_time_s: when it entered the queue, in seconds on the system's clock (>= 0).
        run_time_s: the true run time (> 0), known to the simulator only; None in production.
        num_replicas: gang size (>= 1); all replicas start together or none.
        urgency: E_i of the Lepton priority (finite, any sign).
        critical: may reserve a node set under the Lepton reservation rule.
        required_labels: every node it runs on must carry all of these (data zone, trust).
        device_models: device models it may run on; empty means any.
        exclusive_node: needs nodes on which nothing else runs.
        tenant: user or group, for quotas, fairness and prediction.
        depends_on: ids of tasks that must complete before this one may start.
        max_retries: how often it is tried again after a failure (>= 0). Preemptions and lost nodes
            cost no retry.
        preemptible: a policy may stop it for other work.
        checkpoint_interval_s: it saves its work each time it has done this much (> 0), and goes on
            from there wherever it starts again; None: it begins anew.
        command: program and arguments that a real executor runs, one process a replica.
        environment: variables on top of the executor's.
        working_directory: where the command runs; "" leaves it to the executor.
        deadline_s: when it should have completed, on the clock of `submit_time_s` (later than it);
            None if it does not matter.
        task_class: what kind of work it is; nodes may run some classes faster (`speed_factors`).
    """

    id: str
    demand: Mapping[str, float]
    requested_time_s: float
    submit_time_s: float = 0.0
    run_time_s: float | None = None
    num_replicas: int = 1
    urgency: float = 0.0
    critical: bool = False
    required_labels: frozenset[str] = field(default_factory=frozenset)
    device_models: frozenset[str] = field(default_factory=frozenset)
    exclusive_node: bool = False
    tenant: str = ""
    depends_on: tuple[str, ...] = ()
    max_retries: int = 0
    preemptible: bool = False
    checkpoint_interval_s: float | None = None
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str = ""
    deadline_s: float | None = None
    task_class: str = ""

    def __post_init__(self) -> None:
        require_text(self.id, "task: id")
        where = f"task {self.id!r}"
        _require_time(self.requested_time_s, f"{where}: requested_time_s", positive=True)
        _require_time(self.submit_time_s, f"{where}: submit_time_s", positive=False)
        if self.run_time_s is not None:
            _require_time(self.run_time_s, f"{where}: run_time_s", positive=True)
        require_number(self.urgency, f"{where}: urgency must be a finite number")
        require_count(self.num_replicas, f"{where}: num_replicas", _LARGEST_GANG)
        require_flag(self.critical, f"{where}: critical")
        require_flag(self.exclusive_node, f"{where}: exclusive_node")
        require_flag(self.preemptible, f"{where}: preemptible")
        require_count(self.max_retries, f"{where}: max_retries", _MOST_RETRIES, least=0)
        if self.checkpoint_interval_s is not None:
            name = f"{where}: checkpoint_interval_s"
            _require_time(self.checkpoint_interval_s, name, positive=True)
        self._check_deadline(f"{where}: deadline_s")
        for name in ("tenant", "task_class", "working_directory"):
            if not isinstance(getattr(self, name), str):
                got = shown(getattr(self, name))
                raise ConfigError(f"{where}: {name} must be a string, got {got}")
        needed = _require_strings(self.depends_on, f"{where}: depends_on")
        object.__setattr__(self, "depends_on", tuple(dict.fromkeys(needed)))
        object.__setattr__(self, "command", _require_strings(self.command, f"{where}: command"))
        variables = _require_variables(self.environment, f"{where}: environment")
        object.__setattr__(self, "environment", MappingProxyType(variables))
        demand = require_amounts(self.demand, f"{where}: demand")
        object.__setattr__(self, "demand", MappingProxyType(demand))
        for name in ("required_labels", "device_models"):
            names = require_names(getattr(self, name), f"{where}: {name}")
            object.__setattr__(self, name, names)

    def _check_deadline(self, what: str) -> None:
        if self.deadline_s is None:
            return
        _require_time(self.deadline_s, what, positive=False)
        if self.deadline_s <= self.submit_time_s:
            raise ConfigError(
                f"{what} must be later than submit_time_s, which is on the same clock; got"
                f" {shown(self.deadline_s)} and {shown(self.submit_time_s)}"
            )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy by building it again, because a mapping proxy can do neither."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        values["demand"] = dict(self.demand)
        values["environment"] = dict(self.environment)
        return Task, tuple(values.values())


_LARGEST_GANG = 1_000_000
"""Keeps a mistyped gang size from asking for tables that no machine holds."""

_MOST_RETRIES = 1_000_000

_LARGEST_TIME_S = 1e11
"""About 3,000 years: any sum of two such times still fits int64 microseconds."""


def _require_time(value: object, what: str, *, positive: bool) -> None:
    expected = (
        f"{what} must be a finite number of seconds {'> 0' if positive else '>= 0'}"
        f" and at most {_LARGEST_TIME_S:g}"
    )
    seconds = require_number(value, expected)
    if seconds < 0 or (positive and seconds == 0) or seconds > _LARGEST_TIME_S:
        raise ConfigError(f"{expected}, got {shown(value)}")


def _require_strings(value: object, what: str) -> tuple[str, ...]:
    """`value` as a tuple of strings; a lone string is refused, it would be a tuple of letters."""
    if isinstance(value, list | tuple | set | frozenset) and all(isinstance(v, str) for v in value):
        return tuple(sorted(value) if isinstance(value, set | frozenset) else value)
    hint = f"; write [{value}]" if isinstance(value, str) and value else ""
    raise ConfigError(f"{what} must be a list of strings, got {shown(value)}{hint}")


def _require_variables(value: object, what: str) -> dict[str, str]:
    if isinstance(value, Mapping) and all(
        isinstance(name, str) and isinstance(text, str) for name, text in value.items()
    ):
        return dict(value)
    raise ConfigError(f"{what} must map names to strings, got {shown(value)}")
