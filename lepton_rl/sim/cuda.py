"""The simulator on NVIDIA GPUs: the functions of the CPU, compiled for a thread an environment.

numba-cuda (extra `cuda`) translates the same compiled functions to PTX, the assembly language of
NVIDIA, and the driver of the GPU does the rest. Compiling needs no GPU, but libNVVM.

Products are not contracted with sums (no FMA), as on the CPU: what is compared or rounded comes out
the same. Functions of the C library (exp, pow) are libdevice's and may differ in their last bit.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib.metadata
import inspect
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from numba import typeof

from lepton_rl.core.by_reference import Reference
from lepton_rl.core.compiled import cache_dir
from lepton_rl.core.errors import ConfigError, LeptonError
from lepton_rl.core.indexing import trusting
from lepton_rl.core.own_parts import at_address
from lepton_rl.sim.episode import EpisodeRule
from lepton_rl.sim.kernels import KernelTable, run_environment

__all__ = ["THREADS", "Capability", "Kernel", "KernelCode", "compile_kernel", "table_type"]

Capability = tuple[int, int]
"""Compute capability of a GPU: (9, 0) is Hopper."""

THREADS = 64
"""Of a block. Few, because environments diverge and the step takes many registers."""

_NEEDED = "numba-cuda is needed to run on a GPU; install the extra: pip install 'lepton-rl[cuda]'"


@dataclass(frozen=True, slots=True)
class KernelCode:
    """A kernel `(int64 address of a KernelTable's block, int64 environments, bool begins)`.

    Attributes:
        ptx: for `ptxas`, or the driver.
        entry: name of the kernel.
    """

    ptx: str
    entry: str


def table_type(table: KernelTable) -> Reference:
    """What kernels depend on of a table: types and numbers of dimensions of its arrays."""
    found: Reference = typeof(table)
    return found


def compile_kernel(table: Reference, rule: EpisodeRule, capability: Capability) -> KernelCode:
    """`run_environment` for tables of a type and a fixed rule; kept on disk.

    The first time takes about a minute.

    Args:
        table: `table_type` of it.
        rule: of the environments.
        capability: of the GPU, at least (5, 0).

    Raises:
        ConfigError: numba-cuda or a part of the CUDA toolkit that it needs is not installed.
    """
    versions = [importlib.metadata.version(each) for each in _packages()]
    key = repr((str(table), tuple(rule), capability, versions))
    file = cache_dir() / f"kernel-{hashlib.sha256(key.encode()).hexdigest()[:24]}.ptx"
    with contextlib.suppress(OSError):
        return _code(file.read_text(encoding="utf-8"))
    code = _code(_translate(table, rule, capability))
    with contextlib.suppress(OSError):
        _write_whole(file, code.ptx)
    return code


def _packages() -> tuple[str, ...]:
    for name in ("numba-cuda", "cuda-bindings"):
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            raise ConfigError(_NEEDED) from None
    return "numba", "numba-cuda", "cuda-bindings"


def _code(ptx: str) -> KernelCode:
    entries = re.findall(r"\.visible \.entry (\w+)\(", ptx)
    if len(entries) != 1:
        raise LeptonError(f"expected PTX with one kernel, got {len(entries)}")
    return KernelCode(ptx, entries[0])


def _write_whole(file: Path, text: str) -> None:
    """Write a file that others may read at any time."""
    part = file.with_suffix(f".{os.getpid()}")
    file.parent.mkdir(parents=True, exist_ok=True)
    part.write_text(text, encoding="utf-8")
    part.replace(file)


def _translate(table: Reference, rule: EpisodeRule, capability: Capability) -> str:
    """PTX of a kernel."""
    from numba import cuda, types
    from numba.cuda import compiler as numba_compiler

    compiler: Any = numba_compiler

    tables_at = at_address(table)

    grid: Any = cuda.grid  # type: ignore[attr-defined]  # numba-cuda's, which has no types

    def run(address: int, count: int, begins: bool) -> None:
        b = grid(1)
        if b < count:
            run_environment(tables_at(address), b, begins, rule)

    signature = (types.int64, types.int64, types.boolean)
    options = {"opt": 3, "fma": 0}
    try:
        with _translating(capability):
            result = compiler.compile_cuda(
                run, types.void, signature, nvvm_options=options, cc=capability
            )
            kernel = result.library.get_function(result.fndesc.llvm_func_name)
            result.library._entry_name = kernel.name
            compiler.kernel_fixup(kernel, False)
            ptx: str = result.library.get_asm_str(cc=capability)
    except (ImportError, RuntimeError, OSError) as error:
        raise ConfigError(f"{_NEEDED} ({type(error).__name__}: {error})") from error
    return ptx


_SETTINGS = frozenset({"rule", "place", "backfill"})
"""Arguments by which functions choose among rules; a kernel is made for one choice."""


@contextlib.contextmanager
def _translating(capability: Capability) -> Iterator[None]:
    """Translate what kernels call: for a GPU that need not be there, and without unused rules.

    Functions that take settings become part of the kernel, in which the settings are constants, so
    rules that are not asked for are left out. As functions of their own they would keep them all:
    twice the code, and twice the time until the driver has translated it.
    """
    from numba.cuda.dispatcher import CUDADispatcher
    from numba.cuda.np.arrayobj import fix_integer_index

    class Specialised(CUDADispatcher):
        def __init__(self, py_func: Any, targetoptions: dict[str, Any], *rest: Any) -> None:
            if _SETTINGS & set(inspect.signature(py_func).parameters):
                targetoptions = {**targetoptions, "forceinline": True}
            super().__init__(py_func, targetoptions, *rest)

    device = mock.Mock(compute_capability=capability)
    with (
        mock.patch("numba.cuda.dispatcher.get_current_device", return_value=device),
        mock.patch("numba.cuda.dispatcher.CUDADispatcher", Specialised),
        mock.patch("numba.cuda.np.arrayobj.fix_integer_index", trusting(fix_integer_index)),
    ):
        yield


class Kernel:
    """A kernel on the GPU that is current in this thread.

    Args:
        code: compiled for that GPU, or an older one.

    Raises:
        LeptonError: the driver refuses it.
    """

    def __init__(self, code: KernelCode) -> None:
        from cuda.bindings import driver

        self._driver: Any = driver
        (self._module,) = self._checked(
            driver.cuModuleLoadData(
                ctypes.addressof(ctypes.create_string_buffer(code.ptx.encode()))
            )
        )
        (self._function,) = self._checked(
            driver.cuModuleGetFunction(self._module, code.entry.encode())
        )

    def launch(self, address: int, count: int, begins: bool, stream: int) -> None:
        """Run `count` environments.

        Args:
            address: of the block of a `KernelTable`, on the GPU.
            count: environments of the table.
            begins: every environment begins an episode; see `run_environment`.
            stream: handle of the stream to run in, after what is in it already.

        Raises:
            LeptonError: the driver refuses it.
        """
        values = address, count, int(begins)
        kinds = ctypes.c_int64, ctypes.c_int64, ctypes.c_uint8
        blocks = (count + THREADS - 1) // THREADS
        self._checked(
            self._driver.cuLaunchKernel(
                self._function, blocks, 1, 1, THREADS, 1, 1, 0,
                self._driver.CUstream(stream), (values, kinds), 0,
            )
        )  # fmt: skip

    def _checked(self, answer: tuple[Any, ...]) -> tuple[Any, ...]:
        """What the driver answered, without its error code."""
        error, *rest = answer
        if error != self._driver.CUresult.CUDA_SUCCESS:
            raise LeptonError(f"the CUDA driver answered {error.name}")
        return tuple(rest)
