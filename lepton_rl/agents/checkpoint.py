"""Checkpoints: weights, optimiser and counters, without pickled code.

A checkpoint is read with `torch.load(weights_only=True)`, which accepts tensors and plain values
only, after the CRC-32 of every record has been verified (torch writes them and does not look at
them). Resuming begins new episodes; their windows are drawn from the seed and the step counter.
"""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from lepton_rl.core.errors import ArtifactError

__all__ = ["load_checkpoint", "newest_checkpoint", "save_checkpoint"]

_FORMAT = 1
_CONTENT: dict[str, type] = {
    "num_timesteps": int,
    "policy": dict,
    "optimizer": dict,
    "best_metric": float,
    "best_steps": int,
    "best_weights": dict,
}


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


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint.

    Raises:
        ArtifactError: the file is missing, damaged, or holds more than tensors and plain values.
    """
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
    for name, kind in _CONTENT.items():
        if not isinstance(state.get(name), kind):
            raise ArtifactError(f"{path} is not a checkpoint of lepton-rl: {name} is missing")
    return state


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
