"""Policies that come with the package."""

from __future__ import annotations

from pathlib import Path

from lepton_rl.core.errors import ArtifactError
from lepton_rl.core.naming import did_you_mean

__all__ = ["policy_path", "shipped_policies"]

_FOLDER = Path(__file__).parent / "shipped"
_SUFFIX = ".onnx"


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
    shipped = shipped_policies()
    if str(name) in shipped:
        return _FOLDER / f"{name}{_SUFFIX}"
    hint = did_you_mean(str(name), shipped) if shipped else "this version ships none"
    raise ArtifactError(f"policy {str(name)!r}: expected a policy file or a shipped name; {hint}")
