"""A live scheduler that is taken care of: started, watched, and brought back after its journal."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from lepton_rl.core.errors import JournalError, LeptonError
from lepton_rl.core.policy import Policy
from lepton_rl.integrations.http.policies import ServedPolicies
from lepton_rl.integrations.http.recent import RecentEvents
from lepton_rl.system.journal import Journal
from lepton_rl.system.monitor.monitor import Listener
from lepton_rl.system.scheduler import Scheduler

__all__ = ["Made", "Service"]

_WATCH_S = 0.2
_LONGEST_PAUSE_S = 30.0
_log = logging.getLogger("lepton_rl.http")


@dataclass(frozen=True, slots=True)
class Made:
    """A scheduler that has not been started, and its journal, if it has one."""

    scheduler: Scheduler
    journal: Journal | None = None


Maker = Callable[[Policy, Listener], Made]


class Service:
    """Owns the scheduler.

    A scheduler whose journal cannot be written ends (what is not written down must not happen).
    The service then says so, refuses what it is asked, and makes a new scheduler from the journal,
    again and again, until that succeeds: nothing that was accepted is lost.

    Args:
        make: a scheduler with this policy, whose monitor tells this listener.
        policies: who decides.
        keep_events: see `ServeSettings`.

    Attributes:
        policies: see above.
        recent: the latest events.
        revivals: how often the scheduler was brought back.
    """

    def __init__(self, make: Maker, policies: ServedPolicies, keep_events: int = 200) -> None:
        self._make, self.policies = make, policies
        self.recent = RecentEvents(keep_events)
        self._made = make(policies.acting, self.recent)
        self._over = threading.Event()
        self._problem = ""
        self.revivals = 0
        self._watcher = threading.Thread(target=self._watch, name="lepton-watcher", daemon=True)

    @property
    def scheduler(self) -> Scheduler:
        """The present one."""
        return self._made.scheduler

    @property
    def problem(self) -> str:
        """Why tasks are not scheduled now; "" if they are."""
        failure = self.scheduler.failure
        if failure is not None:
            return str(failure)
        if self._problem:
            return self._problem
        return "" if self.scheduler.is_live else "the scheduler is not running"

    @property
    def working_scheduler(self) -> Scheduler:
        """The present scheduler; what one says whose journal has failed may never have happened.

        Raises:
            JournalError: the journal cannot be written now.
        """
        failure = self.scheduler.failure
        if failure is not None or self._problem:
            raise JournalError(self._problem or str(failure))
        return self.scheduler

    def start(self) -> None:
        """Begin to schedule."""
        self.scheduler.start()
        self._watcher.start()

    def stop(self, timeout_s: float | None = 30.0, *, stop_running: bool = True) -> None:
        """End; pending tasks stay in the journal.

        Args:
            timeout_s: how long to wait for tasks to stop.
            stop_running: stop what runs, which is then pending; otherwise leave it to the executor.
        """
        self._over.set()
        if self._watcher.is_alive():
            self._watcher.join()
        with contextlib.suppress(LeptonError):
            self.scheduler.stop(drain=False, timeout_s=timeout_s, stop_running=stop_running)
        self._close_journal()

    def _watch(self) -> None:
        pause_s = _WATCH_S
        while not self._over.wait(pause_s):
            if not isinstance(self.scheduler.failure, JournalError) and not self._problem:
                pause_s = _WATCH_S
                continue
            pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)
            try:
                self._revive()
            except Exception as error:
                self._problem = f"the scheduler cannot be brought back yet: {error}"
                _log.warning(self._problem)

    def _revive(self) -> None:
        if not self._problem:
            self._problem = str(self.scheduler.failure)
            with contextlib.suppress(LeptonError):
                self.scheduler.stop(drain=False, stop_running=False)
            self._close_journal()
        made = self._make(self.policies.acting, self.recent)
        made.scheduler.start()
        made.scheduler.monitor.incident("journal-error")
        self._made, self._problem = made, ""
        self.revivals += 1
        _log.warning("the scheduler is back; its journal could not be written for a while")

    def _close_journal(self) -> None:
        if self._made.journal is not None:
            with contextlib.suppress(LeptonError):
                self._made.journal.close()
