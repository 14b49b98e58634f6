"""Sdist and wheel build, and the wheel works in an empty environment that has no torch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("build", reason="needs the package build: pip install 'lepton-rl[dev]'")

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


def run(arguments: list[str | Path], folder: Path, timeout_s: float = 600) -> str:
    """Run a program without the paths of this checkout; its stdout."""
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(
        [str(each) for each in arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and with the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    source = folder / "source"  # building leaves things in the folder it builds in
    source.mkdir()
    for name in ("lepton_rl", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"):
        whole = ROOT / name
        if whole.is_dir():
            shutil.copytree(whole, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(whole, source / name)
    run([sys.executable, "-m", "build", "--outdir", folder / "out", source], folder)
    return folder / "out"


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an empty environment into which the wheel was installed."""
    folder = tmp_path_factory.mktemp("installed")
    run([sys.executable, "-m", "venv", folder], folder)
    (wheel,) = built.glob("*.whl")
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet"]
    run([*pip, "--constraint", ROOT / "constraints.txt", wheel], folder)
    return folder / "bin"


def test_both_have_everything_that_is_not_python(built: Path) -> None:
    wanted = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "lepton_rl").rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    }
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as file:
        in_wheel = set(file.namelist())
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}

    assert "lepton_rl/policies/shipped/hpc.onnx" in wanted
    assert sorted(wanted - in_wheel) == []
    assert sorted(wanted - in_sdist) == []
    assert "LICENSE" in in_sdist
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in in_wheel)


def test_there_is_no_torch(installed: Path, tmp_path: Path) -> None:
    names = run([installed / "python", "-m", "pip", "list", "--format", "freeze"], tmp_path)
    found = {line.partition("==")[0].lower() for line in names.splitlines()}

    assert "onnxruntime" in found
    assert found.isdisjoint({"torch", "gymnasium", "stable-baselines3", "onnx"})


def test_the_commands_work(installed: Path, tmp_path: Path) -> None:
    lepton = installed / "lepton-rl"

    assert "Usage:" in run([lepton, "--help"], tmp_path)
    options = ["--workload", "quick", "--windows", "2", "--policy", "hpc"]
    compared = run([lepton, "evaluate", *options], tmp_path)
    assert "lepton-hpc" in compared
    assert "fcfs" in compared
    assert "the card holds" in run([lepton, "policies", "check", "hpc", "--windows", "2"], tmp_path)


def test_load_policy_works(installed: Path, tmp_path: Path) -> None:
    code = "import lepton_rl; print(lepton_rl.load_policy('hpc').name, lepton_rl.__file__)"

    name, file = run([installed / "python", "-W", "error", "-c", code], tmp_path).split()

    assert name == "lepton-hpc"
    assert Path(file).is_relative_to(installed.parent)


def test_training_says_what_to_install(installed: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [installed / "lepton-rl", "train", "--config", "quick"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        timeout=120,
    )

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("pip install 'lepton-rl[train]'")
