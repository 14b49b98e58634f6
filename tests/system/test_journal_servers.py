"""The journal on a database server: set LEPTON_TEST_DATABASE to the URL of an empty database."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from lepton_rl.core.errors import JournalError, StateError
from lepton_rl.core.tasks import Task
from lepton_rl.system.journal import (
    Ended,
    Journal,
    JournalSettings,
    Started,
    Starting,
    Submitted,
)
from lepton_rl.system.journal.schema import METADATA
from tests.system.test_journal_kill import kill_at_random

ODD = "\x00 \ud800 \u00e4 \U0001f600 '"


@pytest.fixture
def url() -> Iterator[str]:
    url = os.environ.get("LEPTON_TEST_DATABASE")
    if url is None:
        pytest.skip("LEPTON_TEST_DATABASE names no database")
    engine = create_engine(url)
    METADATA.drop_all(engine)
    yield url
    METADATA.drop_all(engine)
    engine.dispose()


def life(name: str) -> list[object]:
    starting = Starting(2, name, 1, ("n",))
    return [starting, Started(3, name, 1), Ended(4, name, 1, "completed", 0)]


def test_a_life(url: str) -> None:
    with Journal.open(url, JournalSettings(compact_every=7)) as journal:
        for number in range(40):
            name = f"{ODD}{number}"
            journal.append([Submitted(1, Task(name, {ODD: 1}, 10.0))])
            if number % 2:
                journal.append(life(name))
        state, history = journal.recover(), list(journal.history())
        with Journal.open(url, read_only=True) as reader:
            assert reader.recover() == state
        with pytest.raises(StateError, match="was submitted before"):
            journal.append([Submitted(1, Task(f"{ODD}1", {"cpu": 1}, 10.0))])
        with pytest.raises(StateError, match="in use by process"):
            Journal.open(url)
    with Journal.open(url) as journal:
        journal.verify()
        assert journal.recover() == state
        assert list(journal.history()) == history
        assert [life.task.id for life in history] == [f"{ODD}{n}" for n in range(1, 40, 2)]


def test_a_server_that_is_not_there(url: str) -> None:
    gone = create_engine(url).url.set(host="127.0.0.1", port=1, password="secret", query={})

    with pytest.raises(JournalError, match="check that it runs, can be reached") as caught:
        Journal.open(gone.render_as_string(hide_password=False))
    assert "secret" not in str(caught.value)


def test_killed_twenty_times(tmp_path: Path, url: str) -> None:
    witness = kill_at_random(tmp_path, kills=20, seed=4, url=url)

    assert len(witness.submitted) > 500
    assert witness.restarts >= 10
