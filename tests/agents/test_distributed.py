"""Several processes started by torchrun train one network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from lepton_rl.agents.distributed import Workers, is_first, joined

SCRIPT = """
import sys
import torch
torch.set_num_threads(1)
from lepton_rl.agents.distributed import joined
from tests.agents.test_ppo import ROLLOUT, Recorder, learner, weights
with joined(torch.device("cpu")) as workers:
    model = learner(seed=workers.rank)
    model.env.environments.restart(workers.rank)
    model.learn(4 * 2 * ROLLOUT)
    torch.save(
        {
            "weights": weights(model),
            "steps": model.num_timesteps,
            "tasks": model.env.simulator.obs.tasks.sum().item(),
        },
        f"{sys.argv[1]}/rank-{workers.rank}.pt",
    )
"""


def test_alone_nothing_is_averaged_and_the_own_word_counts() -> None:
    workers, layer = Workers(), nn.Linear(2, 1)
    layer(torch.ones(1, 2)).sum().backward()
    assert layer.weight.grad is not None
    before = layer.weight.grad.clone()

    workers.average_gradients(layer.parameters())

    assert (workers.rank, workers.count) == (0, 1)
    assert torch.equal(layer.weight.grad, before)
    assert workers.mean(torch.tensor(3.0)).item() == 3
    assert workers.agree(True)
    assert not workers.agree(False)
    assert is_first()
    with joined(torch.device("cpu")) as alone:
        assert alone.count == 1


@pytest.mark.slow
def test_two_processes_see_other_work_and_hold_the_same_weights(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    root = Path(__file__).parents[2]

    subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", "2", str(script), str(tmp_path)),
        ],
        check=True,
        timeout=300,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
    )

    one, two = (torch.load(tmp_path / f"rank-{rank}.pt", weights_only=True) for rank in (0, 1))
    assert torch.equal(one["weights"], two["weights"])
    assert one["steps"] == two["steps"] == 4 * 2 * 64
    assert one["tasks"] != two["tasks"]
