"""What training and evaluation have left in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lepton_rl.agents.config import TrainConfig
from lepton_rl.core.errors import InputFileError
from lepton_rl.core.settings import load_settings, read_yaml
from lepton_rl.evaluate.document import SCHEMA_VERSION

__all__ = ["evaluation_document", "run_config"]


def evaluation_document(path: Path) -> dict[str, Any]:
    """The evaluation of a run.

    Raises:
        InputFileError: it cannot be read, or is of another version.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputFileError(
            f"cannot read {path}: {error.strerror}; expected the folder of `lepton-rl train`, or of"
            " `lepton-rl evaluate --out`"
        ) from error
    except ValueError as error:
        raise InputFileError(f"{path}: not JSON: {error}; evaluate again") from error
    found = data.get("schema_version") if isinstance(data, dict) else None
    if found != SCHEMA_VERSION:
        raise InputFileError(
            f"{path}: schema_version is {found!r}, this version of lepton-rl needs"
            f" {SCHEMA_VERSION}; evaluate again"
        )
    whole: dict[str, Any] = data
    return whole


def run_config(run: Path) -> TrainConfig:
    """The settings of a training run.

    Raises:
        InputFileError: the folder has none.
        ConfigError: they are not those of this version.
    """
    path = run / "config.yaml"
    if not path.is_file():
        raise InputFileError(f"{run}: expected the folder of `lepton-rl train`, with config.yaml")
    return load_settings(TrainConfig, read_yaml(path), str(path))
