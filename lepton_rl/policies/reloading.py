"""A policy that can be exchanged while it is in use."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from lepton_rl.core.errors import ArtifactError, StateError
from lepton_rl.core.policy import Decision, Policy
from lepton_rl.core.tables import View
from lepton_rl.encoding.observation import Observation
from lepton_rl.policies.combined import Combined
from lepton_rl.policies.learned import load_policy

__all__ = ["ReloadingPolicy"]


class ReloadingPolicy(Combined):
    """Decides as its present policy does, which any thread may exchange.

    A new one takes over with the next decision; one that is being made is finished by the old one,
    so none is dropped. `counts()` has `policy-reloaded`, `policy-refused`, `policy-rolled-back`.

    Args:
        policy: the first one.
        load: reads and verifies a policy file.
    """

    def __init__(self, policy: Policy, load: Callable[[str | Path], Policy] = load_policy) -> None:
        super().__init__(policy)
        self._load, self._lock = load, threading.Lock()
        self._previous: Policy | None = None

    @property
    def current(self) -> Policy:
        """Who decides now."""
        return self._parts[0]

    @property
    def previous(self) -> Policy | None:
        """Whom `rollback` brings back; None if there is nobody."""
        return self._previous

    @property
    def observed(self) -> Observation | None:
        """What the network was shown last, where there is one."""
        return getattr(self._parts[0], "observed", None)

    def decide(self, view: View) -> Decision:
        """See `core.policy.Policy`."""
        return self._parts[0].decide(view)

    def reload(self, path: str | Path) -> Policy:
        """Exchange the policy for that of a file, once the file is read and verified.

        Returns:
            The new policy.

        Raises:
            ArtifactError: the file is refused; the policy is the old one.
        """
        try:
            policy = self._load(path)
        except ArtifactError:
            self._count("policy-refused", incident=True)
            raise
        self.exchange(policy)
        return policy

    def exchange(self, policy: Policy) -> None:
        """Let another policy decide from the next decision on."""
        policy.reset()
        with self._lock:
            self._previous, self._parts = self._parts[0], [policy]
        self._count("policy-reloaded")

    def rollback(self) -> Policy:
        """Go back to the policy before the last exchange; a second rollback undoes the first.

        Returns:
            Who decides now.

        Raises:
            StateError: there was no exchange.
        """
        with self._lock:
            if self._previous is None:
                raise StateError("there is no earlier policy to go back to; reload one first")
            self._previous.reset()
            self._previous, self._parts = self._parts[0], [self._previous]
        self._count("policy-rolled-back")
        return self._parts[0]
