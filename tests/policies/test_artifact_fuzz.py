"""Files made to hurt: damage at random, and forgeries with a right checksum.

Each is refused with an `ArtifactError` of one line, within seconds and without a growing process.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from lepton_rl.core.errors import ArtifactError
from lepton_rl.policies.artifact import read_artifact, seal
from lepton_rl.policies.learned import load_policy
from tests.policies.test_artifact import manifest_of, mutated, with_metadata
from tests.trained import random_policy_file, reseal

MUTATIONS = 1_000
_MORE_MB = 300


def memory_mb() -> float:
    """The most this process has used so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def is_refused(path: Path) -> bool:
    """False if the file is as good as it was; anything but an `ArtifactError` is a failure."""
    try:
        load_policy(path)
    except ArtifactError as error:
        return "\n" not in str(error)
    return False


def unsealed(data: bytes) -> bytes:
    """The digits of the checksum as zeros, so that it can be sealed again."""
    start = data.index(b"lepton_rl.sha256=") + len(b"lepton_rl.sha256=")
    return data[:start] + b"0" * 64 + data[start + 64 :]


def test_random_mutations_are_refused(tmp_path: Path) -> None:
    rng, whole, target = np.random.default_rng(7), random_policy_file().read_bytes(), tmp_path / "f"
    before = memory_mb()
    for _ in range(MUTATIONS // 2):
        data = mutated(rng, whole)
        if data != whole:
            target.write_bytes(data)
            assert is_refused(target)
    assert memory_mb() - before < _MORE_MB


def test_a_thousand_mutations_with_a_right_checksum_do_no_harm(tmp_path: Path) -> None:
    """Now the parser, the metadata and the network meet the damage.

    Not all can be refused: a changed producer name, or the last bit of a weight, hurts nobody.
    """
    rng, target = np.random.default_rng(8), tmp_path / "f"
    whole = unsealed(random_policy_file().read_bytes())
    before, refused, tried = memory_mb(), 0, 0
    while tried < MUTATIONS:
        try:
            data = seal(mutated(rng, whole))
        except ArtifactError:
            continue  # it hit the checksum itself
        target.write_bytes(data)
        refused += is_refused(target)
        tried += 1
    assert refused > MUTATIONS / 2
    assert memory_mb() - before < _MORE_MB


def forged(nodes: list[Any], initializers: list[Any], functions: Any = (), opset: Any = ()) -> Any:
    """A model with our inputs that computes something else."""
    shapes = {
        "tasks": ["B", "Q", 13], "nodes": ["B", "M", 5], "cluster": ["B", 8],
    }  # fmt: skip
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    ]
    inputs.append(helper.make_tensor_value_info("action_mask", TensorProto.BOOL, ["B", "Q1"]))
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", inputs, [output], initializers)
    sets = [helper.make_opsetid("", 18), *opset]
    return helper.make_model(graph, opset_imports=sets, ir_version=9, functions=list(functions))


def constant(name: str, values: Any, dtype: Any = np.int64) -> Any:
    return numpy_helper.from_array(np.array(values, dtype), name)


def memory_bomb() -> Any:
    return forged(
        [
            helper.make_node("ReduceSum", ["cluster"], ["one"], keepdims=0),
            helper.make_node("Expand", ["one", "shape"], ["huge"]),
            helper.make_node("Identity", ["huge"], ["logits"]),
        ],
        [constant("shape", [3000, 1000, 1000])],
    )


def constant_bomb() -> Any:
    return forged(
        [
            helper.make_node("ConstantOfShape", ["shape"], ["huge"]),
            helper.make_node("Add", ["huge", "cluster"], ["logits"]),
        ],
        [constant("shape", [100_000, 1000, 8])],
    )


