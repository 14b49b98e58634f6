"""lepton-rl: learned scheduling of AI tasks on clusters of unlike machines.

The public face. Names are imported when they are first used, so `import lepton_rl` is quick and
loads neither torch nor gymnasium.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lepton_rl.core.version import VERSION

if TYPE_CHECKING:
    from lepton_rl.core.errors import LeptonError
    from lepton_rl.core.nodes import Cluster, Node
    from lepton_rl.core.policy import Decision, Policy, Start, Wait
    from lepton_rl.core.tasks import Task, TaskState
    from lepton_rl.policies.learned import LearnedPolicy, load_policy
    from lepton_rl.policies.registry import heuristic
    from lepton_rl.system.scheduler import Scheduler

__version__ = VERSION

_HOME = {
    "Cluster": "core.nodes",
    "Decision": "core.policy",
    "LearnedPolicy": "policies.learned",
    "LeptonError": "core.errors",
    "Node": "core.nodes",
    "Policy": "core.policy",
    "Scheduler": "system.scheduler",
    "Start": "core.policy",
    "Task": "core.tasks",
    "TaskState": "core.tasks",
    "Wait": "core.policy",
    "heuristic": "policies.registry",
    "load_policy": "policies.learned",
}

__all__ = [
    "Cluster",
    "Decision",
    "LearnedPolicy",
    "LeptonError",
    "Node",
    "Policy",
    "Scheduler",
    "Start",
    "Task",
    "TaskState",
    "Wait",
    "__version__",
    "heuristic",
    "load_policy",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'lepton_rl' has no attribute {name!r}")
    return getattr(import_module(f"lepton_rl.{_HOME[name]}"), name)
