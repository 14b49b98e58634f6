"""Names of directories, and output that is kept within a limit."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_rl.integrations.local import LocalExecutor
from lepton_rl.integrations.local.directories import safe_name
from lepton_rl.integrations.local.supervision import verdict
from lepton_rl.integrations.local.supervision.output import CappedOutput
from lepton_rl.system import Outcome
from tests.integrations.commands import begin, ends, output, shell

ODD_IDS = [
    "../../etc/passwd",
    "/",
    ".",
    "..",
    ".lock",
    ".active",
    "a/b",
    "a_b",
    "a@1",
    "a~b",
    "ü 火 \n",
    "-rf",
    "x" * 5000,
    "x" * 4999 + "y",
    "A",
    "a",
    "1",
    "con:nul",
]


def test_names_that_are_safe_stay_readable() -> None:
    assert safe_name("train-7.b_2") == "train-7.b_2"
    assert safe_name("user/train") == "user_train~" + safe_name("user/train")[-32:]


@given(st.lists(st.text(st.characters(), min_size=1), unique=True))
def test_any_id_is_a_name_of_its_own(ids: list[str]) -> None:
    names = [safe_name(each) for each in ids]

    assert len(set(names)) == len(ids)
    for name in names:
        assert name.isascii()
        assert len(name) <= 100
        assert "/" not in name
        assert "@" not in name
        assert not name.startswith(".")


def test_odd_ids_run_and_are_adopted(tmp_path: Path) -> None:
    first = LocalExecutor(tmp_path / "run")
    begin(first, *(shell(each, 'echo "$LEPTON_TASK_ID"') for each in ODD_IDS))
    first.close(stop_running=False)

    second = LocalExecutor(tmp_path / "run")
    assert second.running() == set(ODD_IDS)
    ends(second, len(ODD_IDS))

    assert [output(second, each) for each in ODD_IDS] == [f"{each}\n" for each in ODD_IDS]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    second.close(stop_running=True)


@given(
    st.lists(st.binary(max_size=40), max_size=20),
    st.integers(2, 60),
)
def test_what_is_kept_of_a_stream(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes], limit: int
) -> None:
    path = tmp_path_factory.mktemp("output") / "stdout"
    data = b"".join(chunks)
    kept = CappedOutput(path, limit)
    for chunk in chunks:
        kept.write(chunk)
        on_disk = sum(part.stat().st_size for part in path.parent.iterdir())
        assert on_disk <= 2 * limit
    kept.finish()

    head, tail = data[: limit // 2], data[limit // 2 :][-(limit - limit // 2) :]
    missing = len(data) - len(head) - len(tail)
    gap = b"\n[... %d bytes left out ...]\n" % missing if missing else b""
    assert path.read_bytes() == head + gap + tail
    assert [part.name for part in path.parent.iterdir()] == ["stdout"]
    assert kept.problem == ""


def test_a_full_disk_is_noted_and_disturbs_nobody(tmp_path: Path) -> None:
    kept = CappedOutput(Path("/dev/full"), 1000)

    kept.write(b"lost")
    kept.finish()

    assert kept.problem == "No space left on device"
    with pytest.raises(OSError, match="No such file") as raised:
        CappedOutput(tmp_path / "missing" / "stdout", 10)
    assert raised.value.errno == errno.ENOENT


def test_supervisors_and_executors_use_the_same_words() -> None:
    words = {verdict.COMPLETED, verdict.FAILED, verdict.TIMED_OUT, verdict.STOPPED}

    assert words == {str(each) for each in Outcome}
