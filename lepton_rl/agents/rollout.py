"""Experience of one policy, in torch from the start: no dictionaries, no infos, no empty slots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lepton_rl.agents.batch import Batch
from lepton_rl.agents.choices import sample
from lepton_rl.agents.environments import Environments
from lepton_rl.agents.networks import SchedulingNetwork
from lepton_rl.agents.tensors import SimulatorTensors

__all__ = ["Collector", "Rollout", "Told"]

Told = Callable[[int], bool]
"""Told after each step how many environments decided; False ends the rollout."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """R decisions of B environments in T steps.

    Attributes:
        observations: what was decided on, R rows.
        actions: `(R,)` int64.
        log_probs: `(R,)` of the actions, under the policy that chose them.
        step: `(R,)` int64, 0..T-1.
        env: `(R,)` int64, 0..B-1.
        values: `(T + 1, B)` expected returns; the last of the states after the rollout.
        rewards: `(T, B)`, 0 where nothing was decided.
        terminated: `(T, B)` bool, whether the episode ended with that step.
        elapsed_s: `(T, B)` seconds of the simulated clock until the next decision.
        clock_s: `(T, B)` seconds of the simulated clock since the episode began.
        first: `(R,)` int64, where the tasks of each decision begin.
        counts: `(R,)` int64, how many they are.
    """

    observations: Batch
    actions: Tensor
    log_probs: Tensor
    step: Tensor
    env: Tensor
    values: Tensor
    rewards: Tensor
    terminated: Tensor
    elapsed_s: Tensor
    clock_s: Tensor
    first: Tensor
    counts: Tensor

    def batch(self, rows: Tensor) -> Batch:
        """The observations of some decisions, `rows` `(B',)` int64."""
        all_, counts = self.observations, self.counts[rows]
        owner = torch.arange(len(rows), device=rows.device).repeat_interleave(counts)
        offset = self.first[rows] - (counts.cumsum(0) - counts)
        index = torch.arange(len(owner), device=rows.device) + offset.index_select(0, owner)
        return Batch(
            tasks=all_.tasks.index_select(0, index),
            owner=owner,
            slot=all_.slot.index_select(0, index),
            nodes=all_.nodes.index_select(0, rows),
            cluster=all_.cluster.index_select(0, rows),
            mask=all_.mask.index_select(0, rows),
            candidates=None if all_.candidates is None else all_.candidates.index_select(0, rows),
        )


@dataclass(slots=True)
class _Steps:
    """What each step of all environments left, in order."""

    batches: list[Batch] = field(default_factory=list)
    actions: list[Tensor] = field(default_factory=list)
    log_probs: list[Tensor] = field(default_factory=list)
    env: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)
    outcomes: list[Tensor] = field(default_factory=list)  # (4, B) each

    def rollout(self, last_values: Tensor) -> Rollout:
        """All of it as one."""
        rewards, terminated, elapsed_s, clock_s = torch.stack(self.outcomes, dim=1)
        sizes = torch.tensor([len(each) for each in self.actions], device=rewards.device)
        observations = _joined(self.batches)
        counts = observations.counts
        return Rollout(
            observations=observations,
            actions=torch.cat(self.actions),
            log_probs=torch.cat(self.log_probs),
            step=torch.arange(len(sizes), device=sizes.device).repeat_interleave(sizes),
            env=torch.cat(self.env),
            values=torch.stack([*self.values, last_values]),
            rewards=rewards,
            terminated=terminated.bool(),
            elapsed_s=elapsed_s,
            clock_s=clock_s,
            first=counts.cumsum(0) - counts,
            counts=counts,
        )


def _joined(batches: list[Batch]) -> Batch:
    """One batch of all rows."""
    rows = torch.tensor([0, *(each.rows for each in batches[:-1])]).cumsum(0).tolist()
    candidates = [each.candidates for each in batches if each.candidates is not None]
    return Batch(
        tasks=torch.cat([each.tasks for each in batches]),
        owner=torch.cat([e.owner + row for e, row in zip(batches, rows, strict=True)]),
        slot=torch.cat([each.slot for each in batches]),
        nodes=torch.cat([each.nodes for each in batches]),
        cluster=torch.cat([each.cluster for each in batches]),
        mask=torch.cat([each.mask for each in batches]),
        candidates=torch.cat(candidates) if candidates else None,
    )


class Collector:
    """Lets a network act in environments and keeps what came of it.

    Args:
        environments: begun by `collect` where they have not.
        device: of the network.
        generator: of the choices.
    """

    def __init__(
        self, environments: Environments, device: torch.device, generator: torch.Generator
    ) -> None:
        self.environments, self.device, self.generator = environments, device, generator
        self._tensors = SimulatorTensors(environments.simulator, device)

    @torch.no_grad()
    def collect(self, network: SchedulingNetwork, steps: int, told: Told) -> Rollout | None:
        """`steps` steps of each environment, whose episodes follow each other.

        Returns:
            None if `told` said to stop.
        """
        kept = _Steps()
        for _ in range(steps):
            self._decide(network, kept, None)
            for b in self.environments.terminated.nonzero()[0].tolist():
                self.environments.begin(b)
            if not told(self.environments.num_envs):
                return None
        return kept.rollout(network.judge(self._tensors.batch()).values.float())

    @torch.no_grad()
    def collect_episodes(self, network: SchedulingNetwork, told: Told) -> Rollout | None:
        """One whole episode of each environment, begun now.

        Returns:
            None if `told` said to stop.
        """
        self.environments.reset()
        kept = _Steps()
        going = torch.arange(self.environments.num_envs, device=self.device)
        while len(going):
            self._decide(network, kept, going)
            decided = len(going)
            self.environments.pause(self.environments.terminated)
            going = torch.from_numpy((~self.environments.simulator.paused).nonzero()[0])
            going = going.to(self.device)
            if not told(decided):
                return None
        return kept.rollout(torch.zeros_like(kept.values[0]))

    def _decide(self, network: SchedulingNetwork, kept: _Steps, going: Tensor | None) -> None:
        """One step of the environments `going`, or of all."""
        environments, device = self.environments, self.device
        batch = self._tensors.batch(going)
        scores = network.judge(batch)
        actions, log_probs = sample(batch, scores, self.generator)
        env = torch.arange(environments.num_envs, device=device) if going is None else going
        everywhere = torch.zeros(environments.num_envs, dtype=torch.int64, device=device)
        everywhere[env] = actions
        values = torch.zeros(environments.num_envs, device=device)
        values[env] = scores.values.float()
        clock_s = torch.from_numpy(environments.clock_s())
        environments.step(everywhere.cpu().numpy())
        kept.batches.append(batch)
        kept.actions.append(actions)
        kept.log_probs.append(log_probs)
        kept.env.append(env)
        kept.values.append(values)
        kept.outcomes.append(_outcome(environments, clock_s).to(device))


def _outcome(environments: Environments, clock_s: Tensor) -> Tensor:
    """`(4, B)` float32: rewards, terminated, elapsed_s, clock_s."""
    return torch.stack(
        [
            torch.from_numpy(environments.rewards),
            torch.from_numpy(environments.terminated).double(),
            torch.from_numpy(environments.elapsed_s),
            clock_s,
        ]
    ).float()
