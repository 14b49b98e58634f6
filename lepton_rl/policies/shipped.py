"""Policies that come with the package.

Of each there are `NAME.onnx`, the policy, `NAME.json`, its model card (`evaluate.card`), and
`NAME.md`, the same card for people.
"""

from __future__ import annotations

from pathlib import Path

from lepton_rl.core.errors import ArtifactError
from lepton_rl.core.naming import did_you_mean

__all__ = ["card_path", "policy_path", "shipped_folder", "shipped_policies"]

_FOLDER = Path(__file__).parent / "shipped"
_SUFFIX = ".onnx"


def shipped_folder() -> Path:
    """Where they are."""
    return _FOLDER


def card_path(name: str) -> Path:
    """The model card of a shipped policy, as JSON.

    Raises:
        ArtifactError: no shipped policy has this name.
    """
    return _shipped(name).with_suffix(".json")


def shipped_policies() -> list[str]:
    """Their names."""
    return sorted(path.stem for path in _FOLDER.glob(f"*{_SUFFIX}"))


def policy_path(name: str | Path) -> Path:
    """The file of a policy.

    Args:
        name: a path, or the name of a shipped policy; a file of that name goes first.

    Raises:
        ArtifactError: a bare name that is neither.
    """
    path = Path(name)
    if path.suffix or len(path.parts) > 1 or path.exists():
        return path
    return _shipped(str(name))


def _shipped(name: str) -> Path:
    shipped = shipped_policies()
    if name in shipped:
        return _FOLDER / f"{name}{_SUFFIX}"
    hint = did_you_mean(name, shipped) if shipped else "this version ships none"
    raise ArtifactError(f"policy {name!r}: expected a policy file or a shipped name; {hint}")
