"""Learning curves of a run, from its TensorBoard files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lepton_rl.evaluate.report.evidence import Curve

__all__ = ["learning_curves"]

_SHOWN = {
    "validation/metric": "Validation metric",
    "rollout/ep_rew_mean": "Mean reward of an episode",
    "train/entropy_loss": "Entropy loss",
}
"""Tag -> title."""


def learning_curves(folder: Path) -> tuple[Curve, ...]:
    """The curves in a folder of TensorBoard files; none where it is missing.

    Raises:
        ModuleNotFoundError: tensorboard is not installed.
    """
    if not any(folder.glob("events.out.tfevents.*")):
        return ()
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return tuple(_curves(events))


def _curves(events: Any) -> Iterator[Curve]:
    tags = events.Tags()["scalars"]
    for tag, title in _SHOWN.items():
        if tag in tags:
            points = events.Scalars(tag)
            yield Curve(
                title,
                tuple(float(point.step) for point in points),
                tuple(float(point.value) for point in points),
            )
