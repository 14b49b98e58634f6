"""The policies of a service: who acts, who stands behind it, and how it is exchanged."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from lepton_rl.core.policy import Policy
from lepton_rl.policies.guard import GuardedPolicy, GuardSettings
from lepton_rl.policies.learned import LearnedPolicy, load_policy
from lepton_rl.policies.registry import heuristic
from lepton_rl.policies.reloading import ReloadingPolicy

__all__ = ["ServedPolicies"]


class ServedPolicies:
    """A guarded policy that acts, and a twin of it that answers `/v1/decide`.

    They are two, because a policy answers one question at a time.

    Args:
        make: a new instance of the policy, called twice.
        fallback: spec of the heuristic behind it.
        guard: None for the defaults.
        wrap: puts something around who acts, e.g. a `ShadowPolicy`; None for nothing.

    Attributes:
        acting: for the scheduler.
        twin: for stateless decisions; use it under `lock`.
        fallback: see above.
    """

    def __init__(
        self,
        make: Callable[[], Policy],
        fallback: str = "fcfs+easy",
        guard: GuardSettings | None = None,
        wrap: Callable[[Policy], Policy] | None = None,
    ) -> None:
        self.fallback, self.lock = fallback, threading.Lock()
        self._holders = [ReloadingPolicy(make()) for _ in range(2)]
        guards = [GuardedPolicy(each, heuristic(fallback), guard) for each in self._holders]
        self._guards = guards
        self.guard, self.twin = guards
        self.acting: Policy = self.guard if wrap is None else wrap(self.guard)

    @property
    def current(self) -> Policy:
        """Who decides now."""
        return self._holders[0].current

    @property
    def previous(self) -> Policy | None:
        """Whom `rollback` brings back."""
        return self._holders[0].previous

    @property
    def sha256(self) -> str | None:
        """Checksum of the policy file; None for a heuristic."""
        current = self.current
        return current.artifact.sha256 if isinstance(current, LearnedPolicy) else None

    def reload(self, path: Path) -> None:
        """Let the policy of a file decide from now on.

        Raises:
            ArtifactError: it is refused; everything is as before.
        """
        with self.lock:
            self._holders[0].reload(path)
            self._holders[1].exchange(load_policy(path))
            self._forgive()

    def rollback(self) -> None:
        """Go back to the policy before.

        Raises:
            StateError: there is none.
        """
        with self.lock:
            for holder in self._holders:
                holder.rollback()
            self._forgive()

    def _forgive(self) -> None:
        for guard in self._guards:
            guard.forgive()
