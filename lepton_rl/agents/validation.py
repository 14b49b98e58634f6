"""How good the network is now, on fixed windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lepton_rl.agents.choices import greedy
from lepton_rl.agents.networks import SchedulingNetwork
from lepton_rl.agents.tensors import SimulatorTensors
from lepton_rl.envs.config import EnvironmentConfig
from lepton_rl.envs.episodes import Episodes
from lepton_rl.envs.spaces import observation_of
from lepton_rl.workloads.splits import sample_windows

__all__ = ["Validator"]

Observations = dict[str, NDArray[np.generic]]


@dataclass(slots=True)
class Validator:
    """Schedules evenly spaced windows of one split with a network's first choices.

    Attributes:
        config: of the environment.
        episodes: of the split to validate on.
        num_windows: at most so many windows; fewer where the split is short.
    """

    config: EnvironmentConfig
    episodes: Episodes
    num_windows: int

    def starts(self) -> NDArray[np.int64]:
        """First rows of the windows."""
        available = len(self.episodes.split) - self.episodes.length + 1
        count = min(self.num_windows, available)
        return sample_windows(self.episodes.split, self.episodes.length, count)

    def run(self, network: SchedulingNetwork) -> tuple[NDArray[np.float64], Observations]:
        """Schedule every window.

        Returns:
            `(W,)` mean metric of each window, and the observations of the first decision of each
            window, of one in the middle of it and of the time when a node is first chosen in any,
            `(<= 3 W, ...)`.
        """
        starts = self.starts()
        simulator = self.episodes.simulator(self.config, len(starts))
        for b, first_row in enumerate(starts.tolist()):
            simulator.reset(b, first_row)
        seen = [observation_of(simulator.obs)]
        tensors = SimulatorTensors(simulator, next(network.parameters()).device)
        open_windows = np.ones(len(starts), np.bool_)
        metric = np.zeros(len(starts))
        decisions, has_placed = 0, False
        network.eval()
        while open_windows.any():
            batch = tensors.batch()
            with torch.no_grad():
                choices = greedy(batch, network.judge(batch)).cpu().numpy()
            simulator.step(choices)
            decisions += 1
            for b in np.flatnonzero(simulator.terminated).tolist():
                if open_windows[b]:
                    metric[b] = simulator.mean_cost(b)
                    open_windows[b] = False
                simulator.reset(b, int(starts[b]))
            placing = bool(simulator.obs.action_mask[:, simulator.slots + 1 :].any())
            if decisions == self.episodes.length // 2 or (placing and not has_placed):
                seen.append(observation_of(simulator.obs))
            has_placed |= placing
        return metric, {name: np.concatenate([each[name] for each in seen]) for name in seen[0]}
