"""PriorityNetwork: one score a task, whatever the window, the order and the number of nodes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lepton_rl.agents.networks import PriorityNetwork
from tests.trained import network

F, G, C = 5, 3, 4
SHAPES = [(1, 2, 1), (4, 8, 3), (2, 33, 17)]
"""(B, Q, M)"""


def small(seed: int = 0, hidden: tuple[int, ...] = (16, 8)) -> PriorityNetwork:
    torch.manual_seed(seed)
    return PriorityNetwork(F, G, C, hidden)


def inputs(batch: int, slots: int, nodes: int, seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((batch, slots, F), (batch, nodes, G), (batch, C))
    tasks, machines, cluster = (torch.randn(shape, generator=generator) for shape in shapes)
    return tasks, machines, cluster


def random_mask(batch: int, slots: int, seed: int = 2) -> Tensor:
    """About half of the slots are occupied, anywhere; "wait" is not offered."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand((batch, slots + 1), generator=generator) < 0.5
    mask[:, -1] = False
    return mask


@pytest.mark.parametrize("shape", SHAPES)
def test_sparse_logits_are_the_dense_ones_in_occupied_slots_and_zero_elsewhere(
    shape: tuple[int, int, int],
) -> None:
    batch, slots, _ = shape
    mask = random_mask(batch, slots)
    model = small()

    dense = model(*inputs(*shape))
    logits, values = model.evaluate(*inputs(*shape), mask)

    occupied = mask[:, :slots]
    assert logits.shape == dense.shape == (batch, slots + 1)
    assert values.shape == (batch, 1)
    torch.testing.assert_close(logits[:, :slots][occupied], dense[:, :slots][occupied])
    torch.testing.assert_close(logits[:, -1], dense[:, -1])
    assert (logits[:, :slots][~occupied] == 0).all()


def test_the_forward_pass_by_hand() -> None:
    model = PriorityNetwork(1, 1, 1, hidden=(1,))
    for parameter in model.parameters():
        torch.nn.init.ones_(parameter)
    tasks = torch.tensor([[[2.0], [-9.0]]])
    nodes = torch.tensor([[[1.0], [3.0]]])
    cluster = torch.tensor([[0.5]])

    logits = model(tasks, nodes, cluster)
    _, value = model.evaluate(tasks, nodes, cluster, torch.tensor([[True, True, False]]))

    # Context: 0.5, mean 2, maximum 3, in all 5.5; relu(x + 5.5 + 1) + 1 for each task.
    assert logits.tolist() == [[9.5, 1.0, 7.5]]
    # Encoded: relu(2 + 1) = 3 and relu(-9 + 1) = 0; mean 1.5, maximum 3.
    assert value.tolist() == [[1.5 + 3 + 5.5 + 1 + 1]]


