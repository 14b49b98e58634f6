"""Checks of named arrays that came from a file, before anything is built from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.errors import WorkloadError
from lepton_rl.core.naming import did_you_mean

__all__ = ["ArraySpec", "Arrays"]


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """What one array must be.

    Attributes:
        dtype: name of a NumPy type, or `U` for text of any width.
        dims: one letter a dimension; the same letter stands for the same length everywhere.
        least: smallest value of a number.
        most: largest value of a number.
        nan: whether a float may be NaN.
    """

    dtype: str
    dims: str = ""
    least: float = -np.inf
    most: float = np.inf
    nan: bool = False

    def is_type_of(self, values: NDArray[Any]) -> bool:
        """Whether `values` has this type, in the byte order of the machine."""
        if self.dtype == "U":
            return values.dtype.kind == "U" and values.dtype.isnative
        return values.dtype == np.dtype(self.dtype)

    def is_within(self, values: NDArray[Any]) -> bool:
        """Whether all numbers are in range."""
        if self.dtype in ("U", "bool") or values.size == 0:
            return True
        within = (values >= self.least) & (values <= self.most)
        if self.nan:
            within |= np.isnan(values)
        return bool(within.all())


class Arrays:
    """Arrays by name.

    Args:
        where: the file, for messages.
        values: name -> array.
    """

    def __init__(self, where: str, values: Mapping[str, NDArray[Any]]) -> None:
        self._where = where
        self._values = values

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._values[name]

    def get(self, name: str) -> NDArray[Any] | None:
        """The array, None if there is none of this name."""
        return self._values.get(name)

    def scalar(self, name: str, dtype: str) -> object:
        """A single value; raises `WorkloadError` as `take` does."""
        return self.take(name, ArraySpec(dtype)).item()

    def take(self, name: str, spec: ArraySpec) -> NDArray[Any]:
        """The array, if it is there, of its type and number of dimensions.

        Raises:
            WorkloadError: otherwise.
        """
        if name not in self._values:
            raise WorkloadError(f"{self._where}: expected an array {name!r}, got none of that name")
        values = self._values[name]
        if not (spec.is_type_of(values) and values.ndim == len(spec.dims)):
            raise WorkloadError(
                f"{self._where}: array {name!r} must be {spec.dtype} of {len(spec.dims)}"
                f" dimensions, got {values.dtype} of the shape {values.shape}"
            )
        return values

    def check(self, required: Mapping[str, ArraySpec], optional: Mapping[str, ArraySpec]) -> None:
        """Type, shape and range of every array, and no array more.

        Raises:
            WorkloadError: names the first array that is not as it must be.
        """
        lengths: dict[str, int] = {}
        known = {**required, **optional}
        for name in self._values:
            if name not in known:
                hint = did_you_mean(name, known)
                raise WorkloadError(f"{self._where}: unknown array {name!r}; {hint}")
        for name, spec in known.items():
            if name in required or name in self._values:
                self._check_one(name, spec, lengths)

    def require_bits(self, name: str, count: int) -> None:
        """Whole numbers of `count` bits, at most 63."""
        values = self._values[name]
        if count < 63 and bool((values >> count).any()):
            raise WorkloadError(
                f"{self._where}: array {name!r} must have the bits of {count} names, got"
                f" {int(values.max())}"
            )

    def fail(self, name: str, expected: str) -> WorkloadError:
        """An error about an array."""
        return WorkloadError(f"{self._where}: array {name!r} must be {expected}")

    def _check_one(self, name: str, spec: ArraySpec, lengths: dict[str, int]) -> None:
        values = self.take(name, spec)
        for dim, length in zip(spec.dims, values.shape, strict=True):
            if lengths.setdefault(dim, length) != length:
                raise WorkloadError(
                    f"{self._where}: array {name!r} has the shape {values.shape}, which does not"
                    f" fit the other arrays ({lengths[dim]} expected in the place of {length})"
                )
        if not spec.is_within(values):
            raise WorkloadError(
                f"{self._where}: array {name!r} must hold values from {spec.least:g} to"
                f" {spec.most:g}, got {values.min():g} to {values.max():g}"
            )
