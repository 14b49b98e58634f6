"""The simulator's buffers as torch tensors, for training loops that stay in torch."""

from __future__ import annotations

import torch

from lepton_rl.envs.spaces import observed
from lepton_rl.sim.batch import BatchSimulator

__all__ = ["SimulatorTensors"]


class SimulatorTensors:
    """Tensors over the memory that a simulator writes into: nothing is copied on the CPU.

    Every step overwrites them; clone what a rollout keeps, and do not write to them. Tensors of
    another device are copies, which `update` renews.

    Args:
        simulator: the batch.
        device: where the tensors are wanted.

    Attributes:
        obs: name -> tensor, `(B, ...)`, as in the observation; `action_mask` is bool.
        rewards: `(B,)` float64 of the last step.
        terminated: `(B,)` bool of the last step.
    """

    def __init__(self, simulator: BatchSimulator, device: torch.device | str = "cpu") -> None:
        buffers = observed(simulator.obs) | {"action_mask": simulator.obs.action_mask}
        self._source = {
            **{name: torch.from_numpy(buffer) for name, buffer in buffers.items()},
            "rewards": torch.from_numpy(simulator.rewards),
            "terminated": torch.from_numpy(simulator.terminated),
        }
        self._tensors = {name: each.to(device) for name, each in self._source.items()}
        self._is_shared = torch.device(device).type == "cpu"
        self.rewards = self._tensors["rewards"]
        self.terminated = self._tensors["terminated"]
        self.obs = {
            name: each
            for name, each in self._tensors.items()
            if name not in ("rewards", "terminated")
        }

    def update(self) -> None:
        """Bring tensors of another device up to date; on the CPU there is nothing to do."""
        if not self._is_shared:
            for name, each in self._source.items():
                self._tensors[name].copy_(each)
