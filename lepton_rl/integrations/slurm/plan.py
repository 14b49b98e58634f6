"""What a round wants to do to Slurm's queue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Plan"]


@dataclass(frozen=True, slots=True)
class Plan:
    """Commands for `scontrol`, and what is written down before they are sent.

    Attributes:
        lines: commands.
        events: event of the decision log -> its details.
        pending: jobs that the policy was asked about.
        started: jobs that were released to nodes, or put in another place of the order.
        left_out: job -> why the policy was not asked about it.
    """

    lines: list[str] = field(default_factory=list)
    events: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    pending: int = 0
    started: int = 0
    left_out: Mapping[str, str] = field(default_factory=dict)
