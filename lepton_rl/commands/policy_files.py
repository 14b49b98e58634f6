"""`lepton-rl inspect` and `lepton-rl verify`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from lepton_rl.core.errors import ArtifactError
from lepton_rl.policies.learned import load_policy
from lepton_rl.policies.shipped import policy_path

__all__ = ["run_inspection", "run_verification"]


def run_inspection(policy: str, *, as_json: bool) -> str:
    """What a verified policy file says of itself; returns what goes to stdout.

    Raises:
        ArtifactError: the file is refused.
    """
    facts = _facts(policy)
    if as_json:
        return json.dumps(facts, indent=2, allow_nan=False) + "\n"
    return "".join(f"{name:20}{_in_one_line(value)}\n" for name, value in facts.items())


def run_verification(policies: Sequence[str], *, as_json: bool) -> tuple[str, bool]:
    """What goes to stdout, and whether all files are good."""
    problems = {policy: _problem(policy) for policy in policies}
    all_good = not any(problems.values())
    if as_json:
        rows = [{"policy": name, "problem": problem} for name, problem in problems.items()]
        return json.dumps(rows, indent=2) + "\n", all_good
    lines = [problem or f"{name}: good" for name, problem in problems.items()]
    return "\n".join(lines) + "\n", all_good


def _facts(policy: str) -> dict[str, Any]:
    artifact = load_policy(policy).artifact
    path = policy_path(policy)
    sample = artifact.manifest.sample
    return {
        "policy": str(path),
        "bytes": path.stat().st_size,
        "sha256": artifact.sha256,
        **artifact.manifest.model_dump(mode="json", exclude={"sample"}),
        "sample": {name: list(array.shape) for name, array in sample if array is not None},
    }


def _problem(policy: str) -> str:
    try:
        load_policy(policy)
    except ArtifactError as error:
        return str(error)
    return ""


def _in_one_line(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return json.dumps(value) if isinstance(value, dict) else str(value)
