"""From a trained torch network to the one-file policy."""

from __future__ import annotations

import logging
import platform
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lepton_rl.agents.networks import SchedulingNetwork
from lepton_rl.core.errors import ArtifactError
from lepton_rl.core.version import VERSION
from lepton_rl.encoding.features import (
    CANDIDATE_FEATURES,
    CLUSTER_FEATURES,
    NODE_FEATURES,
    SCHEMA_VERSION,
    TASK_FEATURES,
)
from lepton_rl.policies.artifact import (
    CANDIDATES,
    CHECKSUM_KEY,
    FORMAT_VERSION,
    INPUTS,
    METADATA_KEY,
    Array,
    Manifest,
    ParitySample,
    read_artifact,
    seal,
)

__all__ = ["PARITY_LIMIT", "MaskedNetwork", "export_masked", "export_policy"]

PARITY_LIMIT = 1e-5
"""Largest difference allowed between a logit of the torch network and of the exported one,
over max(1, |logit|): float32 has no more digits for large logits."""

Observations = dict[str, NDArray[Any]]
_SAMPLE_ROWS = 4


class MaskedNetwork(nn.Module):
    """The network with masking inside: minus infinity where the mask forbids."""

    def __init__(self, network: SchedulingNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        tasks: Tensor,
        nodes: Tensor,
        cluster: Tensor,
        action_mask: Tensor,
        candidates: Tensor | None = None,
    ) -> Tensor:
        """Logits `(B, actions)`; arguments as of the network, and the mask `(B, actions)`."""
        logits: Tensor = self.network(tasks, nodes, cluster, candidates)
        return torch.where(action_mask, logits, -torch.inf)


def export_policy(
    network: SchedulingNetwork, observations: Observations, path: str | Path, **manifest: Any
) -> Manifest:
    """Write `network` as a policy file, read it back and compare.

    Args:
        network: trained.
        observations: real ones, `(B, ...)` by the names of `INPUTS`, and of `CANDIDATES` where
            nodes are chosen too, to measure parity on; the first few are stored in the file.
        path: of the file; written only once its parity is known, and in one move.
        **manifest: the fields of `Manifest` that only the caller knows.

    Returns:
        The manifest as written.

    Raises:
        ArtifactError, OSError: as `export_masked`.
    """
    return export_masked(MaskedNetwork(network), observations, path, **manifest)


def export_masked(
    network: nn.Module, observations: Observations, path: str | Path, **manifest: Any
) -> Manifest:
    """Likewise, of a network that masks by itself.

    Args:
        network: from tensors by the names of `INPUTS` (and of `CANDIDATES`) to `(B, actions)`,
            minus infinity where the mask forbids. With `slots` in the manifest it is exported for
            the sizes of the observations only.
        observations: see `export_policy`.
        path: of the file.
        **manifest: see `export_policy`.

    Returns:
        The manifest as written.

    Raises:
        ArtifactError: the network gives a number that is not finite, or the exported one differs
            by more than `PARITY_LIMIT`.
        OSError: the file cannot be written.
    """
    masked = network.eval().cpu()
    names = (*INPUTS, CANDIDATES) if CANDIDATES in observations else INPUTS
    inputs = tuple(torch.as_tensor(observations[name]) for name in names)
    with torch.no_grad():
        expected = masked(*inputs).numpy()
    if not np.isfinite(expected[observations["action_mask"]]).all():
        raise ArtifactError("the network's outputs are not finite; it cannot be exported")
    is_fixed = manifest.get("slots") is not None
    model = _to_onnx(masked, tuple(each[:2] for each in inputs), is_fixed=is_fixed)
    rows = _sample_rows(observations)
    sample = {name: Array.of(observations[name][rows]) for name in names}
    draft = Manifest(
        format_version=FORMAT_VERSION,
        schema_version=SCHEMA_VERSION,
        task_features=TASK_FEATURES,
        node_features=NODE_FEATURES,
        cluster_features=CLUSTER_FEATURES,
        candidate_features=CANDIDATE_FEATURES if CANDIDATES in names else (),
        choose_nodes=CANDIDATES in names,
        versions=_versions(),
        parity=0.0,
        sample=ParitySample(**sample, logits=Array.of(expected[rows])),
        **manifest,
    )
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f"{target.name}.tmp")
    try:
        unfinished.write_bytes(_sealed(model, draft))
        parity = _difference(unfinished, observations, expected)
        final = draft.model_copy(update={"parity": parity})
        unfinished.write_bytes(_sealed(model, final))
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return final


