"""A batch of environments whose whole state lies in torch tensors, on the CPU or on a GPU.

On a GPU one launch steps all environments, a thread each, and whoever ends begins again in the same
launch: a training loop that stays in torch never waits for the CPU. On the CPU the same function is
called for one environment after another; that is for tests and for machines without a GPU
(`BatchSimulator` is as fast there, and can use threads).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lepton_rl.agents.batch import Batch
from lepton_rl.agents.tensors import batch_of
from lepton_rl.core.by_reference import Handle, block_of
from lepton_rl.core.errors import ConfigError
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.encoding.workspace import SHARED
from lepton_rl.sim.batch import BatchSimulator
from lepton_rl.sim.cuda import Kernel, compile_kernel, table_type
from lepton_rl.sim.kernels import KernelTable, run_environments

__all__ = ["TensorSimulator"]

Array = NDArray[Any]
T = TypeVar("T")


class TensorSimulator:
    """`batch` environments in tensors of one device; each begins its next episode as one ends.

    Every call overwrites the tensors: clone what is kept, and write to none but `starts` and
    `paused`. On a GPU calls return before the work is done; torch waits when somebody looks.

    Args:
        make: a simulator of so many environments, none of which has begun.
        batch: environments (>= 1).
        device: where they are.

    Attributes:
        obs: name -> tensor `(B, ...)`, as in the observation; `action_mask` is bool.
        window: `(B, Q)` int64, negative where a slot is empty.
        starts: `(B,)` int64, the first task of the episode that each environment begins next.
        paused: `(B,)` bool, whom steps leave as they are.
        rewards: `(B,)` float64 of the last step.
        terminated: `(B,)` bool, whose episode ended with the last step. Where it did, `obs` is
            already that of the next one.
        refused: `(B,)` bool, whose action in the last step the mask forbids; it has not moved.
        mean_cost: `(B,)` float64, the objective's mean over the tasks of the episode that each
            environment ended last.

    Raises:
        ConfigError: a GPU is asked for and something that it needs is not there, or the
            environments backfill conservatively (which plans in one work space).
    """

    def __init__(
        self,
        make: Callable[[int], BatchSimulator],
        batch: int,
        device: torch.device | str = "cuda",
    ) -> None:
        self.device, self.batch_size = torch.device(device), batch
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise ConfigError("device cuda: torch finds no CUDA device; use device cpu")
        if batch < 1:
            raise ConfigError(f"batch: expected at least 1 environment, got {batch}")
        one = make(1)
        if one.rule.backfill == Backfill.CONSERVATIVE:
            raise ConfigError(
                "conservative backfilling plans in one work space, so not in a thread an"
                " environment; use EASY or none, or a BatchSimulator"
            )
        self.rule, self.last_start = one.rule, len(one.sim.run_us) - one.episode_tasks
        memory = _Memory(batch, self.device)
        self._table = memory.tables(_kernel_table(one, 1), _kernel_table(make(2), 2))
        self._run = _on_gpu(self._table, memory, self.rule) if memory.is_remote else self._in_turn
        self._handle = None if memory.is_remote else Handle.standing_for(self._table)
        parts, obs = self._table.batch, self._table.batch.obs
        names = ["tasks", "nodes", "cluster", "action_mask"]
        names += ["candidates"] if obs.candidates.shape[1] > 0 else []
        self.obs = {name: memory.tensor(getattr(obs, name)) for name in names}
        self.window = memory.tensor(obs.window)
        self.starts, self.paused = memory.tensor(self._table.starts), memory.tensor(parts.paused)
        self.rewards, self.terminated = map(memory.tensor, (parts.rewards, parts.terminated))
        self.refused, self.mean_cost = map(
            memory.tensor, (self._table.refused, self._table.mean_cost)
        )
        self._actions = memory.tensor(parts.actions)
        self._memory = memory

    def reset(self, starts: Tensor) -> None:
        """Begin an episode everywhere.

        Args:
            starts: `(B,)` int64, the first task of each; `self.starts` keeps it until it is
                written to.

        Raises:
            ConfigError: there is no whole episode from one of them, or not one an environment.
        """
        if starts.shape != (self.batch_size,) or starts.is_floating_point():
            raise ConfigError(
                f"starts: expected {self.batch_size} whole numbers, one an environment, got"
                f" {starts.dtype} of shape {tuple(starts.shape)}"
            )
        if bool(((starts < 0) | (starts > self.last_start)).any()):
            raise ConfigError(f"starts: expected tasks in 0..{self.last_start}")
        self.starts.copy_(starts)
        self._run(True)

    def step(self, actions: Tensor) -> None:
        """Act in every environment.

        Args:
            actions: `(B,)` slots, `Q` for "wait", `Q + 1 + m` for node `m`.
        """
        self._actions.copy_(actions)
        self._run(False)

    def batch(self) -> Batch:
        """The observations as they are now, copied, without their empty slots."""
        return batch_of(self.obs, self.window, None)

    def state(self) -> dict[str, NDArray[Any]]:
        """Every array of the simulation, copied to the CPU, by its path (`sim.state.pending`)."""
        return {
            path: self._memory.fetch(array) for path, array in _named(self._table.batch).items()
        }

    def _in_turn(self, begins: bool) -> None:
        run_environments(cast(KernelTable, self._handle), begins, self.rule)


def _on_gpu(table: KernelTable, memory: _Memory, rule: Any) -> Callable[[bool], None]:
    """What steps the environments, or begins them."""
    device, count = memory.device, memory.batch
    block = torch.from_numpy(block_of(table, memory.address)).to(device)
    with torch.cuda.device(device):
        capability = torch.cuda.get_device_capability(device)
        kernel = Kernel(compile_kernel(table_type(table), rule, capability))

    def run(begins: bool) -> None:
        with torch.cuda.device(device):
            stream = torch.cuda.current_stream(device).cuda_stream
            kernel.launch(block.data_ptr(), count, begins, stream)

    return run


def _kernel_table(simulator: BatchSimulator, batch: int) -> KernelTable:
    tables = cast(Handle, simulator.table).tables
    return KernelTable(
        batch=tables,
        work=tables.work,
        starts=np.zeros(batch, np.int64),
        refused=np.zeros(batch, np.bool_),
        mean_cost=np.zeros(batch, np.float64),
    )


class _Memory:
    """Arrays whose elements are in tensors.

    On the CPU they share the memory. Of another device they only have the shape.
    """

    def __init__(self, batch: int, device: torch.device) -> None:
        self.batch, self.device = batch, device
        self.is_remote = device.type != "cpu"
        self._tensors: dict[int, Tensor] = {}  # bytes, by the id of the array that stands for them
        self._arrays: list[Array] = []  # so that ids stay theirs

    def tables(self, one: T, two: T, is_own: bool = False) -> T:
        """Tables of `batch` environments, from those of one and of two.

        What has another shape with two environments has a row for each. Of the arrays of a work
        space, but for `SHARED`, there is a whole one for each environment.
        """
        fields = cast(Any, one)._fields
        found: dict[str, Any] = {}
        for name in fields:
            first, second = getattr(one, name), getattr(two, name)
            if isinstance(first, tuple):
                found[name] = self.tables(first, second, name == "work")
            elif first.shape != second.shape:
                found[name] = self._hold(first, self.batch, (self.batch, *first.shape[1:]))
            else:
                own = is_own and name not in SHARED
                found[name] = self._hold(first, self.batch if own else 1, first.shape)
        return type(one)(**found)

    def _hold(self, array: Array, times: int, shape: tuple[int, ...]) -> Array:
        """`times` copies of an array, behind each other; the result shows `shape` of them."""
        raw = torch.from_numpy(array.reshape(-1).view(np.uint8).copy())
        tensor = raw.to(self.device).repeat(times)
        held = np.empty(shape, array.dtype)  # never touched where the elements are elsewhere
        if not self.is_remote:
            held = tensor.numpy()[: held.nbytes].view(array.dtype).reshape(shape)
        self._tensors[id(held)] = tensor
        self._arrays.append(held)
        return held

    def address(self, array: Array) -> int:
        """Where the elements are, on their device."""
        return self._tensors[id(array)].data_ptr()

    def tensor(self, array: Array) -> Tensor:
        """The elements, of a plain type; not copied."""
        kind = torch.from_numpy(np.empty(0, array.dtype)).dtype
        return self._tensors[id(array)][: array.nbytes].view(kind).reshape(array.shape)

    def fetch(self, array: Array) -> Array:
        """The elements, copied to the CPU."""
        raw = self._tensors[id(array)][: array.nbytes].cpu().numpy().copy()
        return cast(Array, raw.view(array.dtype).reshape(array.shape))


def _named(tables: Any, prefix: str = "") -> dict[str, Array]:
    """The arrays in nested tables, by path."""
    found: dict[str, Array] = {}
    for name in tables._fields:
        each = getattr(tables, name)
        path = f"{prefix}{name}"
        found |= _named(each, f"{path}.") if isinstance(each, tuple) else {path: each}
    return found