def endless_loop() -> Any:
    step = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["still"]),
            helper.make_node("Sin", ["value"], ["next"]),
        ],
        "step",
        [
            helper.make_tensor_value_info("number", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    loop = helper.make_node("Loop", ["often", "", "cluster"], ["logits"], body=step)
    return forged([loop], [constant("often", 2**62)])


def custom_operator() -> Any:
    node = helper.make_node("Run", ["cluster"], ["logits"], domain="evil", command="id")
    return forged([node], [], opset=[helper.make_opsetid("evil", 1)])


def huge_dimension() -> Any:
    model = forged([helper.make_node("Add", ["cluster", "w"], ["logits"])], [])
    tensor = model.graph.initializer.add()
    tensor.name, tensor.data_type = "w", TensorProto.FLOAT
    tensor.dims.extend([2**40, 2**20])
    tensor.raw_data = b"\0" * 32
    return model


def outside(location: str) -> Callable[[], Any]:
    def make() -> Any:
        model = forged([helper.make_node("Add", ["cluster", "w"], ["logits"])], [])
        tensor = model.graph.initializer.add()
        tensor.name, tensor.data_type = "w", TensorProto.FLOAT
        tensor.dims.extend([8])
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        return model

    return make


FORGERIES: dict[str, Callable[[], Any]] = {
    "memory bomb": memory_bomb,
    "constant bomb": constant_bomb,
    "endless loop": endless_loop,
    "custom operator": custom_operator,
    "huge dimension": huge_dimension,
    "external, absolute": outside("/etc/hostname"),
    "external, upwards": outside("../../../../etc/hostname"),
    "external, beside": outside("weights"),
}


@pytest.mark.parametrize("make", FORGERIES.values(), ids=FORGERIES)
def test_forgeries_are_refused_in_bounded_time_and_memory(
    make: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lepton_rl.policies.artifact._PARITY_LIMIT_S", 0.3)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").write_bytes(bytes(32))
    path = with_metadata(random_policy_file(), make(), tmp_path / "forged.onnx")
    before, began_s = memory_mb(), time.monotonic()

    with pytest.raises(ArtifactError, match=r"not a usable ONNX model|parity sample cannot be run"):
        read_artifact(path)

    assert time.monotonic() - began_s < 20
    assert memory_mb() - before < 1300


def test_metadata_of_another_policy(tmp_path: Path) -> None:
    """The sample was made by another network, so it gives it away."""
    from tests.trained import network, write_policy

    other = manifest_of(write_policy(tmp_path / "other.onnx", network(seed=9)))
    path = reseal(random_policy_file(), tmp_path / "swapped.onnx", **other)

    with pytest.raises(ArtifactError, match="on the stored sample the network differs"):
        read_artifact(path)


def test_metadata_that_would_be_code_elsewhere(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    code = f"!!python/object/apply:pathlib.Path.touch ['{marker}']"
    names = {"name": code, "place": f"__import__('pathlib').Path('{marker}').touch()"}
    path = reseal(random_policy_file(), tmp_path / "code.onnx", **names)

    assert is_refused(path)
    assert not marker.exists()


def test_nothing_on_the_load_path_reads_pickles() -> None:
    import subprocess
    import sys

    code = (
        "import pickle, sys\n"
        "def no(*a, **k): raise SystemExit('pickle was used')\n"
        "pickle.load = pickle.loads = pickle.Unpickler = no\n"
        "from lepton_rl.policies.artifact import read_artifact\n"
        "read_artifact(sys.argv[1])\n"
        "print('read', 'torch' in sys.modules, 'onnx' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(random_policy_file())], capture_output=True, text=True
    )
    assert done.stdout.strip() == "read False False", done.stderr


def test_the_sample_may_not_be_huge(tmp_path: Path) -> None:
    sample = manifest_of(random_policy_file())["sample"]
    sample["tasks"]["shape"] = [2**40, 2**20, 13]
    path = reseal(random_policy_file(), tmp_path / "huge.onnx", sample=sample)

    assert is_refused(path)
