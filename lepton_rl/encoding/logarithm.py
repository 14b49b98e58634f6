"""log10 that the compiler turns into vector instructions.

The logarithm of the C library is a call for each number, which was most of the time of an
observation, and its last bit depends on the library. This one is arithmetic only, so it is the same
on every machine, and a loop over it works on several numbers at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.extending import intrinsic

from lepton_rl.core.compiled import compiled, inlined

__all__ = ["log10", "log10_single"]


def _reinterpret(found: Any, given: Any, llvm_type: Any) -> Any:
    """Signature and code that take the bits of one type for another."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], llvm_type)

    return found(given), generate


@intrinsic
def _bits_of(_context: Any, value: Any) -> Any:
    """The 64 bits of a float64 as an integer."""
    return _reinterpret(types.int64, types.float64, ir.IntType(64))


@intrinsic
def _float_of(_context: Any, bits: Any) -> Any:
    """The float64 with these 64 bits."""
    return _reinterpret(types.float64, types.int64, ir.DoubleType())


@intrinsic
def _bits_of_single(_context: Any, value: Any) -> Any:
    """The 32 bits of a float32 as an integer."""
    return _reinterpret(types.int32, types.float32, ir.IntType(32))


@intrinsic
def _single_of(_context: Any, bits: Any) -> Any:
    """The float32 with these 32 bits."""
    return _reinterpret(types.float32, types.int32, ir.FloatType())


_MANTISSA_BITS = 52
_ROOT_HALF = 0x3FE6A09E667F3BCD
"""Bits of sqrt(1/2), where the mantissas that the polynomial is made for begin."""

_LOG10_2_HIGH = 3.01029995663611771306e-01
_LOG10_2_LOW = 3.69423907715893078616e-13
_LOG10_E = 4.34294481903251816668e-01


@inlined
def log10(value: float) -> float:
    """Logarithm to base 10 of a positive, finite, normal number, to about one unit in the last.

    With value = 2^k * (1 + f), sqrt(1/2) <= 1 + f < sqrt(2), it is k * log10(2) + log10(e) *
    log(1 + f). The polynomial for log(1 + f) in s = f / (2 + f) is that of FreeBSD's `e_log.c`
    (Sun Microsystems, 1993).
    """
    bits: int = _bits_of(value)  # type: ignore[call-arg]  # the compiler gives the context
    exponent = (bits - _ROOT_HALF) >> _MANTISSA_BITS
    f = _float_of(bits - (exponent << _MANTISSA_BITS)) - 1.0
    k = float(exponent)
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    even = w * (0.3999999999940941908 + w * (0.2222219843214978396 + w * 0.1531383769920937332))
    odd = 0.1818357216161805012 + w * 0.1479819860511658591
    odd = z * (0.6666666666666735130 + w * (0.2857142874366239149 + w * odd))
    half = 0.5 * f * f
    natural = f - (half - s * (half + (even + odd)))
    return k * _LOG10_2_HIGH + (k * _LOG10_2_LOW + natural * _LOG10_E)


_ONE, _TWO, _HALF = np.float32(1.0), np.float32(2.0), np.float32(0.5)
_SINGLE_MANTISSA_BITS = np.int32(23)
_SINGLE_ROOT_HALF = np.int32(0x3F3504F3)
_S1, _S2 = np.float32(0.66666662693), np.float32(0.40000972152)
_S3, _S4 = np.float32(0.28498786688), np.float32(0.24279078841)
_SINGLE_LOG10_2_HIGH = np.float32(3.0102920532e-01)
_SINGLE_LOG10_2_LOW = np.float32(7.9034151668e-07)
_SINGLE_LOG10_E = np.float32(4.3429449201e-01)


@compiled
def log10_single(value: np.float32) -> np.float32:
    """`log10` in single precision, twice as many at once; the polynomial is that of `e_logf.c`."""
    bits: Any = _bits_of_single(value)  # type: ignore[call-arg]  # the compiler gives the context
    exponent = np.int32((bits - _SINGLE_ROOT_HALF) >> _SINGLE_MANTISSA_BITS)
    f = _single_of(np.int32(bits - (exponent << _SINGLE_MANTISSA_BITS))) - _ONE
    k = np.float32(exponent)
    s = f / (_TWO + f)
    z = s * s
    w = z * z
    r = z * (_S1 + w * _S3) + w * (_S2 + w * _S4)
    half = _HALF * f * f
    natural = f - (half - s * (half + r))
    return k * _SINGLE_LOG10_2_HIGH + (k * _SINGLE_LOG10_2_LOW + natural * _SINGLE_LOG10_E)
