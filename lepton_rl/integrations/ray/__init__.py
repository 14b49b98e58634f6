"""Tasks as processes on the nodes of a Ray cluster; needs `pip install 'lepton-rl[ray]'`.

Names are imported when they are first used: Ray's workers import this package too, for the sake of
`replica` alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lepton_rl.integrations.ray.executor import RayExecutor
    from lepton_rl.integrations.ray.settings import RaySettings

_HOME = {"RayExecutor": "executor", "RaySettings": "settings"}

__all__ = ["RayExecutor", "RaySettings"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
