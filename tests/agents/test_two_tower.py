"""TwoTowerNetwork: equivariant to the order of tasks and of nodes, blind to empty slots."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

from lepton_rl.agents.batch import Batch
from lepton_rl.agents.config import PPOConfig
from lepton_rl.agents.export import MaskedNetwork, _to_onnx
from lepton_rl.agents.networks import PriorityNetwork, SchedulingNetwork
from lepton_rl.agents.registry import network_of
from lepton_rl.agents.two_tower import TwoTowerNetwork

F, G, C, P = 5, 3, 4, 2
Inputs = tuple[Tensor, Tensor, Tensor, Tensor | None]


def network(kind: str, *, nodes: bool) -> SchedulingNetwork:
    torch.manual_seed(0)
    config = PPOConfig.model_validate({"network": kind, "hidden": [16, 8], "latents": 3})
    return network_of(config, (F, G, C, P if nodes else 0)).double()


def inputs(
    batch: int, slots: int, nodes: int, *, choose: bool, filled: int | None = None
) -> Inputs:
    """The first `filled` slots hold tasks."""
    generator = torch.Generator().manual_seed(1)
    shapes = ((batch, slots, F), (batch, nodes, G), (batch, C), (batch, nodes, P))
    made = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    made[0][:, slots if filled is None else filled :] = 0
    return made[0], made[1], made[2], made[3] if choose else None


def mask_of(tasks: Tensor, candidates: Tensor | None) -> Tensor:
    """Tasks where there are any, no waiting, and every node."""
    taken = (tasks != 0).any(-1)
    parts = [taken, torch.zeros(len(tasks), 1, dtype=torch.bool)]
    if candidates is not None:
        parts.append(torch.ones(candidates.shape[:2], dtype=torch.bool))
    return torch.cat(parts, dim=-1)


both_kinds = pytest.mark.parametrize("kind", ["priority", "two-tower"])
both_heads = pytest.mark.parametrize("choose", [False, True], ids=["tasks", "tasks and nodes"])


@both_kinds
@both_heads
def test_shapes_and_names(kind: str, choose: bool) -> None:
    model = network(kind, nodes=choose)

    logits = model(*inputs(2, 7, 4, choose=choose))

    assert isinstance(model, PriorityNetwork if kind == "priority" else TwoTowerNetwork)
    assert logits.shape == (2, 7 + 1 + (4 if choose else 0))


@both_kinds
@both_heads
def test_whole_windows_and_tasks_alone_give_the_same(kind: str, choose: bool) -> None:
    model = network(kind, nodes=choose)
    tasks, nodes, cluster, candidates = inputs(3, 9, 4, choose=choose, filled=5)
    mask = mask_of(tasks, candidates)

    logits, values = model.evaluate(tasks, nodes, cluster, mask, candidates)
    whole = model(tasks, nodes, cluster, candidates)

    torch.testing.assert_close(logits[mask], whole[mask])
    torch.testing.assert_close(logits[:, 9], whole[:, 9])
    assert (logits[:, 5:9] == 0).all()
    assert values.shape == (3, 1)


@both_kinds
@both_heads
def test_another_order_of_tasks_and_nodes_gives_the_same_logits_in_that_order(
    kind: str, choose: bool
) -> None:
    model = network(kind, nodes=choose)
    tasks, nodes, cluster, candidates = inputs(2, 6, 4, choose=choose)
    generator = torch.Generator().manual_seed(3)
    by_task, by_node = (torch.randperm(n, generator=generator) for n in (6, 4))
    order = torch.cat([by_task, torch.tensor([6]), *([7 + by_node] if choose else [])])
    moved_candidates = None if candidates is None else candidates[:, by_node]

    moved = model(tasks[:, by_task], nodes[:, by_node], cluster, moved_candidates)

    torch.testing.assert_close(moved, model(tasks, nodes, cluster, candidates)[:, order])
    values = [
        model.evaluate(*each, mask_of(tasks, candidates), more)[1]
        for each, more in (
            ((tasks, nodes, cluster), candidates),
            ((tasks[:, by_task], nodes[:, by_node], cluster), moved_candidates),
        )
    ]
    torch.testing.assert_close(*values)


@both_kinds
@both_heads
def test_empty_slots_make_no_difference(kind: str, choose: bool) -> None:
    model = network(kind, nodes=choose)
    tasks, nodes, cluster, candidates = inputs(2, 4, 3, choose=choose)
    wider = torch.cat([tasks, torch.zeros(2, 6, F, dtype=tasks.dtype)], dim=1)

    narrow, wide = (model(each, nodes, cluster, candidates) for each in (tasks, wider))

    torch.testing.assert_close(wide[:, :4], narrow[:, :4])
    torch.testing.assert_close(wide[:, 10:], narrow[:, 4:])


def test_tasks_see_each_other_and_the_nodes_through_the_latents() -> None:
    model = network("two-tower", nodes=True)
    tasks, nodes, cluster, candidates = inputs(1, 3, 2, choose=True)
    before = model(tasks, nodes, cluster, candidates)
    other_task, other_node = tasks.clone(), nodes.clone()
    other_task[0, 2] += 1
    other_node[0, 1] += 1

    assert not torch.allclose(model(other_task, nodes, cluster, candidates)[0, 0], before[0, 0])
    assert not torch.allclose(model(tasks, other_node, cluster, candidates)[0, 0], before[0, 0])
    assert not torch.allclose(model(other_task, nodes, cluster, candidates)[0, 4], before[0, 4])


@both_kinds
def test_an_empty_queue_has_finite_values(kind: str) -> None:
    model = network(kind, nodes=True)
    tasks, nodes, cluster, candidates = inputs(2, 4, 3, choose=True, filled=0)

    logits, values = model.evaluate(tasks, nodes, cluster, mask_of(tasks, candidates), candidates)

    assert torch.isfinite(values).all()
    assert torch.isfinite(logits).all()


@both_kinds
def test_while_nodes_are_chosen_the_tasks_are_still_seen(kind: str) -> None:
    """No task is allowed then, but those that wait count for the value."""
    tasks, nodes, cluster, candidates = inputs(2, 4, 3, choose=True)
    mask = mask_of(tasks, candidates)
    mask[:, :5] = False

    batch = Batch.of(tasks, nodes, cluster, mask, candidates)

    assert len(batch.tasks) == 8
    model = network(kind, nodes=True)
    fewer = Batch.of(tasks[:, :1], nodes, cluster, mask[:, 3:], candidates)
    assert not torch.allclose(model.judge(batch).values, model.judge(fewer).values)


@both_kinds
def test_gradients_reach_every_weight(kind: str) -> None:
    model = network(kind, nodes=True)
    tasks, nodes, cluster, candidates = inputs(6, 8, 4, choose=True)

    logits, values = model.evaluate(tasks, nodes, cluster, mask_of(tasks, candidates), candidates)
    (logits.square().sum() + values.square().sum()).backward()

    silent = [
        n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
    ]
    assert [name for name in silent if not name.endswith("key.bias")] == []


@pytest.mark.parametrize(
    ("kind", "choose", "example_nodes"),
    [
        ("two-tower", False, 1),
        ("two-tower", True, 1),
        pytest.param("priority", True, 3, marks=pytest.mark.slow),
        pytest.param("two-tower", True, 3, marks=pytest.mark.slow),
    ],
)
def test_exported_once_it_runs_with_any_number_of_tasks_and_nodes(
    kind: str, choose: bool, example_nodes: int
) -> None:
    masked = MaskedNetwork(network(kind, nodes=choose).float()).eval()

    def case(batch: int, slots: int, nodes: int, filled: int) -> tuple[Tensor, ...]:
        tasks, machines, cluster, candidates = inputs(
            batch, slots, nodes, choose=choose, filled=filled
        )
        mask = mask_of(tasks, candidates)
        parts = [tasks.float(), machines.float(), cluster.float(), mask]
        return tuple(parts if candidates is None else [*parts, candidates.float()])

    model = _to_onnx(masked, case(2, 5, example_nodes, 3), is_fixed=False)

    session = onnxruntime.InferenceSession(model.SerializeToString())
    for shape in [(1, 2, 1, 1), (3, 128, 7, 60), (2, 5, 300, 5)]:
        given = case(*shape)
        feeds = {
            each.name: tensor.numpy()
            for each, tensor in zip(session.get_inputs(), given, strict=True)
        }
        with torch.no_grad():
            expected = masked(*given).numpy()
        np.testing.assert_allclose(session.run(None, feeds)[0], expected, rtol=1e-4, atol=1e-5)
