"""The loop: read once, decide, write down, send one batch; and again."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from lepton_rl.core.errors import ExecutorError
from lepton_rl.core.policy import Policy
from lepton_rl.integrations.slurm.commands import SlurmCommands
from lepton_rl.integrations.slurm.decision_log import DecisionLog
from lepton_rl.integrations.slurm.decisions import Answers, rehearse
from lepton_rl.integrations.slurm.placement_mode import PlacementMode, release_all
from lepton_rl.integrations.slurm.plan import Plan
from lepton_rl.integrations.slurm.priority_mode import PriorityMode
from lepton_rl.integrations.slurm.records import Snapshot
from lepton_rl.integrations.slurm.settings import SlurmSettings

__all__ = ["Attachment", "Figures", "Mode"]

_log = logging.getLogger("lepton_rl.slurm")


@dataclass(slots=True)
class Figures:
    """What an attachment has done so far.

    Attributes:
        rounds: that were completed.
        lost_rounds: in which Slurm did not answer.
        changes: jobs released to nodes, or given another priority.
        refused: commands that Slurm refused.
        decisions: that the policy made.
        decision_s: seconds that it took for them.
        policy_failures: at which first come, first served decided instead.
        read_s: seconds spent reading the queue.
        send_s: seconds spent sending changes.
        left_out: jobs that the policy could not be shown in the last round.
    """

    rounds: int = 0
    lost_rounds: int = 0
    changes: int = 0
    refused: int = 0
    decisions: int = 0
    decision_s: float = 0.0
    policy_failures: int = 0
    read_s: float = 0.0
    send_s: float = 0.0
    left_out: int = 0


class Mode(Protocol):
    """What an attachment does in a round."""

    def plan(self, snapshot: Snapshot, log: DecisionLog, origin_s: float) -> Plan:
        """What to do about a snapshot; nothing is done or written here."""
        ...


class Attachment:
    """Steers one Slurm by a policy.

    Args:
        policy: decides.
        settings: None for the defaults.
        slurm: how Slurm is reached; None for its commands on the PATH.
        state_dir: keeps the decision log and the heartbeat; None keeps nothing.
        shadow: write decisions down, and send nothing.

    Attributes:
        figures: what was done.

    Raises:
        LeptonError: the policy cannot do this mode, or the folder cannot be used.
    """

    def __init__(
        self,
        policy: Policy,
        settings: SlurmSettings | None = None,
        slurm: SlurmCommands | None = None,
        state_dir: str | Path | None = None,
        *,
        shadow: bool = False,
    ) -> None:
        self._policy = policy
        self._settings = settings if settings is not None else SlurmSettings()
        self._slurm = slurm if slurm is not None else SlurmCommands(self._settings.timeout_s)
        self._answers, self._shadow = Answers(), shadow
        mode = PriorityMode if self._settings.mode == "priority" else PlacementMode
        self._mode: Mode = mode(policy, self._settings, self._answers)
        self._log = DecisionLog(
            state_dir,
            most_bytes=int(self._settings.log_mib * 2**20),
            kept=self._settings.log_files,
        )
        self.figures = Figures()
        policy.reset()

    def preview(self) -> Plan:
        """What a round would do now; nothing is sent or written.

        Raises:
            ExecutorError: Slurm does not answer.
        """
        return self._planned(self._slurm.read())

    def round(self) -> Plan:
        """Read, decide, write down, send.

        Raises:
            ExecutorError: Slurm does not answer.
            JournalError: decisions cannot be written, so nothing was sent.
        """
        began = time.perf_counter()
        snapshot = self._slurm.read()
        self.figures.read_s += time.perf_counter() - began
        if snapshot.boot != self._log.boot:
            self._log.write("boot", at_s=snapshot.now_s, boot=snapshot.boot)
        plan = self._planned(snapshot)
        self._write_and_send(snapshot, plan)
        self._count(plan)
        return plan

    def run(self, stop: threading.Event, rounds: int | None = None) -> None:
        """Go on until told to stop; while Slurm does not answer, try again.

        Args:
            stop: set by whoever wants an end.
            rounds: at most so many; None for no limit.

        Raises:
            JournalError: decisions cannot be written any more.
        """
        with suppress(ExecutorError):
            rehearse(self._policy, self._slurm.read(), self._settings)
        done = 0
        while not stop.is_set() and done != rounds:
            began = time.monotonic()
            try:
                self.round()
            except ExecutorError as error:
                self.figures.lost_rounds += 1
                _log.warning("this round is lost: %s", error)
            done += 1
            if done != rounds:
                stop.wait(max(0.0, self._settings.interval_s - (time.monotonic() - began)))

    def release_all(self) -> list[str]:
        """Give every job that our marker holds to Slurm; returns the commands that were sent.

        Raises:
            ExecutorError: Slurm does not answer.
        """
        lines = release_all(self._slurm.read(), self._settings, self._log)
        self._slurm.send(lines)
        return lines

    def close(self) -> None:
        """Let go of the folder."""
        self._log.close()

    def _planned(self, snapshot: Snapshot) -> Plan:
        origin_s = self._log.origin_s
        if origin_s is None:
            origin_s = _origin_s(snapshot)
        return self._mode.plan(snapshot, self._log, origin_s)

    def _write_and_send(self, snapshot: Snapshot, plan: Plan) -> None:
        if self._log.origin_s is None:
            self._log.write("origin", at_s=_origin_s(snapshot))
        if self._shadow:
            self._log.write("shadow", at_s=snapshot.now_s, commands=plan.lines)
            return
        for event, details in plan.events:
            self._log.write(event, **details)
        self._log.beat(snapshot.now_s)
        began = time.perf_counter()
        self.figures.refused += len(self._slurm.send(plan.lines))
        self.figures.send_s += time.perf_counter() - began

    def _count(self, plan: Plan) -> None:
        self.figures.rounds += 1
        self.figures.changes += plan.started
        self.figures.left_out = len(plan.left_out)
        self.figures.decisions = self._answers.count
        self.figures.decision_s = self._answers.seconds
        self.figures.policy_failures = self._answers.failures

    def as_dict(self) -> dict[str, float]:
        """The figures by name."""
        return asdict(self.figures)


def _origin_s(snapshot: Snapshot) -> float:
    """The policies' clock begins with the first job that is there, and never moves again."""
    return min([job.submit_s for job in snapshot.jobs if job.submit_s > 0] + [snapshot.now_s])
