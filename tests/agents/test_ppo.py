"""PPO: the interface of Stable-Baselines3, exact resuming, and rollouts as they happened."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback

from lepton_rl.agents.choices import judge_actions
from lepton_rl.agents.config import PPOConfig
from lepton_rl.agents.ppo import PPO
from lepton_rl.core.errors import ArtifactError, ConfigError
from lepton_rl.core.settings import load_settings
from lepton_rl.policies.registry import rule_of
from tests.trained import vec_env

TINY: dict[str, Any] = {
    "num_envs": 4,
    "rollout_steps": 16,
    "batch_size": 32,
    "epochs": 2,
    "hidden": [8],
}
ROLLOUT = 64


def learner(seed: int = 0, horizon: int | None = None, **changes: Any) -> PPO:
    config = load_settings(PPOConfig, {**TINY, **changes}, "test")
    env = vec_env(4, 0, rule_of("f4"))
    env.environments.per_sequence = config.rollouts_per_sequence
    return PPO(config, env, seed=seed, horizon=horizon)


def weights(model: PPO) -> torch.Tensor:
    return torch.cat([each.detach().flatten() for each in model.policy.parameters()])


class Recorder(BaseCallback):
    """Counts what SB3 promises to call, and may end learning."""

    def __init__(self, end_after: int = 10**9) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.end_after = end_after

    def _on_training_start(self) -> None:
        self.calls.append("start")

    def _on_rollout_start(self) -> None:
        self.calls.append("rollout")

    def _on_step(self) -> bool:
        return self.n_calls < self.end_after

    def _on_training_end(self) -> None:
        self.calls.append("end")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"network": "two-tower", "latents": 2},
        {"rollouts_per_sequence": 2},
        {"gamma": 0.99, "discount_per_s": 1e-5},
        {"bfloat16": True},
    ],
    ids=str,
)
def test_learning_changes_every_weight_by_something_finite(changes: dict[str, Any]) -> None:
    model = learner(**changes)
    before = {name: each.clone() for name, each in model.policy.named_parameters()}

    assert model.learn(2 * ROLLOUT) is model

    assert model.num_timesteps >= 2 * ROLLOUT
    for name, each in model.policy.named_parameters():
        assert torch.isfinite(each).all(), name
        if name.split(".")[0] != "waiter" and not name.endswith("key.bias"):  # never offered here
            assert not torch.equal(each, before[name]), name


def test_callbacks_are_called_as_in_sb3_and_may_end_learning() -> None:
    model, recorder = learner(), Recorder(end_after=20)

    model.learn(10 * ROLLOUT, [recorder])

    assert recorder.calls == ["start", "rollout", "rollout", "end"]
    assert recorder.n_calls == 20
    assert model.num_timesteps == 20 * 4
    assert model.kept["num_timesteps"] == ROLLOUT


def test_callbacks_of_sb3_save_it(tmp_path: Path) -> None:
    callback = CheckpointCallback(save_freq=16, save_path=str(tmp_path), name_prefix="ours")

    learner().learn(ROLLOUT, callback)

    (path,) = tmp_path.iterdir()
    assert PPO.load(path, vec_env(4)).num_timesteps == 0, "the rollout had not been learned from"


def test_learning_twice_counts_on_or_from_zero() -> None:
    model = learner()
    model.learn(ROLLOUT)
    model.learn(ROLLOUT, reset_num_timesteps=False)
    assert model.num_timesteps == 2 * ROLLOUT
    model.learn(ROLLOUT)
    assert model.num_timesteps == ROLLOUT


def test_predict_takes_one_observation_or_many_and_stays_within_the_mask() -> None:
    model, env = learner(), vec_env(4)
    obs = env.reset()
    assert isinstance(obs, dict)
    for _ in range(30):
        actions, state = model.predict(obs)
        greedy, _ = model.predict(obs, deterministic=True)
        single, _ = model.predict({k: v[1] for k, v in obs.items()}, deterministic=True)
        forced, _ = model.predict(obs, action_masks=np.eye(9, dtype=bool)[[0] * 4])

        assert state is None
        assert env.action_masks()[np.arange(4), actions].all()
        assert single.shape == ()
        assert single == greedy[1]
        assert forced.tolist() == [0] * 4
        env.step_async(actions)
        obs = env.step_wait()[0]
        assert isinstance(obs, dict)


def test_what_is_saved_is_loaded_and_goes_on_exactly(tmp_path: Path) -> None:
    model = learner(horizon=6 * ROLLOUT)
    model.learn(2 * ROLLOUT)
    model.save(tmp_path / "model.pt")

    loaded = PPO.load(tmp_path / "model.pt", vec_env(4, 9, rule_of("f4")))

    assert loaded.config == model.config
    assert loaded.num_timesteps == 2 * ROLLOUT
    for each in (model, loaded):
        each.learn(2 * ROLLOUT, reset_num_timesteps=False)
    assert torch.equal(weights(loaded), weights(model))


RESUME = """
import sys
import torch
torch.set_num_threads(1)
from tests.agents.test_ppo import ROLLOUT, learner, weights
from lepton_rl.agents.checkpoint import load_learner
from pathlib import Path
model = learner(seed=7, horizon=8 * ROLLOUT)
model.restore(load_learner(Path(sys.argv[1])))
model.learn(4 * ROLLOUT, reset_num_timesteps=False)
torch.save(weights(model), sys.argv[2])
"""


def test_resuming_in_another_process_gives_the_same_weights_bit_by_bit(tmp_path: Path) -> None:
    """2N decisions in one go, and N, a checkpoint in the middle of a rollout, and N."""
    whole = learner(horizon=8 * ROLLOUT)
    whole.learn(8 * ROLLOUT)
    half = learner(horizon=8 * ROLLOUT)
    half.learn(8 * ROLLOUT, Recorder(end_after=4 * 16 + 5))
    half.save(tmp_path / "half.pt")

    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(RESUME), tmp_path / "half.pt", tmp_path / "w.pt"],
        check=True,
        cwd=Path(__file__).parents[2],
    )

    resumed = torch.load(tmp_path / "w.pt", weights_only=True)
    assert torch.equal(resumed, weights(whole))
    assert not torch.equal(resumed, weights(half))


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(b"hello")

    with pytest.raises(ArtifactError, match=r"x\.pt"):
        PPO.load(tmp_path / "x.pt", vec_env(4))


def test_an_environment_of_another_size_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"ppo\.num_envs 4 .* expected those of the environment"):
        PPO(load_settings(PPOConfig, TINY, "test"), vec_env(3))


def test_a_rollout_is_what_happened() -> None:
    """The same actions, done again in a twin, give the same observations and rewards."""
    model = learner()
    model.learn(ROLLOUT)
    twin = learner().env.environments
    twin.restore(model.env.environments.state())

    rollout = model._collector.collect(model.policy, 16, lambda _: True)

    assert rollout is not None
    for t in range(16):
        rows = torch.arange(4 * t, 4 * t + 4)
        batch = rollout.batch(rows)
        occupied = twin.simulator.obs.window >= 0
        np.testing.assert_array_equal(batch.tasks.numpy(), twin.simulator.obs.tasks[occupied])
        np.testing.assert_array_equal(batch.mask.numpy(), twin.simulator.obs.action_mask)
        twin.step(rollout.actions[rows].numpy())
        np.testing.assert_allclose(rollout.rewards[t].numpy(), twin.rewards, rtol=1e-6)
        np.testing.assert_array_equal(rollout.terminated[t].numpy(), twin.terminated)
        np.testing.assert_allclose(rollout.elapsed_s[t].numpy(), twin.elapsed_s, rtol=1e-6)
        for b in np.flatnonzero(twin.terminated).tolist():
            twin.begin(b)


def test_log_probabilities_of_a_rollout_are_those_of_the_policy_that_acted() -> None:
    model = learner()
    model._begin()
    rollout = model._collector.collect(model.policy, 16, lambda _: True)
    assert rollout is not None
    rows = torch.randperm(ROLLOUT, generator=torch.Generator().manual_seed(0))

    batch = rollout.batch(rows)
    with torch.no_grad():
        scores = model.policy.judge(batch)
    log_probs, _ = judge_actions(batch, scores, rollout.actions[rows])

    torch.testing.assert_close(log_probs, rollout.log_probs[rows])
    values = rollout.values[rollout.step[rows], rollout.env[rows]]
    torch.testing.assert_close(scores.values, values)


def test_rollouts_of_one_sequence_are_whole_episodes_of_the_same_window() -> None:
    model = learner(rollouts_per_sequence=2)

    rollout = model._collector.collect_episodes(model.policy, lambda _: True)

    assert rollout is not None
    assert rollout.terminated.sum(dim=0).tolist() == [1, 1, 1, 1]
    lengths = torch.bincount(rollout.env)
    for b in range(4):
        assert rollout.terminated[lengths[b] - 1, b]
        assert (rollout.rewards[lengths[b] :, b] == 0).all()
    rows = model.env.simulator.sim.state.status["first_row"]
    assert rows[0] == rows[1] != rows[2] == rows[3]


def test_an_update_that_moves_too_far_ends_early() -> None:
    updates = []
    for target in (None, 1e-9):
        model = learner(horizon=ROLLOUT, target_kl=target, epochs=4, learning_rate=0.1)
        model._begin()
        rollout = model._collector.collect(model.policy, 16, lambda _: True)
        assert rollout is not None
        model._update(rollout)
        updates.append(model.logger.name_to_value["train/updates"])

    assert updates[0] == 8
    assert updates[1] < 8


def test_schedules_run_over_the_horizon() -> None:
    model = learner(
        horizon=4 * ROLLOUT,
        learning_rate=0.01,
        final_learning_rate=0.5,
        entropy_coefficient=0.2,
        final_entropy_coefficient=0.0,
    )
    seen = []
    for _ in range(4):
        model.learn(ROLLOUT, reset_num_timesteps=False)
        seen.append(model.optimizer.param_groups[0]["lr"])

    assert seen == pytest.approx([0.00875, 0.0075, 0.00625, 0.005])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device was found")
@pytest.mark.parametrize("bfloat16", [False, True])
def test_on_a_gpu_everything_but_the_simulator_stays_there(bfloat16: bool) -> None:
    config = load_settings(PPOConfig, {**TINY, "bfloat16": bfloat16}, "test")
    model = PPO(config, vec_env(4, 0, rule_of("f4")), device="cuda")

    model.learn(2 * ROLLOUT)

    assert all(each.is_cuda for each in model.policy.parameters())
    assert torch.isfinite(weights(model)).all()
    rollout = model._collector.collect(model.policy, 4, lambda _: True)
    assert rollout is not None
    assert rollout.rewards.is_cuda
    assert rollout.observations.tasks.is_cuda
