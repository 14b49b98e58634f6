"""What an encoder makes of a desk that a test has set up."""

from __future__ import annotations

from lepton_rl.core.clock import to_us
from lepton_rl.encoding.features import CLUSTER_FEATURES, NODE_FEATURES, TASK_FEATURES
from lepton_rl.encoding.observation import Observation, empty_observation, encode
from lepton_rl.encoding.workspace import encoder_workspace
from tests.builders import Desk


def spoiled(slots: int, num_nodes: int, batch: int = 1) -> Observation:
    """Buffers full of leftovers."""
    obs = empty_observation(batch, slots, num_nodes)
    for values in (obs.tasks, obs.nodes, obs.cluster, obs.window):
        values.fill(77)
    obs.action_mask.fill(True)
    return obs


def look(desk: Desk, *, slots: int = 4, may_wait: bool = False) -> Observation:
    """The observation of a desk."""
    obs = spoiled(slots, len(desk.view.nodes.rows))
    encode(desk.view, 0, may_wait, obs, encoder_workspace(desk.view.nodes, 1, slots))
    return obs


def hold(desk: Desk, node: int, task_id: str, from_s: float) -> None:
    """Reserve a node, as `reserve` does for a critical task that is pending."""
    desk.view.pool.rows["held_by"][0, node] = desk.local[task_id]
    desk.view.pool.rows["held_from_us"][0, node] = to_us(from_s)


def shown(desk: Desk, obs: Observation) -> list[str | None]:
    """Which task each slot shows."""
    return [desk.ids[local] if local >= 0 else None for local in obs.window[0].tolist()]


def task_features(desk: Desk, obs: Observation, task_id: str) -> dict[str, float]:
    slot = shown(desk, obs).index(task_id)
    return dict(zip(TASK_FEATURES, obs.tasks[0, slot].tolist(), strict=True))


def node_features(obs: Observation, node: int) -> dict[str, float]:
    return dict(zip(NODE_FEATURES, obs.nodes[0, node].tolist(), strict=True))


def cluster_features(obs: Observation) -> dict[str, float]:
    return dict(zip(CLUSTER_FEATURES, obs.cluster[0].tolist(), strict=True))