def _sample_rows(observations: Observations) -> NDArray[np.int64]:
    """The first few rows, half of them such that a node is chosen, where any is."""
    slots = observations["tasks"].shape[1]
    places = observations["action_mask"][:, slots + 1 :].any(axis=1)
    half = np.flatnonzero(places)[: _SAMPLE_ROWS // 2]
    return np.concatenate([np.flatnonzero(~places)[: _SAMPLE_ROWS - len(half)], half])


def _difference(path: Path, observations: Observations, expected: NDArray[Any]) -> float:
    inputs = {name: observations[name] for name in (*INPUTS, CANDIDATES) if name in observations}
    found = read_artifact(path).logits(**inputs)
    mask = observations["action_mask"]
    scale = np.maximum(1.0, np.abs(expected[mask]))
    parity = float((np.abs(found[mask] - expected[mask]) / scale).max())
    if not parity <= PARITY_LIMIT:
        raise ArtifactError(
            f"the exported network differs from the torch network by {parity:.3g}, allowed is"
            f" {PARITY_LIMIT:g}; its weights may be very large"
        )
    return parity


def _to_onnx(masked: nn.Module, example: tuple[Tensor, ...], *, is_fixed: bool) -> onnx.ModelProto:
    """The network as ONNX, for any number of observations, and of slots and nodes unless fixed.

    Args:
        masked: in evaluation mode, on the CPU.
        example: by the names of `INPUTS`, then `CANDIDATES` where nodes are chosen too.
        is_fixed: whether slots and nodes are as many as in the example.
    """
    names = (*INPUTS, CANDIDATES)[: len(example)]
    auto = torch.export.Dim.AUTO
    free = {0: auto} if is_fixed else {0: auto, 1: auto}
    shapes = dict.fromkeys(names, free) | {"cluster": {0: auto}}
    given = dict(zip(names, example, strict=True))
    widened = given if is_fixed else _two_nodes(given)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it asks for torchvision
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own internals
        program = torch.onnx.export(
            masked,
            tuple(widened.values()),
            dynamo=True,
            opset_version=18,
            input_names=list(names),
            output_names=["logits"],
            dynamic_shapes=shapes,
            verbose=False,
        )
    assert program is not None
    return _without_unused(program.model_proto)


def _without_unused(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without weights that nothing reads: the exporter folds parts of some into others."""
    read = {name for node in model.graph.node for name in node.input}
    used = [each for each in model.graph.initializer if each.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(used)
    return model


def _two_nodes(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inputs with a second node if there is one: axes of length 1 would become constants."""
    nodes = inputs["nodes"]
    if nodes.shape[1] > 1:
        return inputs
    widened = inputs | {"nodes": nodes.repeat(1, 2, 1)}
    if CANDIDATES in inputs:
        mask = inputs["action_mask"]
        widened |= {
            CANDIDATES: inputs[CANDIDATES].repeat(1, 2, 1),
            "action_mask": torch.cat([mask, mask[:, -1:]], dim=1),
        }
    return widened


def _sealed(model: onnx.ModelProto, manifest: Manifest) -> bytes:
    del model.metadata_props[:]
    model.metadata_props.add(key=METADATA_KEY, value=manifest.model_dump_json())
    model.metadata_props.add(key="checksum", value=f"{CHECKSUM_KEY}={'0' * 64}")
    return seal(model.SerializeToString())


def _versions() -> dict[str, str]:
    return {
        "lepton_rl": VERSION,
        "torch": torch.__version__,
        "onnx": onnx.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
