"""A trained policy in production: observation in, decision out, on ONNX Runtime."""

from __future__ import annotations

import math
from pathlib import Path

from lepton_rl.core.by_reference import Handle
from lepton_rl.core.errors import ArtifactError, NotFiniteError
from lepton_rl.core.policy import Decision, Start, Wait
from lepton_rl.core.rules.backfill import Backfill, undo_choice
from lepton_rl.core.rules.dispatch import WAIT, start_head
from lepton_rl.core.rules.placement import (
    Place,
    begin_gang,
    has_room_now,
    only_node,
    place_replica,
    undo_replicas,
)
from lepton_rl.core.rules.scratch import Scratch
from lepton_rl.core.tables import NO_NODE, View
from lepton_rl.encoding.observation import (
    Observation,
    empty_observation,
    encode,
    encode_candidates,
)
from lepton_rl.encoding.workspace import EncoderWorkspace, encoder_workspace
from lepton_rl.policies.artifact import Artifact, read_artifact
from lepton_rl.policies.shipped import policy_path
from lepton_rl.policies.workspace import Workspace

__all__ = ["LearnedPolicy", "load_policy"]

_LARGEST_WINDOW = 4096
_Buffers = tuple[Observation, Observation, EncoderWorkspace]
"""An observation, the same for compiled functions, and its work space for these."""


class LearnedPolicy:
    """Asks the network which pending task comes first; the rules do the rest.

    A network that was trained to is also asked for the node of each of its replicas.

    The window follows the queue (the next power of two, at most 4,096 slots), so the network sees
    every pending task whatever the window was in training, and a decision depends on the view
    alone: with another window, the same network differs in the last digit.

    Args:
        artifact: a verified policy file.
        place: placement rule; default as in training.
        backfill: who may overtake a blocked task; default as in training.

    Attributes:
        observed: what the network was shown last; None before the first decision.
    """

    def __init__(
        self, artifact: Artifact, place: Place | None = None, backfill: Backfill | None = None
    ) -> None:
        manifest = artifact.manifest
        self.artifact = artifact
        self.name = manifest.name
        self.may_wait = manifest.may_wait
        self.chooses_nodes = manifest.choose_nodes
        self.place = place if place is not None else Place[_key(manifest.place)]
        self.backfill = backfill if backfill is not None else Backfill[_key(manifest.backfill)]
        self.observed: Observation | None = None
        self._buffers: dict[tuple[int, int, int], _Buffers] = {}
        self._workspace = Workspace(has_plan=self.backfill is Backfill.CONSERVATIVE)

    def __reduce__(self) -> tuple[type[LearnedPolicy], tuple[Artifact, Place, Backfill]]:
        """In another process it begins with buffers of its own."""
        return LearnedPolicy, (self.artifact, self.place, self.backfill)

    def reset(self) -> None:
        """Nothing is remembered between decisions."""

    def head(self, view: View) -> int:
        """Local index of the task that comes first, or WAIT.

        Raises:
            NotFiniteError: the network gave no finite preference.
        """
        obs = self.observe(view)
        slot = self._first_choice(obs)
        return WAIT if slot == len(obs.window[0]) else int(obs.window[0, slot])

    def observe(self, view: View) -> Observation:
        """What the network sees, `(1, ...)`, in a buffer that the next call may overwrite."""
        obs, into, work = self._buffer(view)
        may_wait = self.may_wait and int(view.status["num_running"][0]) > 0
        encode(self._workspace.ready(view)[0], 0, may_wait, into, work)
        self.observed = obs
        return obs

    def decide(self, view: View) -> Decision:
        """The next decision; see `core.policy.Policy`."""
        if view.status["num_pending"][0] == 0:
            return Wait()
        head = self.head(view)
        if head == WAIT:
            return Wait()
        seen, work = self._workspace.ready(view)
        if self.chooses_nodes and has_room_now(seen, 0, head):
            return Start(head, self._nodes_for(view, seen, work, head))
        local = start_head(seen, work, 0, head, int(self.place), int(self.backfill))
        if local == WAIT:
            return Wait()
        row = int(view.status["first_row"][0]) + local
        undo_choice(seen, work, 0, row)
        replicas = int(view.tasks["replicas"][row])
        choice = self._workspace.fitting(view).choice
        return Start(local, tuple(choice["node"][0, :replicas].tolist()))

    def _nodes_for(self, view: View, seen: View, work: Scratch, head: int) -> tuple[int, ...]:
        """The node of each replica of a task that has room, one after another."""
        row = int(view.status["first_row"][0]) + head
        replicas = int(view.tasks["replicas"][row])
        begin_gang(work, 0)
        nodes: list[int] = []
        try:
            for replica in range(replicas):
                m = only_node(seen, 0, head)
                if m == NO_NODE:
                    m = self.node(view, head, replica)
                place_replica(seen, work, 0, head, replica, m)
                nodes.append(m)
        finally:
            undo_replicas(seen, work, 0, head, len(nodes))
        return tuple(nodes)

    def node(self, view: View, local: int, replica: int) -> int:
        """The node for the next replica of a task, of several that it may use.

        Args:
            view: its pool already lacks what earlier replicas take.
            local: the task's local index.
            replica: the one to be placed, from 0.

        Raises:
            NotFiniteError: the network gave no finite preference.
        """
        obs = self.observe_nodes(view, local, replica)
        return self._first_choice(obs) - len(obs.window[0]) - 1

    def observe_nodes(self, view: View, local: int, replica: int = 0) -> Observation:
        """What the network sees while it chooses a node, as `observe`; arguments as of `node`."""
        obs, into, work = self._buffer(view)
        encode_candidates(self._workspace.ready(view)[0], 0, local, replica, into, work)
        self.observed = obs
        return obs

    def _first_choice(self, obs: Observation) -> int:
        """The action that the network likes best.

        Raises:
            NotFiniteError: it gave no finite preference.
        """
        inputs = (obs.tasks, obs.nodes, obs.cluster, obs.action_mask)
        more = (obs.candidates,) if self.chooses_nodes else ()
        logits = self.artifact.logits(*inputs, *more)[0]
        action = int(logits.argmax())
        if not math.isfinite(logits[action]):
            raise NotFiniteError(
                f"policy {self.name!r}: expected a finite logit, got {logits[action]}; the"
                " observation or the network is not finite"
            )
        return action

    def _buffer(self, view: View) -> _Buffers:
        pending, num_nodes = int(view.status["num_pending"][0]), len(view.nodes.rows)
        slots = min(_LARGEST_WINDOW, 1 << max(1, (max(pending, 1) - 1).bit_length()))
        shapes = slots, num_nodes, len(view.nodes.total)
        if shapes not in self._buffers:
            obs = empty_observation(1, slots, num_nodes, chooses_nodes=self.chooses_nodes)
            work = encoder_workspace(view.nodes, 1, slots)
            self._buffers[shapes] = obs, Handle.standing_for(obs), Handle.standing_for(work)
        return self._buffers[shapes]


def load_policy(path: str | Path) -> LearnedPolicy:
    """Load a trained policy; needs neither torch nor gymnasium.

    Args:
        path: of its file, or the name of a policy that comes with the package.

    Raises:
        ArtifactError: the file is damaged, foreign or of another schema.
    """
    artifact = read_artifact(policy_path(path))
    try:
        return LearnedPolicy(artifact)
    except KeyError as error:
        raise ArtifactError(f"{path}: unknown placement or backfilling rule {error}") from error


def _key(name: str) -> str:
    return name.upper().replace("-", "_")
