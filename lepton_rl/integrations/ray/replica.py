"""One replica of a task, as an actor on the node that the scheduler chose.

This module is what a worker process of Ray imports, so it imports nothing of ours.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence

import ray

__all__ = ["NOT_EXECUTABLE", "NOT_FOUND", "Replica"]

NOT_FOUND = 127
NOT_EXECUTABLE = 126
"""Exit codes of commands that cannot be run, as shells have them."""


class Replica:
    """Runs one command in a process group of its own.

    Args:
        command: program and arguments; run without a shell.
        environment: on top of the worker's, in which Ray shows the GPUs that it gave out.
        working_directory: "" for the worker's.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], working_directory: str
    ) -> None:
        self._command, self._directory = list(command), working_directory or None
        self._node: str = ray.get_runtime_context().get_node_id()
        self._environment = {**os.environ, **environment, "LEPTON_RAY_NODE": self._node}
        self._process: subprocess.Popen[bytes] | None = None
        self._is_stopped = False
        self._lock = threading.Lock()

    def node(self) -> str:
        """Ray's id of its node, on which it has the resources it asked for."""
        return self._node

    def run(self) -> int:
        """Run the command to its end; returns its exit code, -n where signal n killed it."""
        with self._lock:
            if self._is_stopped:
                return -signal.SIGTERM
            try:
                self._process = subprocess.Popen(  # noqa: S603 - the user's own command, no shell
                    self._command, cwd=self._directory, env=self._environment,
                    stdin=subprocess.DEVNULL, start_new_session=True,
                )  # fmt: skip
            except FileNotFoundError:
                return NOT_FOUND
            except OSError:
                return NOT_EXECUTABLE
        code = self._process.wait()
        self._signal(signal.SIGKILL)  # what the command has left behind
        return code

    def stop(self, grace_s: float) -> None:
        """SIGTERM to the whole group, and SIGKILL to what is there after the grace period."""
        with self._lock:
            self._is_stopped = True
            process = self._process
        if process is None:
            return
        self._signal(signal.SIGTERM)
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
