"""Checkpoints: weights, optimiser, random numbers and environments, without pickled code.

A checkpoint is read with `torch.load(weights_only=True)`, which accepts tensors and plain values
only, after the CRC-32 of every record has been verified (torch writes them and does not look at
them).
"""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from lepton_rl.core.errors import ArtifactError, ConfigError

__all__ = [
    "copied",
    "load_checkpoint",
    "load_learner",
    "load_weights",
    "newest_checkpoint",
    "save_checkpoint",
    "save_learner",
]

_FORMAT = 2
_LEARNER: dict[str, type] = {
    "config": str,
    "horizon": int,
    "num_timesteps": int,
    "policy": dict,
    "optimizer": dict,
    "generator": torch.Tensor,
    "environments": str,
}
"""What `PPO.state` returns."""
_RUN: dict[str, type] = {
    "learner": dict,
    "best_metric": float,
    "best_steps": int,
    "best_weights": dict,
    "next_validation": int,
    "failures": int,
}
"""A checkpoint of a training run: the learner, and what its validations have found."""


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values in one move, so that a kill leaves the old file or the new.

    Raises:
        OSError: it cannot be written; an older file of this name is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save({"format": _FORMAT, **state}, buffer)
    unfinished = path.with_name(f"{path.name}.tmp")
    try:
        unfinished.write_bytes(buffer.getvalue())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def save_learner(path: Path, state: dict[str, Any]) -> None:
    """Write what `PPO.state` returned; see `save_checkpoint`."""
    save_checkpoint(path, state)


def load_learner(path: Path) -> dict[str, Any]:
    """Read what `save_learner` wrote.

    Raises:
        ArtifactError: see `load_checkpoint`.
    """
    return _load(path, _LEARNER)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of a training run.

    Raises:
        ArtifactError: the file is missing, damaged, or holds more than tensors and plain values.
    """
    state = _load(path, _RUN)
    _require_content(path, state["learner"], _LEARNER)
    return state


def _load(path: Path, content: dict[str, type]) -> dict[str, Any]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot read the checkpoint {path}: {error.strerror}") from error
    damaged = _damaged(data)
    if damaged:
        raise ArtifactError(f"cannot read the checkpoint {path}: {damaged}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # torch warns of some foreign files and reads on
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a foreign file makes torch raise almost anything
        raise ArtifactError(
            f"cannot read the checkpoint {path}: it holds more than tensors and plain values, or"
            f" is of another program ({type(error).__name__})"
        ) from error
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise ArtifactError(f"{path} is not a checkpoint of this version of lepton-rl")
    _require_content(path, state, content)
    return state


def _require_content(path: Path, state: dict[str, Any], content: dict[str, type]) -> None:
    for name, kind in content.items():
        if not isinstance(state.get(name), kind):
            raise ArtifactError(f"{path} is not a checkpoint of lepton-rl: {name} is missing")


def load_weights(module: torch.nn.Module, weights: dict[str, Any]) -> None:
    """`load_state_dict` with an error that says what to do.

    Raises:
        ConfigError: the weights are of another network.
    """
    try:
        module.load_state_dict(weights)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            "the checkpoint does not fit the configured network; use the settings it was made with"
            f" ({str(error).splitlines()[-1].strip()})"
        ) from error


def copied(values: Any) -> Any:
    """A deep copy of tensors in dictionaries and lists."""
    if isinstance(values, dict):
        return {key: copied(each) for key, each in values.items()}
    if isinstance(values, list):
        return [copied(each) for each in values]
    return values.clone() if isinstance(values, torch.Tensor) else values


def newest_checkpoint(folder: Path) -> Path:
    """The checkpoint with the most steps in a run's folder.

    Raises:
        ArtifactError: there is none.
    """
    found = sorted((folder / "checkpoints").glob("step-*.pt"))
    if not found:
        raise ArtifactError(
            f"no checkpoint in {folder / 'checkpoints'}; train first, without --resume"
        )
    return found[-1]


def _damaged(data: bytes) -> str:
    """What is wrong with a file of torch, which is a ZIP archive; empty if nothing is."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            bad = archive.testzip()
    except Exception as error:  # besides BadZipFile, many others on damaged archives
        return f"it is damaged or no checkpoint ({error})"
    return f"{bad} in it is damaged" if bad else ""
