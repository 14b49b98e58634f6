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

from lepton_rl.core.compilation import announce_compilation
from lepton_rl.core.errors import StateError
from lepton_rl.core.indexing import trust_indices
from lepton_rl.core.linking import link_as_a_whole
from lepton_rl.core.machine_code import keep_files_apart, name_records_by_layout

__all__ = ["cache_dir", "compiled", "inlined"]

F = TypeVar("F", bound=Callable[..., object])

_COMPILED_PACKAGES = ("core", "encoding", "sim")


def _source_digests() -> dict[Path, str]:
    """SHA-256 of each source file that compiled code may stand in."""
    package = Path(__file__).parents[1]
    files = (path for name in _COMPILED_PACKAGES for path in (package / name).rglob("*.py"))
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}


def cache_dir() -> Path:
    """Folder of the compiled code of exactly these sources (created by Numba on first use).

    `LEPTON_CACHE_DIR` overrides the base folder, which is `~/.cache/lepton-rl` by default.
    """
    return _folder_of(_source_digests())


def _folder_of(digests: dict[Path, str]) -> Path:
    package = Path(__file__).parents[1]
    whole = hashlib.sha256(f"{numba.__version__} {platform.python_version()}".encode())
    for path, digest in digests.items():
        whole.update(f"{path.relative_to(package).as_posix()} {digest}\n".encode())
    users = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lepton-rl"
    base = Path(os.environ.get("LEPTON_CACHE_DIR") or users)
    return base / "numba" / whole.hexdigest()[:16]


name_records_by_layout()
trust_indices()
announce_compilation()

_DIGESTS = _source_digests()
_CACHE_DIR = _folder_of(_DIGESTS)


def _is_writable(folder: Path) -> bool:
    """Whether Numba can keep code there; it would silently use folders of its own otherwise."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _refuse_changed_source(path: Path) -> None:
    """Code of one version must not be kept in the folder of another.

    Raises:
        StateError: `path` was edited while this process was starting.
    """
    digest = _DIGESTS.get(path)
    if digest is not None and hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        raise StateError(f"{path} was edited while lepton-rl was starting; start it again")
    _DIGESTS.pop(path, None)  # one look a file is enough


# Nothing calls the rules as C callbacks, so their C wrappers would only cost compile time.
_OPTIONS: dict[str, Any] = {
    "cache": _is_writable(_CACHE_DIR),
    "nogil": True,
    "error_model": "numpy",
    "boundscheck": False,
    "no_cfunc_wrapper": True,
}


def compiled(function: F) -> F:
    """Compile `function` to machine code on its first call for each signature.

    Division by zero follows NumPy (inf, nan) instead of raising, there is no fast-math, so the
    Python system and the simulator compute bit-identical results, and the GIL is released.

    Raises:
        StateError: the sources were edited while this process was starting.
    """
    return _compiled(function, is_inlined=False)


def inlined(function: F) -> F:
    """`compiled`, and part of every compiled function that calls it.

    For what every step of a simulation calls, from few places: left to itself, LLVM calls most of
    it, and hands over each array as seven numbers. Everywhere else it costs time to compile.

    Raises:
        StateError: see `compiled`.
    """
    return _compiled(function, is_inlined=True)


def _compiled(function: F, *, is_inlined: bool) -> F:
    _refuse_changed_source(Path(function.__code__.co_filename))
    settings: Any = numba_config  # Numba fills its settings in at import time
    previous = settings.CACHE_DIR
    settings.CACHE_DIR = str(_CACHE_DIR)
    try:
        dispatcher = numba.njit(forceinline=is_inlined, **_OPTIONS)(function)
    finally:
        settings.CACHE_DIR = previous
    keep_files_apart(dispatcher)
    link_as_a_whole(dispatcher)
    return cast(F, dispatcher)
