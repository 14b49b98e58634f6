"""The folder of a training run: what it holds, and what an earlier run left in it."""

from __future__ import annotations

import itertools
import json
import subprocess
from pathlib import Path

import torch
import yaml

from lepton_rl.agents.config import TrainConfig
from lepton_rl.core.errors import ConfigError
from lepton_rl.core.version import VERSION
from lepton_rl.workloads.workload import Workload

__all__ = ["describe_run", "refuse_earlier_run", "revision", "set_aside"]

_RUN_FILES = (
    "config.yaml",
    "run.json",
    "checkpoints",
    "tensorboard",
    "policy.onnx",
    "evaluation.json",
    "evaluation.txt",
)


def set_aside(folder: Path) -> Path | None:
    """Move what an earlier run left in `folder` into `folder/earlier-1` (or -2, ...).

    Returns:
        Where it was moved to, None if there was no earlier run.
    """
    left = [path for name in _RUN_FILES if (path := folder / name).exists()]
    if not left:
        return None
    target = next(
        path for n in itertools.count(1) if not (path := folder / f"earlier-{n}").exists()
    )
    target.mkdir()
    for path in left:
        path.rename(target / path.name)
    return target


def refuse_earlier_run(folder: Path) -> None:
    """Its checkpoints would be taken for those of the new run."""
    if any((folder / "checkpoints").glob("step-*.pt")):
        raise ConfigError(
            f"{folder} holds an earlier run; go on with it (--resume), or take another folder"
        )


def describe_run(config: TrainConfig, folder: Path, workload: Workload) -> None:
    """Write the resolved settings, and what else it takes to repeat the run."""
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    facts = {
        "lepton_rl": VERSION,
        "revision": revision(),
        "seed": config.seed,
        "torch": torch.__version__,
        "workload": {"name": workload.name, "tasks": len(workload), **dict(workload.skipped)},
    }
    (folder / "run.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def revision() -> str:
    """Git revision of the sources, "unknown" outside a checkout."""
    try:
        result = subprocess.run(
            ["git", "rev-parse", "--verify", "--quiet", "HEAD"],  # noqa: S607 - whichever git the user has
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return result.stdout.strip() or "unknown"
