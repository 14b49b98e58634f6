"""A cluster at one moment, from its description on the wire or in a file."""

from __future__ import annotations

from lepton_rl.core.errors import StateError
from lepton_rl.core.nodes import Cluster
from lepton_rl.integrations.http.models import DecideRequest
from lepton_rl.system.snapshot import RunningTask, Snapshot

__all__ = ["snapshot_of"]


def snapshot_of(request: DecideRequest) -> Snapshot:
    """Queue and pool as described.

    Raises:
        LeptonError: a task or node is not as it should be, or what runs does not fit.
    """
    cluster = Cluster(tuple(node.node() for node in request.nodes))
    running = [RunningTask(each.task.task(), each.nodes, each.start_s) for each in request.running]
    _refuse_dependencies(request)
    return Snapshot(cluster, running, [task.task() for task in request.pending], request.now_s)


def _refuse_dependencies(request: DecideRequest) -> None:
    for task in request.pending:
        if task.depends_on:
            raise StateError(f"pending task {task.id!r} depends on others; leave it out until then")
