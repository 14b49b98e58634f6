"""`lepton-rl workload`."""

from __future__ import annotations

import json

from lepton_rl.commands.inputs import environment_for
from lepton_rl.commands.workload_files import side_file_figures
from lepton_rl.envs.episodes import load_workload
from lepton_rl.workloads.sources import describe

__all__ = ["describe_workload"]


def describe_workload(workload: str, *, as_json: bool) -> str:
    """Figures of a workload, a node list or quotas; returns what goes to stdout.

    Raises:
        LeptonError: the workload cannot be used.
    """
    figures = side_file_figures(workload)
    if figures is None:
        figures = describe(load_workload(environment_for(workload).workload))
    if as_json:
        return json.dumps(figures, indent=2, allow_nan=False) + "\n"
    return "".join(f"{name:16}{_text(value)}\n" for name, value in figures.items())


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items()) or "(none)"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
