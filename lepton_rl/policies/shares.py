"""Drawing a share of the instants, the same ones each time."""

from __future__ import annotations

from lepton_rl.core.checks import require_number
from lepton_rl.core.errors import ConfigError

__all__ = ["is_drawn", "require_share"]

_MASK = 2**64 - 1


def is_drawn(now_us: int, share: float, seed: int = 0) -> bool:
    """Whether an instant belongs to a share of all instants.

    The same instants are drawn for the same seed, and those of a share are among those of a larger
    one. All decisions of one instant belong together.

    Args:
        now_us: the scheduler's clock.
        share: 0 to 1.
        seed: which.
    """
    return _mixed(now_us + _mixed(seed)) < share * 2.0**64


def require_share(share: float, what: str) -> float:
    """`share` as a float.

    Raises:
        ConfigError: it is not a number from 0 to 1.
    """
    expected = f"{what} must be a number from 0 to 1"
    number = require_number(share, expected)
    if not 0 <= number <= 1:
        raise ConfigError(f"{expected}, got {share}")
    return number


def _mixed(value: int) -> int:
    """A hash of 64 bits: splitmix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    mixed = (value + 0x9E3779B97F4A7C15) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return mixed ^ (mixed >> 31)
