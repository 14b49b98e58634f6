"""A live scheduler killed at any point: nothing is lost, nothing runs twice, capacity is exact.

The scheduler, the executor and the journal are the real ones. The evidence is not theirs: each task
is a process that tells a ledger when it begins and ends, holds a lock meanwhile, and says so if
somebody else holds it. A client submits without end; where it gets no answer, because the scheduler
was killed, it offers the same task to the next one.
"""

from __future__ import annotations

import json
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path

import pytest

from lepton_rl.core.tasks import Task
from lepton_rl.system.journal import Journal, Outcome, TaskLife
from tests.system.journal_processes import PROCESSES
from tests.system.live_kill.client import Client
from tests.system.live_kill.evidence import (
    Evidence,
    Run,
    check_capacity,
    check_cards,
    check_never_twice,
    check_report,
    read_ledger,
    read_reports,
)
from tests.system.live_kill.victim import live_until_killed
from tests.system.live_kill.work import must_fail

PATIENCE_S = 180.0
MEAN_STEPS = 80
"""Calls of journal and executor that a scheduler lives for, before and after counted."""


@dataclass
class Figures:
    """What was proved on."""

    kills: int
    tasks: int
    runs: int
    restarts: int  # that lived long enough to tell what they had found
    adopted: int  # tasks, after restarts
    alive: int  # processes of tasks that ran while a scheduler was reborn
    most_cores: int
    resubmitted: int  # offered again, because a kill came before the answer
    known: int  # of these, taken in by the one that was killed
    outcomes: dict[str, int]
    incidents: dict[str, int]
    too_late: int  # runs that were a success after they were to be stopped
    seconds: float


def kill_at_random(folder: Path, kills: int, seed: int) -> Figures:
    """Kill schedulers at random until it is enough, let the last one drain, and look.

    Half of them are killed at a random time, half between two steps of the protocol.
    """
    (folder / "doors").mkdir()
    chance, client, began = random.Random(seed), Client(folder, seed), time.monotonic()
    for number in range(kills + 1):
        ours, theirs = Pipe()
        is_last = number == kills
        step = None if is_last or chance.random() < 0.5 else int(chance.expovariate(1 / MEAN_STEPS))
        arguments = (folder, number, ("normal", "full")[number % 2], step, theirs)
        process = PROCESSES.Process(target=live_until_killed, args=arguments)
        process.start()
        theirs.close()
        client.talk_to(ours)
        if is_last:
            client.finish()
            ours.close()
        elif step is not None:
            process.join(PATIENCE_S)
        else:
            # Mostly soon after its birth: then it recovers.
            time.sleep(chance.uniform(0, chance.choice((0.2, 0.5, 3.0))))
            assert process.is_alive(), "it ended by itself: see its traceback above"
            process.kill()
        process.join(PATIENCE_S)
        assert process.exitcode == (0 if is_last else -signal.SIGKILL)
    return look(folder, client, kills, time.monotonic() - began)


def look(folder: Path, client: Client, kills: int, seconds: float) -> Figures:
    evidence = read_ledger(folder / "ledger")
    check_never_twice(evidence)
    check_cards(evidence)
    most_cores = check_capacity(evidence)
    reports = read_reports(folder / "reports")
    found = [check_report(report, evidence) for report in reports]
    adopted, alive = (sum(column) for column in zip(*found, strict=True))
    lives = read_journal(folder / "journal.sqlite")
    check_nothing_is_lost(lives, client)
    too_late = check_each_completed_once(lives, evidence, folder / "run")
    assert not list((folder / "run" / ".active").glob("*/*")), "an end was never acknowledged"
    return Figures(
        kills, len(lives), len(evidence.runs), len(reports), adopted, alive, most_cores,
        client.resubmitted, client.known,
        dict(Counter(str(life.outcome) for life in lives.values())), client.incidents,
        too_late, seconds,
    )  # fmt: skip


def read_journal(place: Path) -> dict[str, TaskLife]:
    with Journal.open(place) as journal:
        journal.verify()
        lives = list(journal.history())
        assert journal.recover().tasks == ()
    assert len({life.task.id for life in lives}) == len(lives)
    return {life.task.id: life for life in lives}


def check_nothing_is_lost(lives: dict[str, TaskLife], client: Client) -> None:
    assert lives.keys() >= client.submitted.keys()
    for task_id, life in lives.items():
        task, outcome = life.task, life.outcome
        if outcome is Outcome.COMPLETED:
            assert not must_fail(task)
        elif outcome is Outcome.FAILED:
            assert must_fail(task), life
        else:
            assert outcome is Outcome.CANCELLED
            assert task_id in client.cancelled or needs_one_that_failed(task, lives), life


def needs_one_that_failed(task: Task, lives: dict[str, TaskLife]) -> bool:
    return any(lives[name].outcome is not Outcome.COMPLETED for name in task.depends_on)


def check_each_completed_once(lives: dict[str, TaskLife], evidence: Evidence, run_dir: Path) -> int:
    """A success that counts has one process for each replica; any other came after a stop.

    Returns:
        How many runs were a success, but only after somebody had asked them to stop.
    """
    runs_of: dict[str, list[Run]] = evidence.of()
    assert runs_of.keys() <= lives.keys()
    too_late = 0
    for task_id, life in lives.items():
        done = [run for run in runs_of.get(task_id, ()) if run.how == "done"]
        if life.outcome is Outcome.COMPLETED:
            counted = [(life.attempt, replica) for replica in range(life.task.num_replicas)]
            kept = sorted((run.attempt, run.replica) for run in done if run.attempt == life.attempt)
            assert kept == counted, (life, done)
            done = [run for run in done if run.attempt != life.attempt]
        failed = {run.attempt for run in runs_of.get(task_id, ()) if run.how == "failed"}
        assert life.failures <= len(failed), (life, "a stop or a kill counted as a failure")
        for run in done:
            status = json.loads((run_dir / task_id / f"{run.attempt}" / "exit_status").read_text())
            assert status["outcome"] != "completed", (life, run)
            too_late += 1
    return too_late


def test_killed_ten_times(tmp_path: Path) -> None:
    figures = kill_at_random(tmp_path, kills=10, seed=1)

    assert figures.tasks > 30
    assert figures.restarts >= 5
    assert figures.adopted > 0


@pytest.mark.slow
def test_killed_two_hundred_times(tmp_path: Path) -> None:
    figures = kill_at_random(tmp_path, kills=360, seed=2)
    print(figures)

    assert figures.tasks >= 2000
    assert figures.restarts >= 100
    assert figures.adopted >= 100
    assert figures.alive >= 50
