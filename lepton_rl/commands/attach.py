"""`lepton-rl attach slurm`."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from lepton_rl.commands.progress import log
from lepton_rl.core.settings import apply_overrides, load_settings
from lepton_rl.integrations.slurm import Attachment, SlurmSettings
from lepton_rl.integrations.slurm.plan import Plan
from lepton_rl.policies.named import policy_named

__all__ = ["AttachRequest", "run_attach"]


@dataclass(frozen=True, slots=True)
class AttachRequest:
    """What `lepton-rl attach slurm` was asked for; see its help."""

    policy: str
    mode: str
    state: Path
    dry_run: bool
    shadow: bool
    release_all: bool
    rounds: int | None
    overrides: Sequence[str]


def run_attach(request: AttachRequest, *, as_json: bool) -> str:
    """Steer Slurm until the process is told to stop; returns what goes to stdout.

    Raises:
        LeptonError: a name, a setting or the state folder is wrong, or Slurm does not answer a dry
            run or `--release-all`.
    """
    data = apply_overrides({"mode": request.mode}, request.overrides)
    settings = load_settings(SlurmSettings, data, "attach slurm")
    policy = policy_named(request.policy)
    state = None if request.dry_run else request.state
    attachment = Attachment(policy, settings, state_dir=state, shadow=request.shadow)
    try:
        if request.release_all:
            return _lines("commands", attachment.release_all(), as_json=as_json)
        if request.dry_run:
            return _preview(attachment.preview(), as_json=as_json)
        log(f"attached to Slurm in {settings.mode} mode with {policy.name}; Ctrl-C ends it")
        with _stopped_by_signals() as stop:
            attachment.run(stop, request.rounds)
        return _figures(attachment.as_dict(), as_json=as_json)
    finally:
        attachment.close()


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set: the round that goes on is finished first."""
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = {each: signal.signal(each, handle) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _preview(plan: Plan, *, as_json: bool) -> str:
    for name, reason in plan.left_out.items():
        log(f"{name} is left to Slurm: {reason}")
    return _lines("commands", plan.lines, as_json=as_json)


def _lines(what: str, lines: Sequence[str], *, as_json: bool) -> str:
    if as_json:
        return json.dumps({what: list(lines)}, indent=2) + "\n"
    return "".join(f"{line}\n" for line in lines) or "nothing to do\n"


def _figures(figures: dict[str, Any], *, as_json: bool) -> str:
    if as_json:
        return json.dumps(figures, indent=2) + "\n"
    rows = [f"{name:16}{value:>12.6g}" for name, value in figures.items()]
    return "\n".join(rows) + "\n"
