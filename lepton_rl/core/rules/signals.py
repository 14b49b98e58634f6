"""What the monitor tells policies about the last hour: rates, waits, failures, overruns.

Each is a count or sum that decays with the time constant `SIGNAL_S`, so that over that time it is
a rate, and over another it is a mean.
"""

from __future__ import annotations

import math

from lepton_rl.core.clock import MICROSECOND
from lepton_rl.core.compiled import compiled, inlined
from lepton_rl.core.tables import View

__all__ = [
    "SIGNAL_S",
    "arrival_rate",
    "failure_share",
    "forget_signals",
    "mean_overrun",
    "mean_wait_s",
    "note_arrival",
    "note_end",
    "note_start",
    "pass_time",
]

SIGNAL_S = 3600.0
"""Time constant of the decay, in s."""


@compiled
def forget_signals(view: View, b: int) -> None:
    """Nothing has happened yet."""
    signals = view.signals[b]
    signals.arrivals = 0.0
    signals.starts = 0.0
    signals.waits_s = 0.0
    signals.ends = 0.0
    signals.failures = 0.0
    signals.overruns = 0.0


@inlined
def pass_time(view: View, b: int, now_us: int) -> None:
    """Move the clock on; what was noted so far counts less."""
    signals = view.signals[b]
    kept = math.exp(-(now_us - view.status[b].now_us) / (SIGNAL_S * MICROSECOND))
    signals.arrivals *= kept
    signals.starts *= kept
    signals.waits_s *= kept
    signals.ends *= kept
    signals.failures *= kept
    signals.overruns *= kept
    view.status[b].now_us = now_us


@compiled
def note_arrival(view: View, b: int) -> None:
    """A task has become pending for the first time."""
    view.signals[b].arrivals += 1.0


@compiled
def note_start(view: View, b: int, row: int) -> None:
    """A task has started."""
    view.signals[b].starts += 1.0
    wait_us = view.status[b].now_us - view.tasks[row].submit_us
    view.signals[b].waits_s += wait_us / MICROSECOND


@compiled
def note_end(view: View, b: int, local: int, has_failed: bool) -> None:
    """A run has ended, by itself or because it failed; its span is still there."""
    span, signals = view.spans[b, local], view.signals[b]
    ran_us = view.status[b].now_us - span.start_us
    expected_us = max(1, span.expected_end_us - span.start_us)
    signals.ends += 1.0
    signals.overruns += ran_us / expected_us
    if has_failed:
        signals.failures += 1.0


@compiled
def arrival_rate(view: View, b: int) -> float:
    """Tasks that arrived a second, lately."""
    return view.signals[b].arrivals / SIGNAL_S


@compiled
def mean_wait_s(view: View, b: int) -> float:
    """Mean time in s that tasks started lately had been in the queue; 0 if none has."""
    return view.signals[b].waits_s / view.signals[b].starts if view.signals[b].starts > 0 else 0.0


@compiled
def failure_share(view: View, b: int) -> float:
    """Share of the runs that ended lately which failed, 0 to 1; 0 if none has ended."""
    return view.signals[b].failures / view.signals[b].ends if view.signals[b].ends > 0 else 0.0


@compiled
def mean_overrun(view: View, b: int) -> float:
    """Mean of run time over estimate of the runs that ended lately; 1 if none has."""
    return view.signals[b].overruns / view.signals[b].ends if view.signals[b].ends > 0 else 1.0
