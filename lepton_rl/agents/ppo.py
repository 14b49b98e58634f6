"""PPO with the interface of Stable-Baselines3. Read it top to bottom.

`learn` alternates between `Collector` (a rollout, straight from the simulator into torch) and
`_update` (epochs of minibatches over it). All else is in small files of its own: advantages in
`gae`, the loss in `losses`, masked choices in `choices`, baselines in `baselines`.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.logger import Logger, configure
from torch import Tensor

from lepton_rl.agents.baselines import per_sequence, returns_to_go, sequence_baseline
from lepton_rl.agents.batch import Batch
from lepton_rl.agents.checkpoint import copied, load_learner, load_weights, save_learner
from lepton_rl.agents.choices import greedy, judge_actions, sample
from lepton_rl.agents.config import PPOConfig
from lepton_rl.agents.distributed import Workers
from lepton_rl.agents.gae import advantages_of, discounts_of
from lepton_rl.agents.losses import Losses, ppo_losses
from lepton_rl.agents.registry import network_of, widths_of
from lepton_rl.agents.rollout import Collector, Rollout
from lepton_rl.agents.schedules import linear
from lepton_rl.agents.vec_env import SchedulingVecEnv
from lepton_rl.core.errors import ConfigError
from lepton_rl.core.settings import load_settings

__all__ = ["PPO"]


class PPO:
    """Proximal policy optimisation (Schulman et al., arXiv:1707.06347) of a masked policy.

    The interface is that of Stable-Baselines3: `learn`, `predict`, `save`, `load`, `set_logger`,
    callbacks. Saved files hold tensors and JSON, no code.

    Args:
        config: settings.
        env: what to learn in.
        seed: of weights, choices and minibatches.
        device: of network and rollouts.
        horizon: decisions over which the schedules run; by default those of the first `learn`.

    Attributes:
        policy: the network.
        num_timesteps: decisions so far, over all environments and processes.
        logger: of Stable-Baselines3.
        workers: the processes that train together.
    """

    def __init__(
        self,
        config: PPOConfig,
        env: SchedulingVecEnv,
        *,
        seed: int = 0,
        device: torch.device | str = "cpu",
        horizon: int | None = None,
    ) -> None:
        self.config, self.env, self.device = config, env, torch.device(device)
        self.horizon, self.num_timesteps = horizon, 0
        self.workers = Workers()
        _require_fit(config, env, self.workers)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.policy = network_of(config, widths_of(env.simulator.obs)).to(self.device)
        self.workers.share(self.policy)
        self.optimizer = torch.optim.Adam(
            self.policy.parameters(), lr=config.learning_rate, eps=1e-5, fused=True
        )
        self._generator = torch.Generator(self.device).manual_seed(seed + self.workers.rank)
        self._collector = Collector(env.environments, self.device, self._generator)
        self._has_begun = False
        self._logger: Logger | None = None
        self.kept = self.state()

    @property
    def logger(self) -> Logger:
        """Where figures go; nowhere by default."""
        if self._logger is None:
            self._logger = configure(None, [])
        return self._logger

    def set_logger(self, logger: Logger) -> None:
        """Send figures to `logger`."""
        self._logger = logger

    def get_env(self) -> SchedulingVecEnv:
        """What it learns in."""
        return self.env

    def learn(
        self,
        total_timesteps: int,
        callback: BaseCallback | list[BaseCallback] | None = None,
        *,
        reset_num_timesteps: bool = True,
    ) -> PPO:
        """Learn until `total_timesteps` more decisions have been made, in whole rollouts.

        Args:
            total_timesteps: decisions, over all environments.
            callback: of Stable-Baselines3; one that returns False ends learning.
            reset_num_timesteps: count from 0 again.

        Returns:
            Itself.

        Raises:
            StateError: the network's outputs are no longer finite.
        """
        if reset_num_timesteps:
            self.num_timesteps = 0
        end = self.num_timesteps + total_timesteps
        self.horizon = self.horizon or end
        callbacks = CallbackList(callback if isinstance(callback, list) else [callback or _Quiet()])
        callbacks.init_callback(self)  # type: ignore[arg-type]
        callbacks.on_training_start({}, {})
        self._begin()
        while self.num_timesteps < end:
            self.kept = self.state()
            began, before = time.perf_counter(), self.num_timesteps
            callbacks.on_rollout_start()
            rollout = self._collect(callbacks)
            if not self.workers.agree(rollout is not None) or rollout is None:
                break
            callbacks.on_rollout_end()
            self._update(rollout)
            fps = (self.num_timesteps - before) / (time.perf_counter() - began)
            self._log_rollout(fps)
        else:
            self.kept = self.state()
        callbacks.on_training_end()
        return self

    def _begin(self) -> None:
        if not self._has_begun:
            self.env.environments.reset()
            self._has_begun = True

    def _collect(self, callbacks: CallbackList) -> Rollout | None:
        """A rollout, None if a callback ended it."""

        def told(decisions: int) -> bool:
            self.num_timesteps += decisions * self.workers.count
            return bool(callbacks.on_step())

        self.policy.eval()
        if self.config.rollouts_per_sequence > 1:
            return self._collector.collect_episodes(self.policy, told)
        return self._collector.collect(self.policy, self.config.rollout_steps, told)

    def _update(self, rollout: Rollout) -> None:
        """Epochs of minibatches over a rollout."""
        config, done = self.config, self.num_timesteps / (self.horizon or 1)
        rate = linear(config.learning_rate, config.learning_rate * config.final_learning_rate, done)
        entropy = linear(config.entropy_coefficient, config.final_entropy_coefficient, done)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        advantages, returns = self._targets(rollout)
        self.policy.train()
        seen: list[Tensor] = []
        for _ in range(config.epochs):
            for rows in self._minibatches(len(rollout.actions)):
                losses = self._losses(rollout, rows, advantages[rows], returns[rows])
                if self._has_moved_too_far(losses.approx_kl):
                    break
                weighted = config.value_coefficient * losses.value + entropy * losses.entropy
                self._descend(losses.policy + weighted)
                seen.append(torch.stack([each.detach() for each in losses]))
            else:
                continue
            break
        self._log_update(seen, rollout, returns, rate, entropy)

    def _targets(self, rollout: Rollout) -> tuple[Tensor, Tensor]:
        """Advantages and returns of the decisions, `(R,)` each."""
        config, cells = self.config, (rollout.step, rollout.env)
        discounts = discounts_of(rollout.elapsed_s, config.gamma, config.discount_per_s)
        if config.rollouts_per_sequence > 1:
            returns = returns_to_go(rollout.rewards, discounts)
            lengths = torch.bincount(rollout.env, minlength=returns.shape[1])
            baseline = sequence_baseline(
                returns, rollout.clock_s, lengths, config.rollouts_per_sequence
            )
            made_equal = per_sequence(returns - baseline, lengths, config.rollouts_per_sequence)
            return made_equal[cells], returns[cells]
        advantages = advantages_of(
            rollout.rewards, rollout.values, rollout.terminated, discounts, config.gae_lambda
        )
        return advantages[cells], (advantages + rollout.values[:-1])[cells]

    def _minibatches(self, count: int) -> tuple[Tensor, ...]:
        """All decisions in random order, `batch_size` at a time; a small rest is left out."""
        order = torch.randperm(count, generator=self._generator, device=self.device)
        parts: tuple[Tensor, ...] = order.split(self.config.batch_size)
        is_small = len(parts) > 1 and len(parts[-1]) < self.config.batch_size
        return parts[:-1] if is_small else parts

    def _losses(
        self, rollout: Rollout, rows: Tensor, advantages: Tensor, returns: Tensor
    ) -> Losses:
        batch, actions = rollout.batch(rows), rollout.actions[rows]
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.config.bfloat16, cache_enabled=False
        ):
            scores = self.policy.judge(batch)
        scores = scores.float()
        log_probs, entropies = judge_actions(batch, scores, actions)
        return ppo_losses(
            log_probs,
            rollout.log_probs[rows],
            entropies,
            scores.values,
            advantages,
            returns,
            self.config.clip_range,
        )

    def _has_moved_too_far(self, approx_kl: Tensor) -> bool:
        if self.config.target_kl is None:
            return False
        return float(self.workers.mean(approx_kl.clone())) > 1.5 * self.config.target_kl

    def _descend(self, loss: Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()
        self.workers.average_gradients(self.policy.parameters())
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.config.max_gradient_norm)
        self.optimizer.step()

    def _log_rollout(self, fps: float) -> None:
        finished = self.env.environments.finished
        if finished.returns:
            self.logger.record("rollout/ep_rew_mean", float(np.mean(finished.returns)))
            self.logger.record("rollout/ep_len_mean", float(np.mean(finished.lengths)))
            self.logger.record("rollout/metric", float(np.mean(finished.metrics)))
        self.logger.record("time/fps", fps)
        self.logger.dump(self.num_timesteps)

    def _log_update(
        self, seen: list[Tensor], rollout: Rollout, returns: Tensor, rate: float, entropy: float
    ) -> None:
        record = self.logger.record
        if seen:
            means = torch.stack(seen).mean(dim=0).tolist()
            for name, mean in zip(_LOGGED, means, strict=True):
                record(f"train/{name}", mean)
        variance = returns.var()
        left = (returns - rollout.values[rollout.step, rollout.env]).var()
        record("train/explained_variance", float(1 - left / variance) if variance > 0 else 0.0)
        record("train/learning_rate", rate)
        record("train/entropy_coefficient", entropy)
        record("train/updates", len(seen))

    @torch.no_grad()
    def predict(
        self,
        observation: dict[str, NDArray[Any]],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
        action_masks: NDArray[Any] | None = None,
    ) -> tuple[NDArray[np.int64], Any]:
        """Actions for observations of the environment's space, of one or of many.

        Args:
            observation: by name.
            state: given back; the policy remembers nothing.
            episode_start: not used.
            deterministic: the most probable action instead of a random one.
            action_masks: in the place of the observation's own.

        Returns:
            The action, `()` or `(B,)` int64, and `state`.

        Raises:
            InfeasibleDecisionError: a mask allows nothing.
        """
        single = np.ndim(observation["cluster"]) == 1
        given = {
            name: torch.as_tensor(values[None] if single else values, device=self.device)
            for name, values in observation.items()
        }
        mask = given["action_mask"]
        if action_masks is not None:
            mask = torch.as_tensor(action_masks, device=self.device).reshape(mask.shape)
        batch = Batch.of(
            given["tasks"], given["nodes"], given["cluster"], mask.bool(), given.get("candidates")
        )
        scores = self.policy.judge(batch)
        if deterministic:
            chosen = greedy(batch, scores)
        else:
            chosen, _ = sample(batch, scores, self._generator)
        actions: NDArray[np.int64] = chosen.cpu().numpy()
        return (actions[0] if single else actions), state

    def state(self) -> dict[str, Any]:
        """Tensors and plain values that it takes to go on exactly from here."""
        return {
            "config": self.config.model_dump_json(),
            "horizon": self.horizon or 0,
            "num_timesteps": self.num_timesteps,
            "policy": {name: each.clone() for name, each in self.policy.state_dict().items()},
            "optimizer": copied(self.optimizer.state_dict()),
            "generator": self._generator.get_state(),
            "environments": json.dumps(self.env.environments.state() if self._has_begun else None),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state()` of the same settings; on the CPU, bit by bit.

        Raises:
            ConfigError: the state does not fit the network.
            StateError: it is of another number of environments.
        """
        load_weights(self.policy, state["policy"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.num_timesteps, self.horizon = (
            int(state["num_timesteps"]),
            int(state["horizon"]) or None,
        )
        if state["generator"].shape == self._generator.get_state().shape:  # else: other device
            self._generator.set_state(state["generator"])
        environments = json.loads(state["environments"])
        if environments is not None and self.workers.count == 1:
            self.env.environments.restore(environments)
            self._has_begun = True
        self.kept = self.state()

    def rewind(self) -> None:
        """Go back to the last moment from which learning can go on exactly."""
        if self.num_timesteps != self.kept["num_timesteps"]:
            self.restore(self.kept)

    def save(self, path: str | Path) -> None:
        """Write its state at the last moment from which `load` can go on exactly.

        That is before the rollout that is being collected or learned from, if there is one.
        """
        save_learner(Path(path), self.kept)

    @classmethod
    def load(
        cls, path: str | Path, env: SchedulingVecEnv, device: torch.device | str = "cpu"
    ) -> PPO:
        """Read what `save` wrote.

        Raises:
            ArtifactError: the file is damaged or holds something else.
            ConfigError: it does not fit the environment.
        """
        state = load_learner(Path(path))
        config = load_settings(PPOConfig, json.loads(state["config"]), str(path))
        learner = cls(config, env, device=device)
        learner.restore(state)
        return learner


_LOGGED = ("policy_gradient_loss", "value_loss", "entropy_loss", "approx_kl", "clip_fraction")


class _Quiet(BaseCallback):
    """Does nothing."""

    def _on_step(self) -> bool:
        return True


def _require_fit(config: PPOConfig, env: SchedulingVecEnv, workers: Workers) -> None:
    if workers.count > 1 and config.rollouts_per_sequence > 1:
        raise ConfigError(
            f"ppo.rollouts_per_sequence: expected 1 with {workers.count} processes, which must make"
            f" equally many decisions, got {config.rollouts_per_sequence}"
        )
    per_sequence = env.environments.per_sequence
    if (config.num_envs, config.rollouts_per_sequence) != (env.num_envs, per_sequence):
        raise ConfigError(
            f"ppo.num_envs {config.num_envs} and ppo.rollouts_per_sequence"
            f" {config.rollouts_per_sequence}: expected those of the environment, {env.num_envs}"
            f" and {per_sequence}"
        )
