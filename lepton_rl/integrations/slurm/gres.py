"""Generic resources (GRES) as Slurm writes them: `gpu:a100:4(S:0-1),fpga:u250:2`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from lepton_rl.core.checks import shown
from lepton_rl.core.errors import ExecutorError

__all__ = ["Gres", "parse_gres"]

_DETAIL = re.compile(r"\([^)]*\)")
_COUNT = re.compile(r"(\d+)([KMGT]?)")
_FACTORS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_PREFIX = re.compile(r"^gres[:/]")
_NONE = {"", "(null)", "N/A"}


@dataclass(frozen=True, slots=True)
class Gres:
    """An amount of one generic resource.

    Attributes:
        name: e.g. `gpu`.
        model: its type, e.g. `a100`; "" for any.
        count: how many.
    """

    name: str
    model: str
    count: int


def parse_gres(text: str) -> tuple[Gres, ...]:
    """Read a list of GRES, of a node or of a job; amounts of 0 are left out.

    Each is `name`, `name:count`, `name:type` or `name:type:count` (with `=` before the count from
    23.11 on), perhaps after `gres:` or `gres/`; what stands in brackets (sockets, indices) does not
    matter here.

    Raises:
        ExecutorError: it is written in no such way.
    """
    if text.strip() in _NONE:
        return ()
    return _present(_one(part) for part in _DETAIL.sub("", text).split(","))


def _present(found: Iterable[Gres]) -> tuple[Gres, ...]:
    return tuple(each for each in found if each.count > 0)


def _one(text: str) -> Gres:
    name, *rest = _PREFIX.sub("", text.strip()).replace("=", ":").split(":")
    if not name or len(rest) > 2:
        raise ExecutorError(
            f"Slurm GRES: expected name, name:count or name:type:count, got {shown(text)}"
        )
    if rest and (found := _COUNT.fullmatch(rest[-1])):
        count = int(found[1]) * _FACTORS[found[2]]
        return Gres(name, rest[0] if len(rest) == 2 else "", count)
    return Gres(name, rest[0] if rest else "", 1)
