"""From torch to one file: equal outputs, or no file at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lepton_rl.agents import export
from lepton_rl.agents.export import PARITY_LIMIT, export_policy
from lepton_rl.core.errors import ArtifactError
from lepton_rl.encoding.features import CLUSTER_FEATURES, NODE_FEATURES, TASK_FEATURES
from lepton_rl.policies.artifact import INPUTS, read_artifact
from tests.trained import network, write_policy


def random_observations(rng: np.random.Generator, batch: int, slots: int, nodes: int) -> dict:
    shapes = (
        (batch, slots, len(TASK_FEATURES)),
        (batch, nodes, len(NODE_FEATURES)),
        (batch, len(CLUSTER_FEATURES)),
    )
    found = {
        name: rng.uniform(-2, 2, shape).astype(np.float32)
        for name, shape in zip(INPUTS, shapes, strict=False)
    }
    mask = rng.random((batch, slots + 1)) < 0.5
    mask[:, 0] = True
    return {**found, "action_mask": mask}


MANIFEST = {
    "name": "x",
    "place": "first-fit",
    "backfill": "none",
    "may_wait": False,
    "resource_kinds": ("cpu",),
    "training": {},
}


@pytest.mark.parametrize("shape", [(1, 2, 1), (3, 5, 2)], ids=str)
def test_any_shape_of_the_sample_gives_a_file_for_every_shape(
    shape: tuple[int, int, int], tmp_path: Path
) -> None:
    rng, model = np.random.default_rng(0), network()

    manifest = export_policy(
        model, random_observations(rng, *shape), tmp_path / "p.onnx", **MANIFEST
    )

    artifact = read_artifact(tmp_path / "p.onnx")
    assert manifest.parity <= PARITY_LIMIT
    assert artifact.manifest == manifest
    for batch, slots, nodes in [(1, 2, 1), (2, 128, 7), (5, 3, 300), (1, 4096, 2)]:
        obs = random_observations(rng, batch, slots, nodes)
        mask = obs["action_mask"]
        found = artifact.logits(*(obs[name] for name in INPUTS))
        with torch.no_grad():
            expected = model(*(torch.as_tensor(obs[name]) for name in INPUTS[:3])).numpy()
        assert found.shape == mask.shape
        assert (found[~mask] == -np.inf).all()
        np.testing.assert_allclose(found[mask], expected[mask], rtol=PARITY_LIMIT, atol=1e-5)


def test_a_network_that_is_not_finite_leaves_no_file(tmp_path: Path) -> None:
    model = network()
    torch.nn.init.constant_(model.scorer[0].weight, torch.nan)
    target = tmp_path / "policy.onnx"
    target.write_bytes(b"an older policy")

    with pytest.raises(ArtifactError, match="outputs are not finite"):
        write_policy(target, model)

    assert target.read_bytes() == b"an older policy"
    assert list(tmp_path.iterdir()) == [target]


def test_a_difference_beyond_the_limit_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PARITY_LIMIT", -1.0)

    with pytest.raises(ArtifactError, match="differs from the torch network by"):
        write_policy(tmp_path / "policy.onnx")

    assert list(tmp_path.iterdir()) == []
