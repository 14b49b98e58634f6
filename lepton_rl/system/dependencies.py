"""Tasks that depend on each other must not do so in a circle."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

from lepton_rl.core.errors import ConfigError
from lepton_rl.core.tasks import Task

__all__ = ["require_acyclic"]


def require_acyclic(tasks: Mapping[str, Task]) -> None:
    """Refuse tasks of which none could ever start first.

    Args:
        tasks: id -> task; what they depend on outside of these does not matter.

    Raises:
        ConfigError: names the circle.
    """
    graph = {
        name: [each for each in task.depends_on if each in tasks]
        for name, task in tasks.items()
        if task.depends_on
    }
    if not any(graph.values()):
        return
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " -> ".join(repr(name) for name in reversed(error.args[1]))
        raise ConfigError(
            f"task {error.args[1][0]!r}: depends_on: tasks depend on each other in a circle,"
            f" {circle}; none of them could ever start"
        ) from None
