"""Checkpoints: weights, optimiser and counters, without pickled code.

A checkpoint is read with `torch.load(weights_only=True)`, which accepts tensors and plain values
only. Resuming begins new episodes; their windows are drawn from the seed and the step counter.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from lepton_rl.core.errors import ArtifactError

__all__ = ["load_checkpoint", "newest_checkpoint", "save_checkpoint"]

_FORMAT = 1


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values in one move, so that a kill leaves the old file or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    torch.save({"format": _FORMAT, **state}, unfinished)
    unfinished.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint.

    Raises:
        ArtifactError: the file is missing, damaged, or holds more than tensors and plain values.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ArtifactError(f"cannot read the checkpoint {path}: {reason}") from error
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise ArtifactError(f"{path} is not a checkpoint of this version of lepton-rl")
    return state


def newest_checkpoint(folder: Path) -> Path:
    """The checkpoint with the most steps in a run's folder.

    Raises:
        ArtifactError: there is none.
    """
    found = sorted((folder / "checkpoints").glob("step-*.pt"))
    if not found:
        raise ArtifactError(f"no checkpoint in {folder / 'checkpoints'}; start without --resume")
    return found[-1]
