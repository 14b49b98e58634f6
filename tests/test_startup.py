"""Start-up is quick because little is imported; what is imported is checked, not wall time."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    "fastapi",
    "gymnasium",
    "matplotlib",
    "numba",
    "numpy",
    "onnx",
    "onnxruntime",
    "pandas",
    "plotly",
    "ray",
    "scipy",
    "sklearn",
    "sqlalchemy",
    "stable_baselines3",
    "torch",
    "yaml",
}
"""Whose import takes 20 ms or more each, or may. Pydantic is not here: typer itself imports it
where a command has options."""

MOST_OF_OURS = 6
"""Modules of ours that `lepton-rl --help` may load: the face, cli, and core without the rules."""


def modules_after(code: str) -> set[str]:
    """What a fresh interpreter has loaded after it ran `code`."""
    report = "import json, sys; sys.stderr.write(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{code}\n{report}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(json.loads(done.stderr))


@pytest.mark.parametrize(
    "code",
    [
        "import lepton_rl",
        "from lepton_rl.cli import main; main(['--help'])",
        "from lepton_rl.cli import main; main(['train', '--help'])",
        "from lepton_rl.cli import main; main(['--version'])",
    ],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    loaded = modules_after(code)

    assert sorted({name.partition(".")[0] for name in loaded} & HEAVY) == []
    ours = {name for name in loaded if name.startswith("lepton_rl")}
    assert len(ours) <= MOST_OF_OURS, sorted(ours)


def test_a_policy_is_loaded_without_what_training_needs() -> None:
    loaded = modules_after("import lepton_rl; lepton_rl.load_policy('hpc')")

    assert "onnxruntime" in loaded
    assert loaded.isdisjoint({"torch", "gymnasium", "onnx", "stable_baselines3", "sqlalchemy"})
