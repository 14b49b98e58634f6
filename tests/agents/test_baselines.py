"""The mean over rollouts of one arrival sequence, by time, against hand-computed numbers."""

from __future__ import annotations

import torch

from lepton_rl.agents.baselines import per_sequence, returns_to_go, sequence_baseline


def test_returns_to_go_by_hand() -> None:
    rewards = torch.tensor([[1.0], [2.0], [4.0]])

    assert returns_to_go(rewards, torch.full((3, 1), 0.5)).tolist() == [[3.0], [4.0], [4.0]]


def test_the_baseline_is_the_mean_at_the_same_time_by_hand() -> None:
    """Decisions at 0, 10, 20 s and at 0, 20 s; the second rollout is halfway at 10 s."""
    returns = torch.tensor([[6.0, 10.0], [4.0, 2.0], [2.0, 0.0]])
    clock_s = torch.tensor([[0.0, 0.0], [10.0, 20.0], [20.0, 99.0]])

    found = sequence_baseline(returns, clock_s, torch.tensor([3, 2]), group=2)

    assert found[:, 0].tolist() == [(6 + 10) / 2, (4 + 6) / 2, (2 + 2) / 2]
    assert found[:2, 1].tolist() == [(6 + 10) / 2, (2 + 2) / 2]


def test_after_its_last_decision_a_rollout_has_nothing_to_earn() -> None:
    returns, clock_s = torch.tensor([[5.0, 3.0]]), torch.tensor([[0.0, 7.0]])

    found = sequence_baseline(returns, clock_s, torch.tensor([1, 1]), group=2)

    assert found.tolist() == [[(5 + 3) / 2, (0 + 3) / 2]]


def test_equal_rollouts_leave_no_advantage() -> None:
    generator = torch.Generator().manual_seed(0)
    returns = torch.rand((9, 1), generator=generator).expand(9, 3)
    clock_s = torch.rand((9, 1), generator=generator).cumsum(0).expand(9, 3)

    found = sequence_baseline(returns, clock_s, torch.tensor([9, 9, 9]), group=3)

    torch.testing.assert_close(found, returns)


def test_groups_do_not_touch_each_other() -> None:
    returns = torch.tensor([[1.0, 1.0, 50.0, 70.0]])

    found = sequence_baseline(returns, torch.zeros(1, 4), torch.ones(4, dtype=torch.int64), group=2)

    assert found.tolist() == [[1.0, 1.0, 60.0, 60.0]]


def test_groups_count_alike_by_hand() -> None:
    """Root mean squares 2 and 0.1; what stands beyond the end of an episode is not counted."""
    advantages = torch.tensor([[2.0, -2.0, 0.1, -0.1], [2.0, 77.0, 0.1, -0.1]])

    found = per_sequence(advantages, torch.tensor([2, 1, 2, 2]), group=2)

    torch.testing.assert_close(found[0], torch.tensor([1.0, -1.0, 1.0, -1.0]))
    torch.testing.assert_close(found[1, [0, 2, 3]], torch.tensor([1.0, 1.0, -1.0]))


def test_a_group_without_differences_has_no_advantage() -> None:
    assert per_sequence(torch.zeros(3, 2), torch.tensor([3, 3]), 2).tolist() == [[0.0, 0.0]] * 3
