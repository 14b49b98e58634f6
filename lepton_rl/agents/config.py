"""Configuration of a training run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from lepton_rl.core.settings import Settings
from lepton_rl.envs.config import EnvironmentConfig, WorkloadConfig
from lepton_rl.policies.spec import rule_of

__all__ = [
    "AboutConfig",
    "EvolutionConfig",
    "ImitationConfig",
    "PPOConfig",
    "TrainConfig",
    "ValidationConfig",
]


class PPOConfig(Settings):
    """Proximal policy optimisation (Schulman et al., arXiv:1707.06347); see `agents.ppo`.

    Attributes:
        num_envs: environments side by side.
        rollout_steps: decisions of each environment between updates; not used where several
            rollouts share a sequence, which are whole episodes.
        batch_size: decisions in a gradient step; divides num_envs * rollout_steps.
        epochs: passes over the decisions of an update.
        learning_rate: at the start.
        final_learning_rate: share of it that is left at the end; it falls linearly.
        gamma: discount per decision; 1 because episodes end and rewards telescope.
        discount_per_s: continuous-time discount: what follows after t seconds of the simulated
            clock counts exp(-rate * t) of itself; 0 for none.
        gae_lambda: of generalised advantage estimation.
        rollouts_per_sequence: so many environments have the same arrivals, and the mean of their
            returns by time is the baseline; 1 for the value network and GAE instead. Divides
            num_envs.
        clip_range: of the policy ratio.
        target_kl: an update ends early when KL(old, new) exceeds 1.5 times this; None for never.
        entropy_coefficient: weight of the entropy bonus at the start.
        final_entropy_coefficient: and at the end; it changes linearly.
        value_coefficient: weight of the value loss.
        max_gradient_norm: gradients are clipped to it.
        network: priority (an MLP scores each task) or two-tower (latent cross-talk).
        hidden: widths of the hidden layers.
        latents: latent tokens of the two-tower network.
        bfloat16: compute losses in bfloat16 where that is safe; for GPUs.
    """

    num_envs: int = Field(default=64, ge=1, le=65_536)
    rollout_steps: int = Field(default=128, ge=2)
    batch_size: int = Field(default=1024, ge=2)
    epochs: int = Field(default=6, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0, le=1)
    final_learning_rate: float = Field(default=0.1, ge=0, le=1)
    gamma: float = Field(default=1.0, gt=0, le=1)
    discount_per_s: float = Field(default=0.0, ge=0)
    gae_lambda: float = Field(default=0.97, ge=0, le=1)
    rollouts_per_sequence: int = Field(default=1, ge=1)
    clip_range: float = Field(default=0.2, gt=0)
    target_kl: float | None = Field(default=None, gt=0)
    entropy_coefficient: float = Field(default=0.001, ge=0)
    final_entropy_coefficient: float = Field(default=0.001, ge=0)
    value_coefficient: float = Field(default=0.5, ge=0)
    max_gradient_norm: float = Field(default=0.5, gt=0)
    network: Literal["priority", "two-tower"] = "priority"
    hidden: tuple[Annotated[int, Field(ge=1, le=65_536)], ...] = Field(
        default=(32, 32), min_length=1
    )
    latents: int = Field(default=4, ge=1, le=1024)
    bfloat16: bool = False

    @model_validator(mode="after")
    def _whole_batches(self) -> PPOConfig:
        decisions = self.num_envs * self.rollout_steps
        if decisions % self.batch_size:
            raise ValueError(
                f"batch_size {self.batch_size} must divide num_envs * rollout_steps = {decisions}"
            )
        if self.num_envs % self.rollouts_per_sequence:
            raise ValueError(
                f"rollouts_per_sequence {self.rollouts_per_sequence} must divide num_envs"
                f" {self.num_envs}"
            )
        return self


class ImitationConfig(Settings):
    """Warm start: first learn to choose as a heuristic does.

    Attributes:
        teacher: a heuristic (f4; saf+easy to learn whom it backfills, where the environment does
            not backfill by itself), or "none" for no warm start.
        steps: steps of all environments under the teacher that are recorded.
        epochs: passes over the record.
        batch_size: decisions in a gradient step.
        learning_rate: of Adam.
    """

    teacher: str = "f4"
    steps: int = Field(default=400, ge=1)
    epochs: int = Field(default=6, ge=1)
    batch_size: int = Field(default=512, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0, le=1)

    @field_validator("teacher")
    @classmethod
    def _known(cls, value: str) -> str:
        if value != "none":
            rule_of(value)
        return value


Headroom = Literal["narrow", "medium", "wide", "narrow, waning", "medium, waning", "wide, waning"]
"""Names of `agents.linear.HEADROOMS`."""


class EvolutionConfig(Settings):
    """Evolution of linear scores; see `agents.evolution`.

    Attributes:
        pairs: antithetic pairs of candidates in a generation.
        windows: training windows of each workload that all candidates of a generation schedule.
        step_size: standard deviation of the weights of task features at the start.
        interactions: share of it for products with features of the cluster; 0 leaves them out.
        node_step_size: the same of the weights of node features, where nodes are chosen.
        holds: reasons to hold a task back, sums of features (`agents.linear`).
        hold_step: share of the step size for their weights.
        headrooms: holds that the search may begin with (`agents.linear.HEADROOMS`).
        tail_weight: what p95 and longest waits beyond the reference's cost (`fitness.loss`).
        also_train_on: more workloads, of whose training splits each counts as much as that of
            `environment.workload`.
        also_validate_on: the same of validation splits, which may be other workloads: what is
            chosen on work that nothing was trained on carries over.
    """

    pairs: int = Field(default=8, ge=2)
    windows: int = Field(default=32, ge=1)
    step_size: float = Field(default=0.3, gt=0)
    interactions: float = Field(default=0.0, ge=0)
    node_step_size: float = Field(default=0.1, gt=0)
    holds: int = Field(default=0, ge=0, le=64)
    hold_step: float = Field(default=0.1, gt=0)
    headrooms: tuple[Headroom, ...] = Field(default=("narrow", "medium", "wide"), min_length=1)
    tail_weight: float = Field(default=1.0, ge=0)
    also_train_on: tuple[WorkloadConfig, ...] = ()
    also_validate_on: tuple[WorkloadConfig, ...] = ()


class ValidationConfig(Settings):
    """Choosing among checkpoints, on windows of the validation split only.

    Attributes:
        windows: evenly spaced windows.
        every: decisions between validations.
        patience: training ends after so many validations in a row without a new best; 0 for never.
    """

    windows: int = Field(default=64, ge=1)
    every: int = Field(default=65_536, ge=1)
    patience: int = Field(default=0, ge=0)


class AboutConfig(Settings):
    """What people should know of a policy; it changes nothing in training.

    Attributes:
        purpose: what it is for, one sentence without a full stop.
        limits: what it is not for, or what is known to go wrong; a sentence each.
    """

    purpose: str = ""
    limits: tuple[str, ...] = ()


class TrainConfig(Settings):
    """A training run.

    Attributes:
        name: of the policy.
        seed: of everything random, below 2^32.
        method: ppo, or evolution (of linear scores, from the best of its own starts;
            `ppo`, `imitation`, `device` and `checkpoint_every` are not used).
        device: auto takes a GPU where there is one.
        total_steps: decisions over all environments.
        checkpoint_every: decisions between checkpoints.
        reference: heuristic that rewards are measured against, with the environment's backfilling
            unless it names its own (saf+easy).
        environment: what an episode is.
        ppo: learning.
        evolution: the same, by the other method.
        imitation: warm start.
        validation: choice of the checkpoint that is exported.
        test_windows: windows of the test split that the final evaluation uses, at most.
        about: for the model card of a shipped policy.
    """

    name: str = Field(default="lepton-hpc", min_length=1)
    seed: int = Field(default=0, ge=0, lt=2**32)
    method: Literal["ppo", "evolution"] = "ppo"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    total_steps: int = Field(default=600_000, ge=1)
    checkpoint_every: int = Field(default=65_536, ge=1)
    reference: str = "f4"
    environment: EnvironmentConfig = EnvironmentConfig()
    ppo: PPOConfig = PPOConfig()
    evolution: EvolutionConfig = EvolutionConfig()
    imitation: ImitationConfig = ImitationConfig()
    validation: ValidationConfig = ValidationConfig()
    test_windows: int = Field(default=50, ge=1)
    about: AboutConfig = AboutConfig()

    @field_validator("reference")
    @classmethod
    def _known(cls, value: str) -> str:
        if rule_of(value).blocking:
            raise ValueError("expected a heuristic of the standard rules, without blocking")
        return value
