"""Checkpoints come back as they were; nothing else is read, and no code is run."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lepton_rl.agents.checkpoint import load_checkpoint, newest_checkpoint, save_checkpoint
from lepton_rl.core.errors import ArtifactError
from lepton_rl.encoding.features import CLUSTER_FEATURES, NODE_FEATURES, TASK_FEATURES
from tests.trained import network


def state() -> dict[str, Any]:
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    tasks, nodes = (torch.ones(1, 2, len(names)) for names in (TASK_FEATURES, NODE_FEATURES))
    model(tasks, nodes, torch.ones(1, len(CLUSTER_FEATURES))).sum().backward()
    optimizer.step()
    learner = {
        "config": "{}",
        "horizon": 24,
        "num_timesteps": 12,
        "policy": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "generator": torch.Generator().get_state(),
        "environments": "null",
    }
    return {
        "learner": learner,
        "best_metric": 1.5,
        "best_steps": 8,
        "best_weights": network(seed=2).state_dict(),
        "next_validation": 16,
        "failures": 0,
    }


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "step-000000000012.pt"
    save_checkpoint(path, state())
    return path


def same(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def test_round_trip(saved: Path) -> None:
    loaded = load_checkpoint(saved)

    assert same(loaded, {"format": 2, **state()})
    assert [each.name for each in saved.parent.iterdir()] == [saved.name]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = saved.read_bytes()
    write = Path.write_bytes

    def full_disk(path: Path, data: bytes) -> int:
        write(path, data[: len(data) // 2])
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(saved, {**state(), "num_timesteps": 13})

    assert saved.read_bytes() == old
    assert list(saved.parent.iterdir()) == [saved]


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("wrapped", [False, True], ids=["plain pickle", "inside a torch file"])
def test_code_in_the_file_is_not_run(tmp_path: Path, wrapped: bool) -> None:
    target, path = tmp_path / "was-run", tmp_path / "step-000000000001.pt"
    content = {"format": 2, **state(), "extra": Malicious(target)}
    if wrapped:
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))

    with pytest.raises(ArtifactError, match=str(path)):
        load_checkpoint(path)

    assert not target.exists()
    if wrapped:  # the trap is a working one
        torch.load(path, weights_only=False)
        assert target.exists()


def foreign(kind: str, path: Path) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("hello.txt", "hello")
    contents = {
        "empty": b"",
        "zeros": bytes(5000),
        "text": b"hello world\n" * 100,
        "pickle": pickle.dumps({"format": 2}),
        "zip": archive.getvalue(),
    }
    if kind in contents:
        path.write_bytes(contents[kind])
    elif kind == "directory":
        path.mkdir()
    elif kind == "weights only":
        torch.save(network().state_dict(), path)
    elif kind == "old format":
        torch.save({**state(), "format": 0}, path)
    elif kind == "tensor":
        torch.save(torch.ones(3), path)
    elif kind == "incomplete":
        torch.save({"format": 2, "num_timesteps": 3}, path)
    elif kind == "wrong types":
        torch.save({"format": 2, **state(), "best_weights": [1, 2]}, path)
    elif kind == "legacy":
        torch.save({"format": 2, **state()}, path, _use_new_zipfile_serialization=False)
    else:
        assert kind == "missing"


@pytest.mark.parametrize(
    "kind",
    [
        *("missing", "directory", "empty", "zeros", "text", "pickle", "zip", "legacy"),
        *("weights only", "old format", "tensor", "incomplete", "wrong types"),
    ],
)
def test_other_files_are_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "step-000000000001.pt"
    foreign(kind, path)

    with pytest.raises(ArtifactError, match=str(path)) as caught:
        load_checkpoint(path)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", range(4))
def test_damage_is_noticed(saved: Path, seed: int) -> None:
    """Cut off, or bytes flipped anywhere: refused, unless no value changed (names in the ZIP)."""
    rng, whole, expected = np.random.default_rng(seed), saved.read_bytes(), load_checkpoint(saved)
    refused = 0
    for _ in range(50):
        data = bytearray(whole)
        if rng.random() < 0.3:
            del data[rng.integers(len(data)) :]
        else:
            for position in rng.integers(len(data), size=rng.integers(1, 4)):
                data[position] ^= rng.integers(1, 256)
        saved.write_bytes(bytes(data))
        try:
            loaded = load_checkpoint(saved)
        except ArtifactError:
            refused += 1
        else:
            assert same(loaded, expected)

    assert refused >= 40


def test_the_newest_has_the_most_steps(tmp_path: Path) -> None:
    for steps in (5, 1_000_000, 70):
        save_checkpoint(tmp_path / "checkpoints" / f"step-{steps:012d}.pt", state())
    (tmp_path / "checkpoints" / "step-999999999999.pt.tmp").write_bytes(b"unfinished")

    assert newest_checkpoint(tmp_path).name == "step-000001000000.pt"


def test_a_folder_without_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no checkpoint in .*checkpoints"):
        newest_checkpoint(tmp_path)
