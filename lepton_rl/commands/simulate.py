"""`lepton-rl simulate`."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lepton_rl.commands.inputs import environment_for, open_with_log
from lepton_rl.commands.progress import log
from lepton_rl.commands.recording import RecordedPolicy, check_recording
from lepton_rl.core.errors import ConfigError
from lepton_rl.core.policy import Policy
from lepton_rl.evaluate import METRICS, measure
from lepton_rl.evaluate.figures import known
from lepton_rl.policies.heuristic import HeuristicPolicy
from lepton_rl.policies.named import policy_named
from lepton_rl.system import EventBatching, Scheduler

__all__ = ["run_simulation"]


def run_simulation(
    workload: str,
    policy: str,
    first: int,
    tasks: int | None,
    overrides: Sequence[str] = (),
    *,
    as_json: bool,
    record: Path | None = None,
) -> str:
    """Run tasks `first ..` of a workload through the Scheduler; returns what goes to stdout.

    With `record`, an animation of it is written there.

    Raises:
        LeptonError: a file, name or number is wrong.
    """
    if record is not None:
        check_recording(record)
    environment = environment_for(workload, overrides)
    chosen = policy_named(policy)
    whole = open_with_log(environment.workload)
    if not 0 <= first < len(whole):
        raise ConfigError(f"--first {first}: expected a task in 0..{len(whole) - 1}")
    if tasks is not None and not 1 <= tasks <= len(whole) - first:
        raise ConfigError(f"--tasks {tasks}: expected 1 to {len(whole) - first} after --first")
    window = whole.window(first, tasks if tasks is not None else len(whole) - first)
    watched = RecordedPolicy(chosen) if record is not None else None
    scheduler = Scheduler(window.cluster, watched or chosen, event_batching=_batching(chosen))
    started_s = time.perf_counter()
    scheduler.submit_all(window)
    scheduler.run()
    speed = _Speed.of(scheduler, time.perf_counter() - started_s)
    if watched is not None and record is not None:
        watched.save(record)
        log(f"recorded {len(watched.frames)} moments to {record}")
    metrics = measure(scheduler.schedule(), window, window.cluster)
    if as_json:
        figures = {
            "workload": window.name,
            "policy": chosen.name,
            **{name: known(value) for name, value in asdict(metrics).items()},
            **asdict(speed),
        }
        return json.dumps(figures, indent=2, allow_nan=False) + "\n"
    rows = [f"{window.name} under {chosen.name}: {len(window)} tasks"]
    for name, info in METRICS.items():
        value = getattr(metrics, name)
        figure = "-" if math.isnan(value) else f"{value:.4f}"
        rows.append(f"{info.title:28}{figure:>14} {info.unit}".rstrip())
    rows.append(
        f"{speed.events} events in {speed.wall_s:.3f} s: {speed.us_per_event:.1f} us per event"
    )
    return "\n".join(rows) + "\n"


@dataclass(frozen=True, slots=True)
class _Speed:
    """How fast the Scheduler went, from the first submission to the last completion.

    Attributes:
        events: arrivals, starts and ends of runs.
        wall_s: seconds on the wall clock. The first simulation after an installation compiles the
            rules, which is in here too.
        us_per_event: microseconds on the wall clock for each event.
    """

    events: int
    wall_s: float
    us_per_event: float

    @classmethod
    def of(cls, scheduler: Scheduler, wall_s: float) -> _Speed:
        monitor = scheduler.monitor
        arrivals, starts = len(monitor.records), monitor.decisions["start"]
        ends = monitor.outcomes.total() + monitor.interruptions.total()
        events = arrivals + starts + ends
        return cls(events, wall_s, wall_s / events * 1e6)


def _batching(policy: Policy) -> EventBatching:
    """Blocking rules are those of the RLScheduler repository, which takes one event at a time."""
    blocking = isinstance(policy, HeuristicPolicy) and policy.rule.blocking
    return EventBatching.SINGLE if blocking else EventBatching.INSTANT
