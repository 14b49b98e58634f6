"""Both logarithms against the C library's."""

from __future__ import annotations

import numpy as np

from lepton_rl.core.compiled import compiled
from lepton_rl.encoding.logarithm import log10, log10_single

VALUES = np.concatenate(
    [10.0 ** np.linspace(-9, 15, 4001), np.linspace(0.5, 2.0, 1001), [1.0, 10.0, 1e5]]
)


@compiled
def _doubles(values: np.ndarray, out: np.ndarray) -> None:
    for i in range(values.shape[0]):
        out[i] = log10(values[i])


@compiled
def _singles(values: np.ndarray, out: np.ndarray) -> None:
    for i in range(values.shape[0]):
        out[i] = log10_single(values[i])


def test_double_precision() -> None:
    out = np.empty_like(VALUES)
    _doubles(VALUES, out)

    np.testing.assert_allclose(out, np.log10(VALUES), rtol=5e-16, atol=1e-16)


def test_single_precision() -> None:
    values = VALUES.astype(np.float32)
    out = np.empty_like(values)
    _singles(values, out)

    np.testing.assert_allclose(out, np.log10(values.astype(np.float64)), rtol=3e-7, atol=1e-8)


def test_of_one_is_zero() -> None:
    assert log10(1.0) == 0.0
    assert log10_single(np.float32(1.0)) == 0.0
