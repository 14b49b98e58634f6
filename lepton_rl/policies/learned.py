"""A trained policy in production: observation in, decision out, on ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lepton_rl.core.errors import ArtifactError, InfeasibleDecisionError
from lepton_rl.core.policy import Decision, Start, Wait
from lepton_rl.core.rules.backfill import Backfill, undo_choice
from lepton_rl.core.rules.dispatch import WAIT, start_head
from lepton_rl.core.rules.placement import Place
from lepton_rl.core.tables import View
from lepton_rl.encoding.observation import Observation, empty_observation, encode
from lepton_rl.policies.artifact import Artifact, read_artifact
from lepton_rl.policies.workspace import Workspace

__all__ = ["LearnedPolicy", "load_policy"]

_LARGEST_WINDOW = 4096


class LearnedPolicy:
    """Asks the network which pending task comes first; the rules do the rest.

    The window follows the queue (the next power of two, at most 4,096 slots), so the network sees
    every pending task whatever the window was in training, and a decision depends on the view
    alone: with another window, the same network differs in the last digit.

    Args:
        artifact: a verified policy file.
        place: placement rule; default as in training.
        backfill: who may overtake a blocked task; default as in training.
    """

    def __init__(
        self, artifact: Artifact, place: Place | None = None, backfill: Backfill | None = None
    ) -> None:
        manifest = artifact.manifest
        self.artifact = artifact
        self.name = manifest.name
        self.may_wait = manifest.may_wait
        self.place = place if place is not None else Place[_key(manifest.place)]
        self.backfill = backfill if backfill is not None else Backfill[_key(manifest.backfill)]
        self._buffers: dict[tuple[int, int], Observation] = {}
        self._workspace = Workspace(has_plan=self.backfill is Backfill.CONSERVATIVE)

    def __reduce__(self) -> tuple[type[LearnedPolicy], tuple[Artifact, Place, Backfill]]:
        """In another process it begins with buffers of its own."""
        return LearnedPolicy, (self.artifact, self.place, self.backfill)

    def reset(self) -> None:
        """Nothing is remembered between decisions."""

    def head(self, view: View) -> int:
        """Local index of the task that comes first, or WAIT.

        Raises:
            InfeasibleDecisionError: the network gave no finite preference.
        """
        obs = self.observe(view)
        logits = self.artifact.logits(obs.tasks, obs.nodes, obs.cluster, obs.action_mask)[0]
        slot = int(np.argmax(logits))
        if not np.isfinite(logits[slot]):
            raise InfeasibleDecisionError(
                f"policy {self.name!r}: expected a finite logit, got {logits[slot]}; the"
                " observation or the network is not finite"
            )
        return WAIT if slot == len(obs.window[0]) else int(obs.window[0, slot])

    def observe(self, view: View) -> Observation:
        """What the network sees, `(1, ...)`, in a buffer that the next call may overwrite."""
        obs = self._buffer(int(view.status["num_pending"][0]), len(view.nodes.rows))
        may_wait = self.may_wait and int(view.status["num_running"][0]) > 0
        encode(view, 0, may_wait, obs)
        return obs

    def decide(self, view: View) -> Decision:
        """The next decision; see `core.policy.Policy`."""
        if view.status["num_pending"][0] == 0:
            return Wait()
        head = self.head(view)
        if head == WAIT:
            return Wait()
        seen, work = self._workspace.ready(view)
        local = start_head(seen, work, 0, head, int(self.place), int(self.backfill))
        if local == WAIT:
            return Wait()
        row = int(view.status["first_row"][0]) + local
        undo_choice(seen, work, 0, row)
        replicas = int(view.tasks["replicas"][row])
        choice = self._workspace.fitting(view).choice
        return Start(local, tuple(choice["node"][0, :replicas].tolist()))

    def _buffer(self, pending: int, num_nodes: int) -> Observation:
        slots = min(_LARGEST_WINDOW, 1 << max(1, (max(pending, 1) - 1).bit_length()))
        if (slots, num_nodes) not in self._buffers:
            self._buffers[slots, num_nodes] = empty_observation(1, slots, num_nodes)
        return self._buffers[slots, num_nodes]


def load_policy(path: str | Path) -> LearnedPolicy:
    """Load a trained policy from its file; needs neither torch nor gymnasium.

    Raises:
        ArtifactError: the file is damaged, foreign or of another schema.
    """
    artifact = read_artifact(path)
    try:
        return LearnedPolicy(artifact)
    except KeyError as error:
        raise ArtifactError(f"{path}: unknown placement or backfilling rule {error}") from error


def _key(name: str) -> str:
    return name.upper().replace("-", "_")
