"""Our PPO beside sb3-contrib's MaskablePPO: decisions per second, and where the time goes.

    python -m benchmarks.learner [--config hpc] [--updates 4] [--rounds 3] [--set ppo.epochs=3]

Both learn in the same environment, with the same network, batches, epochs and one thread, in turn
in one process. Printed are the shortest of the rounds of each (others on the machine only add time)
and the share of our time that the simulator takes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from sb3_contrib import MaskablePPO
from stable_baselines3.common.logger import configure

from lepton_rl.agents.config import TrainConfig
from lepton_rl.agents.environments import Environments
from lepton_rl.agents.ppo import PPO
from lepton_rl.agents.sb3_policy import SchedulingPolicy
from lepton_rl.agents.training import environment_of
from lepton_rl.commands.inputs import raw_config
from lepton_rl.core.settings import apply_overrides, load_settings
from lepton_rl.envs.episodes import load_workload


class Stopwatch:
    """Seconds spent in a method, all calls together."""

    def __init__(self, owner: type, name: str) -> None:
        self.seconds = 0.0
        original = getattr(owner, name)

        def timed(*arguments: object) -> object:
            began = time.perf_counter()
            try:
                return original(*arguments)
            finally:
                self.seconds += time.perf_counter() - began

        setattr(owner, name, timed)


def seconds_of(action: Callable[[], object]) -> float:
    """What `action` takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def maskable(config: TrainConfig, env: object) -> MaskablePPO:
    """sb3-contrib's learner with the settings of ours."""
    ppo = config.ppo
    model = MaskablePPO(
        SchedulingPolicy,
        env,  # type: ignore[arg-type]
        learning_rate=ppo.learning_rate,
        n_steps=ppo.rollout_steps,
        batch_size=ppo.batch_size,
        n_epochs=ppo.epochs,
        gamma=ppo.gamma,
        gae_lambda=ppo.gae_lambda,
        clip_range=ppo.clip_range,
        ent_coef=ppo.entropy_coefficient,
        vf_coef=ppo.value_coefficient,
        max_grad_norm=ppo.max_gradient_norm,
        policy_kwargs={"config": ppo},
        seed=config.seed,
        device="cpu",
    )
    model.set_logger(configure(None, []))
    return model


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="hpc")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--updates", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = apply_overrides(raw_config(given.config), given.overrides)
    config = load_settings(TrainConfig, data, given.config)
    workload = load_workload(config.environment.workload)
    ours = PPO(config.ppo, environment_of(config, workload, 0))
    theirs = maskable(config, environment_of(config, workload, 0))
    step, begin = Stopwatch(Environments, "step"), Stopwatch(Environments, "begin")
    decisions = given.updates * config.ppo.num_envs * config.ppo.rollout_steps
    ours.learn(decisions // given.updates)
    theirs.learn(decisions // given.updates)
    times: dict[str, list[float]] = {"PPO": [], "MaskablePPO": []}
    shares = []
    for _ in range(given.rounds):
        step.seconds = begin.seconds = 0.0
        times["PPO"].append(seconds_of(lambda: ours.learn(decisions, reset_num_timesteps=False)))
        shares.append((step.seconds + begin.seconds) / times["PPO"][-1])
        times["MaskablePPO"].append(
            seconds_of(lambda: theirs.learn(decisions, reset_num_timesteps=False))
        )
    for name, each in times.items():
        print(f"{name:12} {decisions / min(each):8.0f} decisions/s")
    print(f"ratio {min(times['MaskablePPO']) / min(times['PPO']):.2f}")
    print(f"in the environment: {100 * min(shares):.1f} % of our time")


if __name__ == "__main__":
    main()
