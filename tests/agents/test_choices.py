"""Masked choices without empty slots, against hand-computed numbers and a dense softmax."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lepton_rl.agents.batch import Batch, Scores
from lepton_rl.agents.choices import greedy, judge_actions, sample
from lepton_rl.core.errors import InfeasibleDecisionError, StateError

Q, M = 4, 2


def case(counts: list[int], *, waits: bool = False, nodes: bool = False) -> tuple[Batch, Scores]:
    """Random logits; with `nodes`, every second observation chooses a node instead of a task."""
    generator = torch.Generator().manual_seed(0)
    rows = len(counts)
    owner = torch.arange(rows).repeat_interleave(torch.tensor(counts))
    slot = torch.cat([torch.arange(count) for count in counts])
    mask = torch.zeros(rows, Q + 1 + (M if nodes else 0), dtype=torch.bool)
    mask[owner, slot] = True
    mask[:, Q] = waits
    if nodes:
        mask[::2, :] = False
        mask[::2, Q + 1 :] = True
    random = [torch.randn(shape, generator=generator) for shape in ((len(owner),), (rows,))]
    batch = Batch(
        tasks=torch.zeros(len(owner), 1),
        owner=owner,
        slot=slot,
        nodes=torch.zeros(rows, M, 1),
        cluster=torch.zeros(rows, 1),
        mask=mask,
        candidates=torch.zeros(rows, M, 1) if nodes else None,
    )
    scores = Scores(
        tasks=random[0],
        wait=random[1],
        nodes=torch.randn((rows, M), generator=generator) if nodes else None,
        values=torch.zeros(rows),
    )
    return batch, scores


def dense(batch: Batch, scores: Scores) -> Tensor:
    """Log probabilities `(B, A)` of a softmax over everything, with minus infinity in the mask."""
    return scores.spread(batch).masked_fill(~batch.mask, -torch.inf).log_softmax(-1)


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("nodes", [False, True])
def test_log_probabilities_and_entropies_are_those_of_a_dense_softmax(
    waits: bool, nodes: bool
) -> None:
    batch, scores = case([3, 1, 4, 2], waits=waits, nodes=nodes)
    expected = dense(batch, scores)
    for row in range(4):
        for action in batch.mask[row].nonzero().flatten().tolist():
            actions = batch.mask.int().argmax(-1)
            actions[row] = action

            log_probs, entropies = judge_actions(batch, scores, actions)

            assert log_probs[row].item() == pytest.approx(expected[row, action].item(), abs=1e-6)
            probabilities = expected[row].exp()
            entropy = -(probabilities[batch.mask[row]] * expected[row][batch.mask[row]]).sum()
            assert entropies[row].item() == pytest.approx(entropy.item(), abs=1e-6)


def test_two_choices_by_hand() -> None:
    """Odds 2 : 3: probabilities 0.4 and 0.6."""
    batch, _ = case([2])
    scores = Scores(torch.tensor([2.0, 3.0]).log(), torch.zeros(1), None, torch.zeros(1))

    log_probs, entropies = judge_actions(batch, scores, torch.tensor([1]))

    assert log_probs.item() == pytest.approx(math.log(0.6))
    assert entropies.item() == pytest.approx(-0.4 * math.log(0.4) - 0.6 * math.log(0.6))
    assert greedy(batch, scores).tolist() == [1]


def test_gradients_are_those_of_a_dense_softmax() -> None:
    gradients = []
    for sparse in (True, False):
        batch, scores = case([3, 1, 4], waits=True, nodes=True)
        scores.tasks.requires_grad_()
        actions = batch.mask.int().argmax(-1)
        if sparse:
            loss = judge_actions(batch, scores, actions)[0].sum()
        else:
            loss = dense(batch, scores)[torch.arange(3), actions].sum()
        loss.backward()
        gradients.append(scores.tasks.grad)

    torch.testing.assert_close(*gradients)


def test_samples_follow_the_probabilities_and_never_the_forbidden() -> None:
    batch, scores = case([3] * 20_000)
    scores = Scores(
        torch.tensor([1.0, 2.0, 5.0]).log().repeat(20_000), scores.wait, None, scores.values
    )

    actions, log_probs = sample(batch, scores, torch.Generator().manual_seed(0))

    shares = torch.bincount(actions, minlength=Q + 1) / 20_000
    assert shares[3:].tolist() == [0, 0]
    for share, expected in zip(shares.tolist(), (1 / 8, 2 / 8, 5 / 8), strict=False):
        assert share == pytest.approx(expected, abs=4 * math.sqrt(expected / 20_000))
    assert log_probs.exp().unique().tolist() == pytest.approx([1 / 8, 2 / 8, 5 / 8])


def test_a_mask_that_forbids_everything_is_refused() -> None:
    batch, scores = case([2, 0])

    with pytest.raises(InfeasibleDecisionError, match="forbids all"):
        sample(batch, scores, torch.Generator())


def test_outputs_that_are_not_finite_are_a_clear_error() -> None:
    batch, scores = case([2])
    scores.tasks[0] = math.nan

    with pytest.raises(StateError, match=r"diverged.*ppo\.learning_rate"):
        greedy(batch, scores)
