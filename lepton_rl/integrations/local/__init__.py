"""Tasks as processes of this machine (Linux only).

Names are imported when they are first used: the launcher process imports this package too, and
forks once for each task, so it must stay small.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lepton_rl.integrations.local.executor import LocalExecutor
    from lepton_rl.integrations.local.settings import LocalSettings

_HOME = {"LocalExecutor": "executor", "LocalSettings": "settings"}

__all__ = ["LocalExecutor", "LocalSettings"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
