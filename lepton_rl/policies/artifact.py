"""The policy file: one ONNX model with its metadata, checksum and parity sample inside.

Reading needs neither torch nor onnx nor gymnasium, and runs no code from the file: the checksum is
verified over the raw bytes before anything is parsed, and ONNX Runtime is told to look for other
files where there are none, so a model that refers to any is refused.

Metadata are one JSON object under the ONNX metadata key `lepton_rl` (`Manifest`). The checksum
stands in the file itself, as `lepton_rl.sha256=<64 hex digits>`; it is the SHA-256 of the file
with those digits replaced by zeros. It guards against damage, not against a forger.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from lepton_rl.core.errors import ArtifactError
from lepton_rl.core.settings import Settings
from lepton_rl.encoding.features import (
    CANDIDATE_FEATURES,
    CLUSTER_FEATURES,
    NODE_FEATURES,
    SCHEMA_VERSION,
    TASK_FEATURES,
)
from lepton_rl.encoding.observation import Observation
from lepton_rl.policies.network import BoundNetwork, Network, session_of

__all__ = [
    "CANDIDATES",
    "CHECKSUM_KEY",
    "FORMAT_VERSION",
    "INPUTS",
    "LARGEST_WINDOW",
    "METADATA_KEY",
    "Array",
    "Artifact",
    "Manifest",
    "ParitySample",
    "read_artifact",
    "seal",
]

FORMAT_VERSION = 1
METADATA_KEY = "lepton_rl"
CHECKSUM_KEY = "lepton_rl.sha256"
INPUTS = ("tasks", "nodes", "cluster", "action_mask")
CANDIDATES = "candidates"
"""One more input, of policies that choose nodes too."""
LARGEST_WINDOW = 4096
"""Task slots that a policy may be shown."""
_LARGEST_FILE = 256 * 2**20
_PARITY_TOLERANCE = 1e-4
_PARITY_LIMIT_S = 5.0
_ZEROS = b"0" * 64
_DIGEST = re.compile(rb"lepton_rl\.sha256=([0-9a-f]{64})")


class Array(Settings):
    """A small array as text: its dtype, shape and base64 of its little-endian bytes."""

    dtype: Literal["float32", "bool"]
    shape: tuple[int, ...]
    data: str

    @classmethod
    def of(cls, values: NDArray[Any]) -> Array:
        """Encode `values`, float32 or bool."""
        name: Literal["float32", "bool"] = "bool" if values.dtype == np.bool_ else "float32"
        raw = np.ascontiguousarray(values, dtype=np.dtype(name)).tobytes()
        return cls(dtype=name, shape=values.shape, data=base64.b64encode(raw).decode())

    def values(self) -> NDArray[Any]:
        """Decode.

        Raises:
            ValueError: the bytes are not base64, or not as many as the shape needs.
        """
        try:
            raw = base64.b64decode(self.data, validate=True)
        except binascii.Error as error:
            raise ValueError(str(error)) from error
        return np.frombuffer(raw, np.dtype(self.dtype)).reshape(self.shape)


class ParitySample(Settings):
    """Inputs and the logits that the network gave for them when it was exported."""

    tasks: Array
    nodes: Array
    cluster: Array
    action_mask: Array
    logits: Array
    candidates: Array | None = None


class Manifest(Settings):
    """What a policy file says of itself.

    Attributes:
        format_version: of this structure.
        schema_version: of the features (`encoding.features.SCHEMA_VERSION`).
        name: for tables and logs.
        task_features, node_features, cluster_features, candidate_features: names of the input
            columns.
        place, backfill: rules around the learned choice, by name.
        may_wait: whether "wait" was an action in training.
        choose_nodes: whether it also chooses the nodes of the task that it puts first.
        slots, num_nodes: the sizes that a network is made for; None for any.
        resource_kinds: of the training cluster, for information.
        training: workload, steps, seed and the like, for information.
        evaluation: paired comparison with the heuristics on held-out windows, if one was made.
        versions: of the software it was made with.
        parity: largest difference of a logit from the torch network at export, over
            max(1, |logit|).
        sample: stored inputs and outputs, checked at load.
    """

    format_version: int
    schema_version: int
    name: str
    task_features: tuple[str, ...]
    node_features: tuple[str, ...]
    cluster_features: tuple[str, ...]
    candidate_features: tuple[str, ...] = ()
    place: str
    backfill: str
    may_wait: bool
    choose_nodes: bool = False
    slots: int | None = Field(None, ge=1, le=LARGEST_WINDOW)
    num_nodes: int | None = Field(None, ge=1)
    resource_kinds: tuple[str, ...]
    training: dict[str, Any]
    evaluation: dict[str, Any] | None = None
    versions: dict[str, str]
    parity: float
    sample: ParitySample


class Artifact:
    """A verified policy file, ready to run.

    Attributes:
        manifest: what the file says of itself.
        sha256: its checksum.
        path: the file, from which copies in other processes are read again.
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, manifest: Manifest, sha256: str, path: Path
    ) -> None:
        self._network = Network(session, _inputs_of(manifest))
        self.path = path
        self.manifest = manifest
        self.sha256 = sha256

    def __reduce__(self) -> tuple[Callable[[str, str], Artifact], tuple[str, str]]:
        """In another process it is read and verified again, once."""
        return _same_artifact, (str(self.path.absolute()), self.sha256)

    def logits(
        self,
        tasks: NDArray[np.float32],
        nodes: NDArray[np.float32],
        cluster: NDArray[np.float32],
        action_mask: NDArray[np.bool_],
        candidates: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Logits `(B, actions)`, minus infinity where masked.

        Args:
            tasks: `(B, Q, F)`.
            nodes: `(B, M, G)`.
            cluster: `(B, C)`.
            action_mask: `(B, Q + 1)`, `(B, Q + 1 + M)` of a policy that chooses nodes.
            candidates: `(B, M, P)`; only such a policy takes them.
        """
        inputs = (tasks, nodes, cluster, action_mask)
        return self._network.run(inputs if candidates is None else (*inputs, candidates))

    def bound_to(self, obs: Observation) -> BoundNetwork:
        """`logits` of the one observation in these buffers, whatever is written there."""
        inputs = (obs.tasks, obs.nodes, obs.cluster, obs.action_mask)
        more = (obs.candidates,) if self.manifest.choose_nodes else ()
        return self._network.bound_to((*inputs, *more), obs.action_mask.shape[1])


def _inputs_of(manifest: Manifest) -> tuple[str, ...]:
    return (*INPUTS, CANDIDATES) if manifest.choose_nodes else INPUTS


def seal(model: bytes) -> bytes:
    """Fill in the checksum of a serialized model whose digits are 64 zeros.

    Raises:
        ArtifactError: the model does not carry the key exactly once.
    """
    _find_digest(model, "the model to seal")
    return model.replace(
        b"lepton_rl.sha256=" + _ZEROS, b"lepton_rl.sha256=" + _checksum(model).encode()
    )


def _find_digest(data: bytes, where: str) -> bytes:
    found = _DIGEST.findall(data)
    if len(found) != 1:
        raise ArtifactError(
            f"{where}: expected one {CHECKSUM_KEY} in the file, found {len(found)}; it is damaged"
            " or was not written by lepton-rl export"
        )
    return bytes(found[0])


def _checksum(data: bytes) -> str:
    return hashlib.sha256(_DIGEST.sub(b"lepton_rl.sha256=" + _ZEROS, data)).hexdigest()


def read_artifact(path: str | Path) -> Artifact:
    """Read and verify a policy file: size, checksum, schema, inputs, parity sample.

    Raises:
        ArtifactError: any of these is wrong; the message says which.
    """
    data = _read_bytes(Path(path))
    written = _find_digest(data, str(path)).decode()
    if _checksum(data) != written:
        raise ArtifactError(f"{path}: checksum mismatch; the file is damaged, export it again")
    try:
        session = session_of(data)
        text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    except Exception as error:  # ONNX Runtime's own exceptions share no public base
        reason = " ".join(str(error).split())
        raise ArtifactError(f"{path}: not a usable ONNX model: {reason}") from error
    manifest = _manifest(text, path)
    artifact = Artifact(session, manifest, written, Path(path))
    _check_schema(manifest, session, path)
    _check_parity(artifact, path)
    return artifact


@cache
def _same_artifact(path: str, sha256: str) -> Artifact:
    """The policy file that another process has read.

    Raises:
        ArtifactError: the file has changed since.
    """
    artifact = read_artifact(path)
    if artifact.sha256 != sha256:
        raise ArtifactError(f"{path}: changed while it was in use; start again")
    return artifact


def _read_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > _LARGEST_FILE:
        raise ArtifactError(f"{path}: larger than {_LARGEST_FILE} bytes; not a policy file")
    return data


def _manifest(text: str | None, path: str | Path) -> Manifest:
    """The metadata; a file of another format is told so, whatever else it says."""
    if text is None:
        raise ArtifactError(f"{path}: no metadata under {METADATA_KEY!r}; not a policy file")
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: metadata {METADATA_KEY}: not JSON: {error}") from error
    version = raw.get("format_version") if isinstance(raw, dict) else None
    if isinstance(version, int) and version != FORMAT_VERSION:
        raise ArtifactError(_differs(path, "format_version", version, FORMAT_VERSION))
    try:
        return Manifest.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ArtifactError(f"{path}: metadata {field or METADATA_KEY}: {first['msg']}") from error


def _differs(path: str | Path, name: str, found: object, expected: object) -> str:
    return (
        f"{path}: {name} is {found!r}, this version of lepton-rl needs {expected!r};"
        " train or export the policy again"
    )


def _check_schema(
    manifest: Manifest, session: onnxruntime.InferenceSession, path: str | Path
) -> None:
    ours = {
        "schema_version": SCHEMA_VERSION,
        "task_features": TASK_FEATURES,
        "node_features": NODE_FEATURES,
        "cluster_features": CLUSTER_FEATURES,
        "candidate_features": CANDIDATE_FEATURES if manifest.choose_nodes else (),
    }
    for name, expected in ours.items():
        found = getattr(manifest, name)
        if found != expected:
            raise ArtifactError(_differs(path, name, found, expected))
    inputs = tuple(each.name for each in session.get_inputs())
    outputs = tuple(each.name for each in session.get_outputs())
    wanted = _inputs_of(manifest)
    if sorted(inputs) != sorted(wanted) or outputs != ("logits",):
        raise ArtifactError(
            f"{path}: expected inputs {', '.join(wanted)} and output logits, got"
            f" {', '.join(inputs)} and {', '.join(outputs)}"
        )


def _check_parity(artifact: Artifact, path: str | Path) -> None:
    sample = artifact.manifest.sample
    try:
        expected = sample.logits.values()
        mask = sample.action_mask.values()
        inputs = [sample.tasks, sample.nodes, sample.cluster, sample.action_mask]
        inputs += [] if sample.candidates is None else [sample.candidates]
        arrays = tuple(each.values() for each in inputs)
        found = artifact._network.try_run(arrays, _PARITY_LIMIT_S)
        scale = np.maximum(1.0, np.abs(expected[mask]))
        difference = float((np.abs(found[mask] - expected[mask]) / scale).max())
    except Exception as error:  # shapes that do not fit raise ONNX Runtime's or NumPy's own
        reason = " ".join(str(error).split())
        raise ArtifactError(f"{path}: the parity sample cannot be run: {reason}") from error
    if not difference <= _PARITY_TOLERANCE:
        raise ArtifactError(
            f"{path}: on the stored sample the network differs by {difference:.3g} from what it"
            f" gave at export (allowed {_PARITY_TOLERANCE:g}); export it again"
        )
