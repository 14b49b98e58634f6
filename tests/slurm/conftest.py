"""One real Slurm for all tests of this folder; without one they are skipped, and say why."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lepton_rl.integrations.slurm import SlurmCommands
from lepton_rl.integrations.slurm.commands import run_command
from tests.slurm.cluster import SlurmCluster, why_not

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def heartbeat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("beat") / "heartbeat"


@pytest.fixture(scope="session")
def running_slurm(
    tmp_path_factory: pytest.TempPathFactory, heartbeat: Path
) -> Iterator[SlurmCluster]:
    if reason := why_not():
        pytest.skip(reason)
    script = (ROOT / "examples" / "slurm" / "job_submit.lua").read_text()
    script = script.replace("/var/lib/lepton-rl/slurm/heartbeat", str(heartbeat))
    cluster = SlurmCluster(tmp_path_factory.mktemp("slurm"), job_submit=script)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def slurm(running_slurm: SlurmCluster, heartbeat: Path) -> Iterator[SlurmCluster]:
    """The cluster with nothing in its queue and all nodes up, before and after."""
    yield running_slurm
    heartbeat.unlink(missing_ok=True)
    running_slurm.clean()


@pytest.fixture
def commands(slurm: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> SlurmCommands:
    for name in ("SLURM_CONF", "PATH"):
        monkeypatch.setenv(name, slurm.environment[name])
    return SlurmCommands(10.0, run_command)


@pytest.fixture
def attach(slurm: SlurmCluster, tmp_path: Path) -> Iterator[Attach]:
    attached = Attach(slurm, tmp_path)
    yield attached
    attached.end()


class Attach:
    """`lepton-rl attach slurm` as processes of their own, which can be killed."""

    def __init__(self, slurm: SlurmCluster, folder: Path) -> None:
        self._slurm, self._folder = slurm, folder
        self.state = folder / "state"
        self._alive: list[subprocess.Popen[bytes]] = []

    def command(self, *options: str) -> list[str]:
        cli = [sys.executable, "-m", "lepton_rl.cli", "attach", "slurm"]
        usual = ["--state", str(self.state), "--set", "interval_s=0.2"]
        return [*cli, *usual, *options]

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        with (self._folder / "attach.log").open("ab") as log:
            self._alive.append(
                subprocess.Popen(
                    self.command(*options),
                    cwd=ROOT,
                    env=self._slurm.environment,
                    stdout=log,
                    stderr=log,
                )
            )
        return self._alive[-1]

    def run(self, *options: str) -> str:
        done = subprocess.run(
            self.command(*options), cwd=ROOT, env=self._slurm.environment, capture_output=True,
            text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def log(self) -> str:
        return (self._folder / "attach.log").read_text(errors="replace")

    def end(self) -> None:
        for each in self._alive:
            each.kill()
            each.wait()
