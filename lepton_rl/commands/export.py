"""`lepton-rl export`."""

from __future__ import annotations

import json
from pathlib import Path

from lepton_rl.agents.training import export_checkpoint
from lepton_rl.commands.documents import run_config

__all__ = ["run_export"]


def run_export(run: Path, out: Path | None, *, as_json: bool) -> str:
    """Export the best weights of the newest checkpoint; returns what goes to stdout.

    Raises:
        LeptonError: the folder is not one of a run.
    """
    config = run_config(run)
    path = out if out is not None else run / "policy.onnx"
    manifest = export_checkpoint(config, run, path)
    facts = {
        "policy": str(path),
        "name": manifest.name,
        "steps": manifest.training["steps"],
        "validation_metric": manifest.training["validation_metric"],
        "parity": manifest.parity,
    }
    if as_json:
        return json.dumps(facts, indent=2) + "\n"
    return "".join(f"{name:20}{value}\n" for name, value in facts.items())
