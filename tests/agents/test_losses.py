"""PPO's losses by hand."""

from __future__ import annotations

import math

import pytest
import torch

from lepton_rl.agents.losses import ppo_losses
from lepton_rl.agents.schedules import linear


def test_by_hand() -> None:
    """Ratios 1.5 and 0.5, advantages that become +-1/sqrt(2), clip range 0.2."""
    new = torch.tensor([math.log(1.5), math.log(0.5)], requires_grad=True)

    losses = ppo_losses(
        log_probs=new,
        old_log_probs=torch.zeros(2),
        entropies=torch.tensor([0.5, 1.5]),
        values=torch.tensor([1.0, 2.0]),
        advantages=torch.tensor([3.0, 1.0]),
        returns=torch.tensor([0.0, 4.0]),
        clip_range=0.2,
    )

    root = 1 / math.sqrt(2)
    assert losses.policy.item() == pytest.approx(-(root * 1.2 - root * 0.8) / 2, rel=1e-5)
    assert losses.value.item() == pytest.approx((1 + 4) / 2)
    assert losses.entropy.item() == -1.0
    assert losses.clip_fraction.item() == 1.0
    expected = ((0.5 - math.log(1.5)) + (-0.5 - math.log(0.5))) / 2
    assert losses.approx_kl.item() == pytest.approx(expected, rel=1e-5)
    losses.policy.backward()
    assert new.grad is not None
    assert new.grad.tolist() == [0, 0], "clipped decisions pull no further"


def test_one_decision_keeps_its_advantage() -> None:
    one = torch.zeros(1)
    losses = ppo_losses(one, one, one, one, torch.tensor([2.0]), one, 0.2)

    assert losses.policy.item() == -2.0


@pytest.mark.parametrize(("done", "value"), [(-1, 4.0), (0, 4.0), (0.5, 3.0), (1, 2.0), (9, 2.0)])
def test_schedules_are_linear_and_end(done: float, value: float) -> None:
    assert linear(4.0, 2.0, done) == value
