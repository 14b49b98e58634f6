"""The policy file: what is written is read back, everything else is refused with its reason."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lepton_rl.core.errors import ArtifactError
from lepton_rl.policies import artifact
from lepton_rl.policies.artifact import (
    CHECKSUM_KEY,
    INPUTS,
    METADATA_KEY,
    Array,
    read_artifact,
    seal,
)
from lepton_rl.policies.learned import load_policy
from tests.trained import metadata, network, random_policy_file, reseal, vec_env, write_sealed


@pytest.fixture(scope="module")
def policy() -> Path:
    return random_policy_file()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "changed.onnx"


def manifest_of(path: Path) -> dict[str, Any]:
    return json.loads(metadata(onnx.load(path))[METADATA_KEY])


def refused(path: Path, reason: str) -> None:
    """Loading fails in one line that names the file and says why."""
    with pytest.raises(ArtifactError, match=reason) as caught:
        read_artifact(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_round_trip(policy: Path) -> None:
    found = read_artifact(policy)
    env = vec_env(num_envs=6, seed=5)
    obs = dict(env.reset())
    mask = obs["action_mask"].astype(np.bool_)

    logits = found.logits(obs["tasks"], obs["nodes"], obs["cluster"], mask)

    import torch

    with torch.no_grad():
        expected = network()(*(torch.as_tensor(obs[name]) for name in INPUTS[:3])).numpy()
    np.testing.assert_allclose(logits[mask], expected[mask], rtol=1e-5, atol=1e-5)
    assert (logits[~mask] == -np.inf).all()
    assert found.manifest.name == "random"
    assert found.manifest.training["workload"] == "small"
    assert found.manifest.evaluation is None
    assert 0 <= found.manifest.parity <= 1e-5
    assert re.fullmatch("[0-9a-f]{64}", found.sha256)


def test_the_bytes_are_stable(policy: Path, target: Path) -> None:
    """Reading and sealing again changes nothing but the layout that onnx chooses."""
    once = reseal(policy, target)
    twice = reseal(once, target.with_name("twice.onnx"))

    assert twice.read_bytes() == once.read_bytes()
    assert read_artifact(once).manifest == read_artifact(policy).manifest


def mutated(rng: np.random.Generator, whole: bytes) -> bytes:
    """One of: cut off, bytes flipped, a block zeroed, bytes removed, inserted, swapped."""
    data, kind = bytearray(whole), rng.integers(6)
    start = int(rng.integers(len(data)))
    length = int(rng.integers(1, 200))
    if kind == 0:
        del data[start:]
    elif kind == 1:
        for position in rng.integers(len(data), size=rng.integers(1, 5)):
            data[position] ^= rng.integers(1, 256)
    elif kind == 2:
        data[start : start + length] = bytes(len(data[start : start + length]))
    elif kind == 3:
        del data[start : start + length]
    elif kind == 4:
        data[start:start] = rng.integers(0, 256, length, np.uint8).tobytes()
    else:
        other = int(rng.integers(len(data)))
        data[start], data[other] = data[other], data[start]
    return bytes(data)


def test_no_damage_goes_unnoticed(policy: Path, target: Path) -> None:
    rng, whole = np.random.default_rng(0), policy.read_bytes()
    changed = 0
    while changed < 300:
        data = mutated(rng, whole)
        if data == whole:
            continue
        target.write_bytes(data)
        refused(target, "checksum mismatch|expected one lepton_rl.sha256 in the file, found 0")
        changed += 1


def test_every_byte_of_the_checksum_and_its_name_counts(policy: Path, target: Path) -> None:
    whole = policy.read_bytes()
    start = whole.index(f"{CHECKSUM_KEY}=".encode())
    for position in range(start, start + len(CHECKSUM_KEY) + 1 + 64):
        data = bytearray(whole)
        data[position] ^= 1
        target.write_bytes(bytes(data))
        refused(target, "checksum mismatch|found 0")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_a_file_that_is_cut_off(policy: Path, target: Path, share: float) -> None:
    whole = policy.read_bytes()
    target.write_bytes(whole[: int(len(whole) * share)])

    refused(target, "expected one lepton_rl.sha256 in the file, found 0|checksum mismatch")


@pytest.mark.parametrize(
    "data",
    [bytes(4096), b"", b"policy\n", b"\x80\x04K\x01."],
    ids=["zeros", "empty", "text", "pkl"],
)
def test_other_files(target: Path, data: bytes) -> None:
    target.write_bytes(data)

    refused(target, "found 0; it is damaged or was not written by lepton-rl export")


def test_no_file(target: Path) -> None:
    refused(target, "cannot read .*: No such file or directory")


def test_a_directory(tmp_path: Path) -> None:
    refused(tmp_path, "cannot read .*: Is a directory")


def test_a_file_beyond_the_limit(policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifact, "_LARGEST_FILE", policy.stat().st_size)
    read_artifact(policy)
    monkeypatch.setattr(artifact, "_LARGEST_FILE", policy.stat().st_size - 1)

    refused(policy, "larger than .* bytes; not a policy file")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero")
def test_a_file_without_end_is_not_read_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifact, "_LARGEST_FILE", 1000)

    refused(Path("/dev/zero"), "larger than 1000 bytes")


def test_two_checksums(policy: Path, target: Path) -> None:
    target.write_bytes(policy.read_bytes() + f"{CHECKSUM_KEY}={'a' * 64}".encode())

    refused(target, "expected one lepton_rl.sha256 in the file, found 2")


def test_a_model_to_seal_needs_the_place_for_the_checksum_once() -> None:
    place = f"{CHECKSUM_KEY}={'0' * 64}".encode()
    for model in (b"model", place + place):
        with pytest.raises(ArtifactError, match=r"the model to seal: expected one"):
            seal(model)
    sealed = seal(b"model" + place)
    assert len(sealed) == len(b"model" + place)
    assert sealed != b"model" + place


# Files with a right checksum that are not for us: written by another version, or by hand.


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format_version": 2}, "format_version is 2, this version of lepton-rl needs 1"),
        ({"format_version": 2, "new": 1, "name": None}, "format_version is 2, this version"),
        ({"schema_version": 999}, "schema_version is 999, this version of lepton-rl needs"),
        ({"task_features": ["size"]}, r"task_features is \('size',\), this version .* train or"),
        ({"node_features": []}, r"node_features is \(\)"),
        ({"cluster_features": ["free_share"]}, "cluster_features is"),
        ({"name": None}, "metadata name: Field required"),
        ({"sample": None}, "metadata sample: Field required"),
        ({"format_version": None}, "metadata format_version: Field required"),
        ({"format_version": "1.5"}, "metadata format_version: .*expected a number"),
        ({"may_wait": "perhaps"}, "metadata may_wait: "),
        ({"colour": "red"}, "metadata colour: Extra inputs are not permitted"),
        ({"parity": float("nan")}, "metadata parity: .*finite"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_other_metadata(policy: Path, target: Path, changes: dict[str, Any], reason: str) -> None:
    refused(reseal(policy, target, **changes), reason)


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({}, "no metadata under 'lepton_rl'"),
        ({METADATA_KEY: ""}, "metadata lepton_rl: not JSON"),
        ({METADATA_KEY: "{"}, "metadata lepton_rl: not JSON"),
        ({METADATA_KEY: "[" * 100_000}, "metadata lepton_rl: not JSON"),
        ({METADATA_KEY: "[1]"}, "metadata lepton_rl: "),
        ({METADATA_KEY: "null"}, "metadata lepton_rl: "),
        ({METADATA_KEY: "{}"}, "metadata format_version: Field required"),
    ],
    ids=["none", "empty", "cut off", "deep", "a list", "null", "an empty object"],
)
def test_no_metadata_of_ours(
    policy: Path, target: Path, properties: dict[str, str], reason: str
) -> None:
    refused(write_sealed(onnx.load(policy), target, properties), reason)


@pytest.mark.parametrize("field", ["place", "backfill"])
def test_rules_that_are_not_known(policy: Path, target: Path, field: str) -> None:
    path = reseal(policy, target, **{field: "magic"})

    with pytest.raises(ArtifactError, match="unknown placement or backfilling rule 'MAGIC'"):
        load_policy(path)


@pytest.mark.parametrize("place", ["a", "model", "x" * 500])
def test_a_checksum_around_something_that_is_no_model(target: Path, place: str) -> None:
    target.write_bytes(seal(f"{place}{CHECKSUM_KEY}={'0' * 64}".encode()))

    refused(target, "not a usable ONNX model")


def with_metadata(policy: Path, model: onnx.ModelProto, target: Path) -> Path:
    return write_sealed(model, target, {METADATA_KEY: json.dumps(manifest_of(policy))})


def test_other_inputs_or_outputs(policy: Path, target: Path) -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    same = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value], [same])
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)

    refused(
        with_metadata(policy, model, target),
        "expected inputs tasks, nodes, cluster, action_mask and output logits, got x and y",
    )


def weights(model: onnx.ModelProto) -> Any:
    """The largest initializer of floats; not those for "wait", which the sample masks."""
    floats = [
        each
        for each in model.graph.initializer
        if each.data_type == TensorProto.FLOAT and "waiter" not in each.name
    ]
    return max(floats, key=lambda each: int(np.prod(each.dims)))


@pytest.mark.parametrize("value", [1e-2, 1e30, np.nan, np.inf], ids=str)
def test_other_weights_than_those_that_gave_the_sample(
    policy: Path, target: Path, value: float
) -> None:
    model = onnx.load(policy)
    chosen = weights(model)
    changed = numpy_helper.to_array(chosen) + np.float32(value)
    chosen.CopyFrom(numpy_helper.from_array(changed, chosen.name))

    refused(
        with_metadata(policy, model, target),
        "on the stored sample the network differs by .* from what it gave at export",
    )


def test_weights_in_another_file_are_not_read(
    policy: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(target.parent)
    model = onnx.load(policy)
    onnx.save(model, target, save_as_external_data=True, location="weights", size_threshold=0)
    assert (target.parent / "weights").stat().st_size > 0
    outside = onnx.load(target, load_external_data=False)

    refused(with_metadata(policy, outside, target), "not a usable ONNX model: .*[Ee]xternal")


def sample(policy: Path, **changes: Any) -> dict[str, Any]:
    return {"sample": {**manifest_of(policy)["sample"], **changes}}


@pytest.mark.parametrize(
    ("name", "array", "reason"),
    [
        ("tasks", {"data": "!!"}, "sample cannot be run: .*base64"),
        ("tasks", {"shape": [1, 1, 1]}, "sample cannot be run"),
        ("tasks", {"shape": [-1]}, "sample cannot be run"),
        ("nodes", {"dtype": "bool"}, "sample cannot be run"),
        ("nodes", {"dtype": "object"}, "metadata sample.nodes.dtype"),
        ("logits", {"shape": [2, 2]}, "sample cannot be run"),
    ],
    ids=str,
)
def test_samples_that_cannot_be(
    policy: Path, target: Path, name: str, array: dict[str, Any], reason: str
) -> None:
    whole = manifest_of(policy)["sample"][name]

    refused(reseal(policy, target, **sample(policy, **{name: {**whole, **array}})), reason)


def test_a_sample_that_shows_nothing_proves_nothing(policy: Path, target: Path) -> None:
    mask = Array.model_validate(manifest_of(policy)["sample"]["action_mask"]).values()
    empty = Array.of(np.zeros_like(mask)).model_dump()

    refused(reseal(policy, target, **sample(policy, action_mask=empty)), "sample cannot be run")


@pytest.mark.parametrize(
    "values",
    [np.arange(6, dtype=np.float32).reshape(2, 3), np.array([[True], [False]]), np.zeros((0, 4))],
    ids=["float32", "bool", "empty"],
)
def test_arrays_as_text(values: np.ndarray) -> None:
    found = Array.model_validate_json(Array.of(values).model_dump_json()).values()

    np.testing.assert_array_equal(found, values)


def test_loading_needs_no_training_library(policy: Path) -> None:
    code = (
        "import sys\n"
        "heavy = ('torch', 'gymnasium', 'onnx', 'onnxscript', 'stable_baselines3', 'sb3_contrib')\n"
        "sys.modules.update(dict.fromkeys(heavy))\n"  # importing one of them is an error now
        "import lepton_rl\n"
        "print(lepton_rl.load_policy(sys.argv[1]).name)\n"
        "print([name for name in heavy if sys.modules[name]])"
    )

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(policy)], capture_output=True, text=True
    )

    assert done.stderr == ""
    assert done.stdout.split("\n") == ["random", "[]", ""]
