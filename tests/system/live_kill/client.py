"""The client of the kill test: submits without end, and again where it got no answer."""

from __future__ import annotations

import random
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from lepton_rl.core.tasks import Task
from tests.system.live_kill.work import NODES, task_number

MOST_UNFINISHED = 40


class Client:
    """Talks to whichever scheduler lives, from a thread of its own.

    Attributes:
        submitted: tasks that the scheduler has confirmed, by id.
        cancelled: ids that it was asked to cancel.
        resubmitted: how often a task was offered again because its scheduler had been killed.
        known: how often that one was told the task was there already.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder, self._seed = folder, seed
        self._chance = random.Random(seed)
        self._has_line, self._line = threading.Condition(), None
        self._is_over = False
        self.submitted: dict[str, Task] = {}
        self.cancelled: set[str] = set()
        self.incidents: dict[str, int] = {}
        self.resubmitted = self.known = 0
        self._thread = threading.Thread(target=self._work, name="client", daemon=True)
        self._thread.start()

    def talk_to(self, line: Connection) -> None:
        """A scheduler has been born."""
        with self._has_line:
            self._line = line
            self._has_line.notify_all()

    def finish(self) -> None:
        """Let the thread end after what it is about, and the scheduler drain."""
        self._is_over = True
        self._thread.join(60)
        assert not self._thread.is_alive()
        problem, _, incidents = self._ask(("drain",))
        assert problem == ""
        self.incidents = incidents

    def _work(self) -> None:
        number = 0
        while not self._is_over:
            self._submit(task_number(number, self._seed, self._folder))
            number += 1
            self._disturb(number)

    def _submit(self, task: Task) -> None:
        tries = 0
        while not self._is_over:
            tries += 1
            answer = self._try(("submit", task))
            if answer is None:
                continue
            problem, unfinished, self.incidents = answer
            is_known = tries > 1 and "was submitted before" in problem
            assert problem == "" or is_known, problem
            self.submitted[task.id] = task
            self.resubmitted += tries > 1
            self.known += is_known
            if unfinished > MOST_UNFINISHED:
                time.sleep(0.05)
            return

    def _disturb(self, number: int) -> None:
        """Cancel a task, or let a node fail for a moment."""
        fate = self._chance.random()
        if fate < 0.04:
            name = f"t{self._chance.randint(max(0, number - 30), number - 1)}"
            self.cancelled.add(name)
            self._insist(("cancel", name))
        elif fate < 0.05:
            node = self._chance.choice(NODES)
            self._insist(("fail", node))
            self._insist(("resume", node))

    def _insist(self, request: tuple[Any, ...]) -> None:
        while not self._is_over and self._try(request) is None:
            pass

    def _try(self, request: tuple[Any, ...]) -> Any:
        """The answer, None if the scheduler was killed before it gave one."""
        try:
            return self._ask(request)
        except (EOFError, OSError):
            with self._has_line:
                self._line = None
            return None

    def _ask(self, request: tuple[Any, ...]) -> Any:
        with self._has_line:
            self._has_line.wait_for(lambda: self._line is not None or self._is_over)
            line = self._line
        if line is None:
            raise EOFError
        line.send(request)
        return line.recv()