@pytest.mark.parametrize("shape", SHAPES)
def test_tasks_in_another_order_have_the_same_logits_in_that_order(
    shape: tuple[int, int, int],
) -> None:
    batch, slots, _ = shape
    tasks, nodes, cluster = inputs(*shape)
    order = torch.randperm(slots, generator=torch.Generator().manual_seed(3))
    with_wait = torch.cat([order, torch.tensor([slots])])
    mask, model = random_mask(batch, slots), small()

    logits, values = model.evaluate(tasks, nodes, cluster, mask)
    moved, same = model.evaluate(tasks[:, order], nodes, cluster, mask[:, with_wait])

    torch.testing.assert_close(moved, logits[:, with_wait])
    torch.testing.assert_close(same, values)
    torch.testing.assert_close(
        model(tasks[:, order], nodes, cluster), model(tasks, nodes, cluster)[:, with_wait]
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_the_order_of_the_nodes_does_not_matter(shape: tuple[int, int, int]) -> None:
    batch, slots, num_nodes = shape
    tasks, nodes, cluster = inputs(*shape)
    order = torch.randperm(num_nodes, generator=torch.Generator().manual_seed(4))
    mask, model = random_mask(batch, slots), small()

    torch.testing.assert_close(
        model.evaluate(tasks, nodes[:, order], cluster, mask),
        model.evaluate(tasks, nodes, cluster, mask),
    )


def test_a_task_is_scored_by_itself() -> None:
    """Other tasks, other rows and the size of the window change neither logit nor value."""
    tasks, nodes, cluster = inputs(3, 8, 4)
    model, mask = small(), torch.zeros(3, 9, dtype=torch.bool)
    mask[:, :4] = True

    logits, values = model.evaluate(tasks, nodes, cluster, mask)
    narrow, same = model.evaluate(
        tasks[1:2, :4], nodes[1:2], cluster[1:2], torch.tensor([[True] * 4 + [False]])
    )
    alone = model(tasks[1:2, 2:3], nodes[1:2], cluster[1:2])

    torch.testing.assert_close(narrow[0, :4], logits[1, :4])
    torch.testing.assert_close(same[0], values[1])
    torch.testing.assert_close(alone[0, 0], logits[1, 2])


def test_the_value_ignores_what_stands_in_empty_slots() -> None:
    tasks, nodes, cluster = inputs(4, 8, 3)
    mask, model = random_mask(4, 8), small()
    other = torch.where(mask[:, :8, None], tasks, torch.full_like(tasks, 1e6))

    assert not torch.equal(other, tasks)
    assert torch.equal(
        model.evaluate(other, nodes, cluster, mask)[1],
        model.evaluate(tasks, nodes, cluster, mask)[1],
    )


def test_the_value_of_an_empty_window_is_finite_and_that_of_the_cluster_alone() -> None:
    tasks, nodes, cluster = inputs(2, 8, 3)
    nobody, model = torch.zeros(2, 9, dtype=torch.bool), small()

    logits, values = model.evaluate(tasks, nodes, cluster, nobody)

    assert torch.isfinite(values).all()
    assert (logits[:, :8] == 0).all()
    assert torch.equal(values, model.evaluate(-tasks, nodes, cluster, nobody)[1])


def test_rows_of_a_batch_do_not_touch_each_other() -> None:
    tasks, nodes, cluster = inputs(4, 8, 3)
    mask, model = random_mask(4, 8), small()

    together = model.evaluate(tasks, nodes, cluster, mask)
    for row in range(4):
        one = slice(row, row + 1)
        apart = model.evaluate(tasks[one], nodes[one], cluster[one], mask[one])
        torch.testing.assert_close(apart, (together[0][one], together[1][one]))


def test_gradients_reach_every_weight() -> None:
    model, mask = small(hidden=(16,)), random_mask(8, 16)
    mask[:, -1] = True

    logits, values = model.evaluate(*inputs(8, 16, 4), mask)
    (logits.masked_fill(~mask, 0.0).square().sum() + values.square().sum()).backward()

    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_gradients_of_the_sparse_form_are_those_of_the_dense_one() -> None:
    mask = random_mask(4, 8)
    gradients = []
    for sparse in (True, False):
        model = small()
        logits = model.evaluate(*inputs(4, 8, 3), mask)[0] if sparse else model(*inputs(4, 8, 3))
        logits[mask].sum().backward()
        gradients.append([p.grad for p in model.scorer.parameters()])

    torch.testing.assert_close(*gradients)


def test_no_gradient_flows_from_empty_slots() -> None:
    tasks, nodes, cluster = inputs(4, 8, 3)
    tasks.requires_grad_()
    mask = random_mask(4, 8)

    logits, values = small().evaluate(tasks, nodes, cluster, mask)
    (logits.sum() + values.sum()).backward()

    assert tasks.grad is not None
    assert (tasks.grad[~mask[:, :8]] == 0).all()
    assert (tasks.grad[mask[:, :8]] != 0).any(dim=-1).all()


def test_our_features_by_default_sizes() -> None:
    assert sum(each.numel() for each in network(hidden=(32, 32)).parameters()) < 20_000
