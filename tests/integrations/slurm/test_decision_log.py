"""The decision log over restarts, crashes and a size that it must not exceed."""

from __future__ import annotations

from pathlib import Path

import pytest

from lepton_rl.core.errors import JournalError
from lepton_rl.integrations.slurm import SlurmSettings
from lepton_rl.integrations.slurm.attach import Attachment
from lepton_rl.integrations.slurm.decision_log import DecisionLog
from lepton_rl.policies.registry import heuristic
from tests.integrations.slurm.builders import FakeSlurm, held, node

LIMIT = 5000


def known(log: DecisionLog) -> tuple[object, ...]:
    return log.released, log.origin_s, log.boot


def fill(log: DecisionLog, jobs: range) -> None:
    """Releases of which every second is seen, and two of three are gone."""
    for n in jobs:
        told = {str(n): {"nodes": ["cpu1", "gpu1"], "required": ["gpu1"]}}
        log.write("release", at_s=float(n), jobs=told)
        if n % 2 == 0:
            log.write("seen", at_s=float(n), jobs=[str(n)])
        if n % 3:
            log.write("gone", at_s=float(n), jobs=[str(n)])


def test_a_grown_log_is_put_aside_and_nothing_is_forgotten(tmp_path: Path) -> None:
    whole, rotated = DecisionLog(None), DecisionLog(tmp_path, most_bytes=LIMIT, kept=2)
    for log in (whole, rotated):
        log.write("origin", at_s=5.0)
        log.write("boot", at_s=6.0, boot="2026-01-01")
        fill(log, range(1, 60))
        for job in [*log.released]:
            log.write("gone", at_s=20.0, jobs=[job])
        fill(log, range(100, 160))
        for job in [*log.released][:-3]:
            log.write("take-back", at_s=60.0, jobs=[job])
    rotated.close()

    again = DecisionLog(tmp_path, most_bytes=LIMIT)

    assert known(again) == known(whole)
    again.close()
    files = {each.name for each in tmp_path.iterdir()}
    assert files == {"decisions.jsonl", "decisions.1.jsonl", "decisions.2.jsonl", "lock"}
    line = 100  # what is written once the limit has been passed
    assert all(each.stat().st_size <= LIMIT + line for each in tmp_path.glob("decisions.*.jsonl"))


@pytest.mark.parametrize("step", ["shift", "replace"])
def test_a_crash_while_it_is_put_aside_loses_nothing(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    log = DecisionLog(tmp_path, most_bytes=LIMIT)
    log.write("origin", at_s=5.0)
    with monkeypatch.context() as patch:
        if step == "shift":
            patch.setattr("os.link", fail)
        else:
            patch.setattr(Path, "replace", fail)
        with pytest.raises(JournalError, match="No space left on device"):
            fill(log, range(1, 60))
    expected = known(log)
    log.close()

    again = DecisionLog(tmp_path, most_bytes=LIMIT)

    assert known(again) == expected
    again.close()


def test_an_attachment_keeps_within_its_settings(tmp_path: Path) -> None:
    """A shadow writes all its commands every round."""
    slurm = FakeSlurm.of(*(held(n) for n in range(1, 9)), nodes=(node("cpu1"),))
    settings = SlurmSettings(mode="placement", log_mib=0.002, log_files=1)
    attachment = Attachment(heuristic("fcfs"), settings, slurm, tmp_path, shadow=True)

    for _ in range(30):
        attachment.round()
    attachment.close()

    total = sum(each.stat().st_size for each in tmp_path.glob("decisions*"))
    assert 2048 < total < 3 * 2048
