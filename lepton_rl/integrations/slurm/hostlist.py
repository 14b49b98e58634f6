"""Lists of names and numbers as Slurm shortens them: `gpu[1-2,5],cpu1` and `1,3-5%2`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lepton_rl.core.checks import shown
from lepton_rl.core.errors import ExecutorError

__all__ = ["expand_hosts", "expand_numbers"]

_COMMA = re.compile(r",(?![^\[]*\])")
"""A comma that stands in no brackets."""
_BRACKETS = re.compile(r"\[([^\]]*)\]")
_RANGE = re.compile(r"(\d+)(?:-(\d+)(?::(\d+))?)?")
_MOST = 100_000


def expand_hosts(text: str) -> tuple[str, ...]:
    """Names of nodes: `gpu[1-2],cpu1` -> gpu1, gpu2, cpu1; leading zeros are kept.

    Raises:
        ExecutorError: it is no such list.
    """
    if text.strip() in {"", "(null)", "None assigned"}:
        return ()
    return tuple(name for part in _COMMA.split(text.strip()) for name in _names(part))


def _names(text: str) -> Iterator[str]:
    found = _BRACKETS.search(text)
    if found is None:
        yield text
        return
    for number in _numbers(found[1]):
        yield from _names(text[: found.start()] + number + text[found.end() :])


def expand_numbers(text: str) -> tuple[int, ...]:
    """Numbers of array elements: `1,3-5` -> 1, 3, 4, 5; what follows `...` is not told.

    Raises:
        ExecutorError: it is no such list.
    """
    whole = text.split("...")[0].rstrip(",")
    return tuple(int(number) for number in _numbers(whole)) if whole else ()


def _numbers(text: str) -> Iterator[str]:
    for part in text.split(","):
        found = _RANGE.fullmatch(part.strip())
        if found is None or int(found[2] or 0) - int(found[1]) > _MOST:
            raise ExecutorError(
                f"Slurm list: expected numbers and ranges such as 1,3-5, got {shown(text)}"
            )
        last = int(found[2] or found[1])
        for number in range(int(found[1]), last + 1, int(found[3] or 1)):
            yield f"{number:0{len(found[1])}d}"
