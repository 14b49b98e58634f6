"""The simulator's buffers as torch tensors, for training loops that stay in torch."""

from __future__ import annotations

import torch
from torch import Tensor

from lepton_rl.agents.batch import Batch
from lepton_rl.core.tables import NO_TASK
from lepton_rl.envs.spaces import observed
from lepton_rl.sim.batch import BatchSimulator

__all__ = ["SimulatorTensors", "batch_of"]


class SimulatorTensors:
    """Tensors over the memory that a simulator writes into: nothing is copied on the CPU.

    Every step overwrites them; clone what a rollout keeps, and do not write to them. Tensors of
    another device are copies, which `update` renews.

    Args:
        simulator: the batch.
        device: where the tensors are wanted.

    Attributes:
        obs: name -> tensor, `(B, ...)`, as in the observation; `action_mask` is bool.
        window: `(B, Q)` int64, negative where a slot is empty.
    """

    def __init__(self, simulator: BatchSimulator, device: torch.device | str = "cpu") -> None:
        buffers = observed(simulator.obs) | {
            "action_mask": simulator.obs.action_mask,
            "window": simulator.obs.window,
        }
        self._source = {name: torch.from_numpy(buffer) for name, buffer in buffers.items()}
        self._tensors = {name: each.to(device) for name, each in self._source.items()}
        self._is_shared = torch.device(device).type == "cpu"
        self.window = self._tensors["window"]
        self.obs = {name: each for name, each in self._tensors.items() if name != "window"}

    def update(self) -> None:
        """Bring tensors of another device up to date; on the CPU there is nothing to do."""
        if not self._is_shared:
            for name, each in self._source.items():
                self._tensors[name].copy_(each)

    def batch(self, rows: Tensor | None = None) -> Batch:
        """The observations as they are now, copied, without their empty slots.

        Args:
            rows: `(B',)` int64, which environments; None for all.
        """
        self.update()
        return batch_of(self.obs, self.window, rows)


def batch_of(obs: dict[str, Tensor], window: Tensor, rows: Tensor | None) -> Batch:
    """Observations without their empty slots, copied.

    Args:
        obs: name -> `(B, ...)`, as in the observation; `action_mask` is bool.
        window: `(B, Q)` int64, negative where a slot is empty.
        rows: `(B',)` int64, which environments; None for all.
    """
    window = window if rows is None else window[rows]
    owner, slot = (window != NO_TASK).nonzero(as_tuple=True)
    tasks = obs["tasks"][owner if rows is None else rows[owner], slot]
    whole = {
        name: each.clone() if rows is None else each[rows]
        for name, each in obs.items()
        if name != "tasks"
    }
    return Batch(
        tasks,
        owner,
        slot,
        whole["nodes"],
        whole["cluster"],
        whole["action_mask"],
        whole.get("candidates"),
    )
