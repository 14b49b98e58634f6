"""Slurm's command line tools: one reading a round, one batch of changes."""

from __future__ import annotations

import logging
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import cached_property

from lepton_rl.core.errors import ExecutorError
from lepton_rl.integrations.slurm.parse import Dialect, dialect_of
from lepton_rl.integrations.slurm.records import Snapshot

__all__ = ["Runner", "SlurmCommands", "run_command"]

_ERRORS_SHOWN = 5
_BOOT = re.compile(r"^BOOT_TIME\s*=\s*(\S+)", re.MULTILINE)
_log = logging.getLogger("lepton_rl.slurm")

Runner = Callable[[Sequence[str], str, float], tuple[int, str, str]]
"""(arguments, standard input, timeout in s) -> exit status, standard output, standard error."""


def run_command(arguments: Sequence[str], stdin: str, timeout_s: float) -> tuple[int, str, str]:
    """Run a program without a shell.

    Raises:
        ExecutorError: it is not there, or takes too long.
    """
    try:
        done = subprocess.run(  # noqa: S603 - Slurm's own tools, no shell
            arguments, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except FileNotFoundError as error:
        raise ExecutorError(
            f"{arguments[0]} is not on the PATH; install Slurm's client commands"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ExecutorError(
            f"{arguments[0]} did not answer within {timeout_s:g} s; is slurmctld up?"
        ) from error
    return done.returncode, done.stdout, done.stderr


class SlurmCommands:
    """Reads and changes the queue of the Slurm that SLURM_CONF (or its default) names.

    Args:
        timeout_s: for each command.
        run: runs one; for tests.
    """

    def __init__(self, timeout_s: float = 20.0, run: Runner = run_command) -> None:
        self._timeout_s, self._run = timeout_s, run

    @cached_property
    def dialect(self) -> Dialect:
        """How this Slurm writes JSON.

        Raises:
            ExecutorError: it is of no supported version, or not installed.
        """
        return dialect_of(self._output(("squeue", "--version")))

    def read(self) -> Snapshot:
        """The queue and the nodes now: three commands, however many jobs there are.

        Raises:
            ExecutorError: Slurm does not answer, or not as expected.
        """
        jobs = self.dialect.jobs(self._output(("squeue", "--json")))
        nodes = self.dialect.nodes(self._output(self.dialect.nodes_command))
        config = self._output(("scontrol", "show", "config"))
        found = _BOOT.search(config)
        return Snapshot(jobs, nodes, time.time(), found[1] if found else "")

    def send(self, lines: Sequence[str]) -> list[str]:
        """Let one `scontrol` carry out commands, in their order.

        A command that Slurm refuses does not stop those after it. The next reading shows what has
        become of them.

        Returns:
            What Slurm complained about.

        Raises:
            ExecutorError: Slurm does not answer; some may have been carried out.
        """
        if not lines:
            return []
        _, _, complaints = self._run(("scontrol",), "\n".join(lines) + "\n", self._timeout_s)
        found = [line.strip() for line in complaints.splitlines() if line.strip()]
        for line in found[:_ERRORS_SHOWN]:
            _log.warning("scontrol: %s", line)
        return found

    def _output(self, arguments: Sequence[str]) -> str:
        status, output, complaints = self._run(arguments, "", self._timeout_s)
        if status != 0:
            said = complaints.strip() or f"exit status {status}"
            raise ExecutorError(f"{' '.join(arguments)} failed: {said}")
        return output
