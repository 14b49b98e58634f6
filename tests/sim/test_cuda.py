"""The step as a GPU's kernel: it is translated and assembled; running it needs a GPU.

What the kernel does to an environment is tested on the CPU, and on a GPU where there is one, by
`tests/agents/test_tensor_simulator.py`.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from lepton_rl.core.errors import ConfigError
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.sim.cuda import KernelCode, compile_kernel, table_type
from lepton_rl.sim.kernels import KernelTable
from tests.episodes import on_pool, simulator

HOPPER = (9, 0)
HAS_NUMBA_CUDA = importlib.util.find_spec("numba_cuda") is not None
needs_numba_cuda = pytest.mark.skipif(
    not HAS_NUMBA_CUDA, reason="numba-cuda (extra cuda) is not installed"
)


def code(**rule: Any) -> KernelCode:
    sim = simulator(on_pool(4, (0, 1, 10), (1, 2, 10)), **rule)
    tables = cast(Any, sim.table).tables
    table = KernelTable(
        tables, tables.work, np.zeros(1, np.int64), np.zeros(1, np.bool_), np.zeros(1)
    )
    return compile_kernel(table_type(table), sim.rule, HOPPER)


@pytest.mark.skipif(HAS_NUMBA_CUDA, reason="numba-cuda is installed")
def test_without_numba_cuda_the_extra_is_named() -> None:
    with pytest.raises(ConfigError, match=r"pip install 'lepton-rl\[cuda\]'"):
        code()


@needs_numba_cuda
@pytest.mark.slow  # some minutes
def test_the_whole_step_is_one_kernel_without_loose_ends(tmp_path: Path) -> None:
    kernel, with_easy = code(), code(backfill=Backfill.EASY)

    for each in (kernel, with_easy):
        assert ".target sm_90" in each.ptx
        assert ".extern" not in each.ptx
        assert "fma.rn.f32" not in each.ptx, "products are rounded before they are added"
    assert len(kernel.ptx) < 0.9 * len(with_easy.ptx), "rules that are not asked for are left out"
    assert code() == kernel, "from disk"
    assembled(kernel, tmp_path)


def assembled(kernel: KernelCode, folder: Path) -> None:
    """What ptxas says of it, where there is one."""
    if (ptxas := shutil.which("ptxas")) is None:
        return
    (folder / "kernel.ptx").write_text(kernel.ptx, encoding="utf-8")
    told = subprocess.run(
        [ptxas, "-v", "-arch=sm_90", folder / "kernel.ptx", "-o", folder / "kernel.cubin"],
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr[-2000:]
    registers = re.findall(r"Used (\d+) registers", told.stderr)
    assert registers
    assert max(map(int, registers)) <= 255
