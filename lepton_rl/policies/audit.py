"""A record of every decision: what was seen, what was chosen, why, and who decided."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from typing import Protocol

from lepton_rl.core.clock import to_seconds
from lepton_rl.core.errors import LeptonError
from lepton_rl.core.policy import Decision, Policy, Preempt, Start
from lepton_rl.core.tables import View
from lepton_rl.policies.combined import Combined
from lepton_rl.policies.explain import explain
from lepton_rl.policies.learned import LearnedPolicy

__all__ = ["AuditedPolicy", "Lines", "view_digest"]

_FALLBACK = "fallback-"
_log = logging.getLogger("lepton_rl.policies")


class Lines(Protocol):
    """What takes lines, such as a text file."""

    def write(self, line: str, /) -> object:
        """Append a line."""
        ...

    def flush(self) -> object:
        """Hand on what was written."""
        ...


def view_digest(view: View) -> str:
    """A fingerprint of what a policy may look at, 32 hex digits; equal views have equal ones."""
    status = view.status[0]
    seen = [view.status, *view.nodes, *view.pool]
    for listed, count in ((view.pending, "num_pending"), (view.running, "num_running")):
        locals_ = listed[0, : status[count]]
        seen += [locals_, view.tasks[status["first_row"] + locals_], view.spans[0, locals_]]
    digest = hashlib.blake2b(digest_size=16)
    for array in seen:
        for name in array.dtype.names or (...,):  # what lies between fields means nothing
            digest.update(array[name].tobytes())
    return digest.hexdigest()


class AuditedPolicy(Combined):
    """Writes a line of JSON for each decision of `policy`.

    A line has `time_s`, `policy`, `view` (`view_digest`), `pending`, `running`, `action`, and where
    they apply `task`, `nodes`, `fallback` (causes) and `features` (strongest first, with effects in
    logits; `policies.explain`). A stream that cannot be written to stops no decision: the line is
    lost, and counted as `audit-lost`.

    Args:
        policy: decides.
        stream: takes the lines; flushed after each.
        network: the learned policy that is behind it now, to be explained; None, or something else
            than a `LearnedPolicy`, leaves the features out.
        features: how many; 0 leaves them out. They cost about ten decisions each time.

    Attributes:
        name_of: id of the task of a local index; by default the index itself.
    """

    def __init__(
        self,
        policy: Policy,
        stream: Lines,
        network: Callable[[], Policy] | None = None,
        features: int = 3,
    ) -> None:
        super().__init__(policy)
        self._policy, self._stream = policy, stream
        self._network, self._features = network, features
        self.name_of: Callable[[int], str] = str

    def decide(self, view: View) -> Decision:
        """The policy's decision; see `core.policy.Policy`."""
        before = self._fallbacks()
        decision = self._policy.decide(view)
        after = self._fallbacks()
        causes = [name for name in after if after[name] > before.get(name, 0)]
        try:
            self._write(view, decision, causes)
        except (OSError, ValueError) as error:  # ValueError: it is closed
            if not self._events["audit-lost"]:
                _log.warning("the audit cannot be written: %s", error)
            self._count("audit-lost", incident=True)
        return decision

    def _write(self, view: View, decision: Decision, causes: list[str]) -> None:
        status = view.status[0]
        record: dict[str, object] = {
            "time_s": float(to_seconds(int(status["now_us"]))),
            "policy": self.name,
            "view": view_digest(view),
            "pending": int(status["num_pending"]),
            "running": int(status["num_running"]),
            "action": type(decision).__name__.lower(),
        }
        if isinstance(decision, Start | Preempt):
            record["task"] = self.name_of(int(decision.task))
        if isinstance(decision, Start):
            record["nodes"] = list(decision.nodes)
        if causes:
            record["fallback"] = causes
        elif features := self._strongest():
            record["features"] = features
        self._stream.write(f"{json.dumps(record)}\n")
        self._stream.flush()

    def _strongest(self) -> dict[str, float]:
        """Features of the decision just made and their effects; empty where there are none."""
        network = self._network() if self._network is not None and self._features else None
        if not isinstance(network, LearnedPolicy) or network.observed is None:
            return {}
        try:
            effects = explain(network, network.observed)[: self._features]
        except LeptonError:  # nothing was chosen: there was one action
            return {}
        return {each.feature: round(each.effect, 4) for each in effects}

    def _fallbacks(self) -> dict[str, int]:
        return {name: n for name, n in self.counts().items() if name.startswith(_FALLBACK)}
