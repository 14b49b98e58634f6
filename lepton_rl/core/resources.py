"""Resource kinds and their integer units.

Inside the system every amount is an integer (millicores, MiB, milli-cards), so capacity is
conserved exactly. A schema fixes the order of the kinds: divisible kinds first, then device kinds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lepton_rl.core.checks import require_count, require_number, require_text, shown
from lepton_rl.core.errors import ConfigError
from lepton_rl.core.naming import did_you_mean

__all__ = ["CARD", "DEFAULT_SCHEMA", "ResourceKind", "ResourceSchema"]

CARD = 1000
"""Units of one whole device card (milli-cards)."""

_LARGEST_UNITS = 2**53
"""Amounts stay exact as float64, which features and scores are computed in."""


@dataclass(frozen=True, slots=True)
class ResourceKind:
    """One kind of resource.

    Attributes:
        name: as used in descriptions of tasks and nodes, e.g. `cpu`.
        unit: the user's unit, for messages, e.g. `cores`.
        units_per: integer units in one of the user's units, e.g. 1000 millicores per core.
            Device kinds have `CARD`.
        is_device: whole cards on a node, asked for by the card or as a share of one card.
    """

    name: str
    unit: str
    units_per: int
    is_device: bool = False

    def __post_init__(self) -> None:
        require_text(self.name, "resource kind: name")
        what = f"resource kind {self.name!r}: units_per"
        require_count(self.units_per, what, _LARGEST_UNITS)
        if self.is_device and self.units_per != CARD:
            raise ConfigError(f"{what} of a device must be {CARD}, got {self.units_per!r}")


@dataclass(frozen=True, slots=True)
class ResourceSchema:
    """The kinds of one cluster, divisible kinds before device kinds."""

    kinds: tuple[ResourceKind, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", tuple(self.kinds))
        if not self.kinds:
            raise ConfigError("resource kinds: expected at least one, got none")
        names = self.names
        if len(set(names)) != len(names):
            raise ConfigError(f"resource kinds: names must differ, got {', '.join(names)}")
        flags = [kind.is_device for kind in self.kinds]
        if flags != sorted(flags):
            raise ConfigError("resource kinds: divisible kinds must come before device kinds")

    @property
    def names(self) -> tuple[str, ...]:
        """Kind names in column order."""
        return tuple(kind.name for kind in self.kinds)

    @property
    def num_divisible(self) -> int:
        """Number of divisible kinds; the device kinds follow them."""
        return sum(not kind.is_device for kind in self.kinds)

    @property
    def num_devices(self) -> int:
        """Number of device kinds."""
        return len(self.kinds) - self.num_divisible

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def kind(self, name: str) -> ResourceKind:
        """The kind called `name`.

        Raises:
            ConfigError: no kind has this name.
        """
        for kind in self.kinds:
            if kind.name == name:
                return kind
        raise ConfigError(f"unknown resource kind {name!r}; {did_you_mean(name, self.names)}")

    def restricted_to(self, names: Iterable[str]) -> ResourceSchema:
        """The same schema with only the kinds in `names`."""
        kept = set(names)
        return ResourceSchema(tuple(kind for kind in self.kinds if kind.name in kept))

    def to_units(self, amounts: Mapping[str, float], what: str) -> tuple[int, ...]:
        """Integer units per kind, in column order; kinds not named are 0.

        Args:
            amounts: kind name -> amount in the kind's own unit (cores, GiB, cards).
            what: whose amounts these are, for messages, e.g. `task 'a': demand`.

        Raises:
            ConfigError: unknown kind, or an amount that is negative, not finite, too large, or
                (for cards) neither whole nor a share of a single card.
        """
        for name in amounts:
            if name not in self:
                hint = did_you_mean(name, self.names)
                raise ConfigError(f"{what}: unknown resource kind {name!r}; {hint}")
        return tuple(
            _units(kind, amounts[kind.name], what) if kind.name in amounts else 0
            for kind in self.kinds
        )


def _units(kind: ResourceKind, amount: object, what: str) -> int:
    most = _LARGEST_UNITS // kind.units_per
    expected = f"{what}: {kind.name} must be a finite amount from 0 to {most} in {kind.unit}"
    number = require_number(amount, expected)
    if not 0 <= number <= most:
        raise ConfigError(f"{expected}, got {shown(amount)}")
    units = round(number * kind.units_per)
    if number > 0 and units == 0:
        smallest = 1 / kind.units_per
        raise ConfigError(f"{what}: {kind.name} of {amount!r} is below the unit of {smallest:g}")
    if kind.is_device and units > CARD and units % CARD:
        raise ConfigError(
            f"{what}: {kind.name} must be a whole number of cards, or a share below 1 of one card;"
            f" got {amount!r}"
        )
    return units


DEFAULT_SCHEMA = ResourceSchema(
    (
        ResourceKind("cpu", "cores", 1000),
        ResourceKind("memory", "GiB", 1024),
        ResourceKind("gpu", "cards", CARD, is_device=True),
        ResourceKind("fpga", "cards", CARD, is_device=True),
    )
)
"""Cores, GiB, GPU and FPGA cards."""
