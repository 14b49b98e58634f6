"""A trained policy in production: observation in, decision out, on ONNX Runtime."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.by_reference import Handle
from lepton_rl.core.direct import Direct
from lepton_rl.core.errors import ArtifactError, NotFiniteError, StateError
from lepton_rl.core.policy import Decision, Start, Wait
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.rules.dispatch import WAIT, propose_head
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
from lepton_rl.policies.artifact import LARGEST_WINDOW, Artifact, read_artifact
from lepton_rl.policies.shipped import policy_path
from lepton_rl.policies.workspace import Workspace

__all__ = ["LearnedPolicy", "load_policy"]

_MOST_SEATS = 32
"""Sizes of queue and cluster whose buffers are kept; a cluster that grows has ever new ones."""


class _Seat(NamedTuple):
    """Buffers for one observation, and the network bound to them."""

    obs: Observation
    into: Observation  # the same, as compiled functions take it
    work: EncoderWorkspace  # of these, for compiled functions
    logits: Callable[[], NDArray[np.float32]]
    wait: int  # the action


class LearnedPolicy:
    """Asks the network which pending task comes first; the rules do the rest.

    A network that was trained to is also asked for the node of each of its replicas.

    The window follows the queue (the next power of two, at most 4,096 slots), so the network sees
    every pending task whatever the window was in training, and a decision depends on the view
    alone: with another window, the same network differs in the last digit. A network that was made
    for one number of slots and nodes (`Manifest.slots`) gets as many, and refuses other clusters.

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
        self._seats: dict[tuple[int, int, int], _Seat] = {}
        self._slots = manifest.slots
        self._rules = int(self.place), int(self.backfill)
        self._workspace = Workspace(has_plan=self.backfill is Backfill.CONSERVATIVE)
        self._encode, self._encode_candidates = Direct(encode), Direct(encode_candidates)
        self._propose_head = Direct(propose_head)

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
        seat = self._observe(view)
        slot = self._first_choice(seat)
        return WAIT if slot == seat.wait else seat.obs.window.item(slot)

    def observe(self, view: View) -> Observation:
        """What the network sees, `(1, ...)`, in a buffer that the next call may overwrite."""
        return self._observe(view).obs

    def _observe(self, view: View) -> _Seat:
        seat = self._seat(view)
        may_wait = self.may_wait and view.status["num_running"].item() > 0
        self._encode(self._workspace.ready(view)[0], 0, may_wait, seat.into, seat.work)
        self.observed = seat.obs
        return seat

    def decide(self, view: View) -> Decision:
        """The next decision; see `core.policy.Policy`."""
        if not view.status["num_pending"].item():
            return Wait()
        head = self.head(view)
        if head == WAIT:
            return Wait()
        seen, work = self._workspace.ready(view)
        if self.chooses_nodes and has_room_now(seen, 0, head):
            return Start(head, self._nodes_for(view, seen, work, head))
        local = self._propose_head(seen, work, 0, head, *self._rules)
        if local == WAIT:
            return Wait()
        replicas = view.tasks["replicas"].item(view.status["first_row"].item() + local)
        nodes = self._workspace.fitting(view).choice["node"]
        return Start(local, tuple(nodes[0, :replicas].tolist()))

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
        seat = self._observe_nodes(view, local, replica)
        return self._first_choice(seat) - seat.wait - 1

    def observe_nodes(self, view: View, local: int, replica: int = 0) -> Observation:
        """What the network sees while it chooses a node, as `observe`; arguments as of `node`."""
        return self._observe_nodes(view, local, replica).obs

    def _observe_nodes(self, view: View, local: int, replica: int) -> _Seat:
        seat = self._seat(view)
        seen, _ = self._workspace.ready(view)
        self._encode_candidates(seen, 0, local, replica, seat.into, seat.work)
        self.observed = seat.obs
        return seat

    def _first_choice(self, seat: _Seat) -> int:
        """The action that the network likes best.

        Raises:
            NotFiniteError: it gave no finite preference.
        """
        logits = seat.logits()
        action = int(logits.argmax())
        best = logits.item(action)
        if not math.isfinite(best):
            raise NotFiniteError(
                f"policy {self.name!r}: expected a finite logit, got {best}; the observation or"
                " the network is not finite"
            )
        return action

    def _seat(self, view: View) -> _Seat:
        pending = view.status["num_pending"].item()
        slots = self._slots
        if slots is None:
            slots = min(LARGEST_WINDOW, 1 << (pending - 1).bit_length()) if pending > 2 else 2
        shapes = slots, len(view.nodes.rows), len(view.nodes.total)
        seat = self._seats.get(shapes)
        return self._new_seat(view, shapes) if seat is None else seat

    def _new_seat(self, view: View, shapes: tuple[int, int, int]) -> _Seat:
        if len(self._seats) >= _MOST_SEATS:
            self._seats.clear()
        slots, num_nodes, _ = shapes
        expected = self.artifact.manifest.num_nodes
        if expected not in (None, num_nodes):
            raise StateError(
                f"policy {self.name!r}: its network was made for {expected} nodes, the cluster has"
                f" {num_nodes}; use a policy trained by lepton-rl train, which runs on any"
            )
        obs = empty_observation(1, slots, num_nodes, chooses_nodes=self.chooses_nodes)
        work = encoder_workspace(view.nodes, 1, slots)
        into, space = Handle.standing_for(obs), Handle.standing_for(work)
        seat = _Seat(obs, into, space, self.artifact.bound_to(obs), wait=slots)
        self._seats[shapes] = seat
        return seat


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
