"""How rule and simulator functions are compiled.

`@compiled` is Numba's `njit` with the settings that every rule shares. The machine code is kept on
disk, in a folder named after a digest of all our sources: Numba itself notices only a change of the
file a function stands in, not of the functions it calls, and would go on running stale rules.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numba.core.config as numba_config

__all__ = ["cache_dir", "compiled"]

F = TypeVar("F", bound=Callable[..., object])

_COMPILED_PACKAGES = ("core", "encoding", "sim")


def _source_digest() -> str:
    package = Path(__file__).parents[1]
    digest = hashlib.sha256(f"{numba.__version__} {platform.python_version()}".encode())
    for name in _COMPILED_PACKAGES:
        for path in sorted((package / name).rglob("*.py")):
            digest.update(path.relative_to(package).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cache_dir() -> Path:
    """Folder of the compiled code of exactly these sources (created by Numba on first use).

    `LEPTON_CACHE_DIR` overrides the base folder, which is `~/.cache/lepton-rl` by default.
    """
    base = os.environ.get("LEPTON_CACHE_DIR")
    if base is None:
        base = str(Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lepton-rl")
    return Path(base) / "numba" / _source_digest()


_CACHE_DIR = str(cache_dir())

# Nothing calls the rules as C callbacks, so their C wrappers would only cost compile time.
_OPTIONS: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "error_model": "numpy",
    "boundscheck": False,
    "no_cfunc_wrapper": True,
}


def compiled(function: F) -> F:
    """Compile `function` to machine code on its first call for each signature.

    Division by zero follows NumPy (inf, nan) instead of raising, there is no fast-math, so the
    Python system and the simulator compute bit-identical results, and the GIL is released.
    """
    settings: Any = numba_config  # Numba fills its settings in at import time
    previous = settings.CACHE_DIR
    settings.CACHE_DIR = _CACHE_DIR
    try:
        return cast(F, numba.njit(**_OPTIONS)(function))
    finally:
        settings.CACHE_DIR = previous
