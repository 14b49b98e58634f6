"""What a Slurm's queue owes to what we send it: the stand-in of other tests, and real Slurms.

A real Slurm joins with a `QueueTrial` of its own in tests/slurm/test_contract.py.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable

import pytest

from lepton_rl.integrations.slurm.commands import SlurmCommands
from lepton_rl.integrations.slurm.records import SlurmJob, Snapshot
from tests.integrations.slurm.builders import MARK, FakeSlurm, held, job

PATIENCE_S = 120.0
NODES = ("gpu1", "gpu2", "cpu1")
"""That every trial has."""


class QueueTrial(ABC):
    """A Slurm, jobs for it, and the time that goes with it."""

    commands: SlurmCommands

    @abstractmethod
    def submit_held(self) -> str:
        """A job of one CPU that our marker holds; returns its name."""

    @abstractmethod
    def submit_held_array(self) -> str:
        """The same as an array with the elements 1 to 4; returns the id of the array."""

    @abstractmethod
    def submit_waiting(self) -> str:
        """A job that only waits for nodes, and waits long; returns its name."""

    @abstractmethod
    def let_time_pass(self) -> None:
        """Until something may have happened."""

    def job(self, name: str) -> SlurmJob:
        return {each.name: each for each in self.commands.read().jobs}[name]

    def wait(self, met: Callable[[Snapshot], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not met(self.commands.read()):
            assert time.monotonic() < deadline
            self.let_time_pass()

    def wait_for(self, name: str, met: Callable[[SlurmJob], bool]) -> None:
        def there(seen: Snapshot) -> bool:
            return any(each.name == name and met(each) for each in seen.jobs)

        self.wait(there)


class StandIn(QueueTrial):
    def __init__(self) -> None:
        self._next_id = 0
        self._can_start = True
        self.commands: FakeSlurm = FakeSlurm()

    def _add(self, made: SlurmJob) -> None:
        self.commands.jobs[made.name] = made

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def submit_held(self) -> str:
        self._add(held(self._new_id()))
        return str(self._next_id)

    def submit_held_array(self) -> str:
        number = self._new_id()
        self._add(held(number, array_id=number, elements=(1, 2, 3, 4), elements_text="1-4"))
        return str(number)

    def submit_waiting(self) -> str:
        self._can_start = False
        self._add(job(self._new_id()))
        return str(self._next_id)

    def let_time_pass(self) -> None:
        if self._can_start:
            self.commands.start_released()


@pytest.fixture
def trial() -> QueueTrial:
    return StandIn()


def test_a_held_job_says_who_holds_it_and_for_whom(trial: QueueTrial) -> None:
    job = trial.job(trial.submit_held())

    assert job.is_pending
    assert job.is_user_held
    assert job.priority == 0
    assert MARK in job.comment


@pytest.mark.parametrize("node", NODES)
def test_a_released_job_starts_on_its_node(trial: QueueTrial, node: str) -> None:
    name = trial.submit_held()

    assert trial.commands.send([f"update JobId={name} ReqNodeList={node}", f"release {name}"]) == []
    trial.wait_for(name, lambda job: bool(job.shares))

    assert [share.node for share in trial.job(name).shares] == [node]
    assert trial.job(name).required_nodes == (node,)


def test_what_was_released_can_be_taken_back(trial: QueueTrial) -> None:
    name = trial.submit_waiting()

    trial.commands.send([f"update JobId={name} ReqNodeList=gpu1"])
    assert trial.job(name).required_nodes == ("gpu1",)
    trial.commands.send([f"uhold {name}", f"update JobId={name} ReqNodeList="])

    assert trial.job(name).is_user_held
    assert trial.job(name).required_nodes == ()


def test_a_priority_is_kept(trial: QueueTrial) -> None:
    names = [trial.submit_waiting() for _ in range(3)]
    wanted = {name: 2_000_000_000 - 7 * n for n, name in enumerate(names)}

    lines = [f"update JobId={name} Priority={value}" for name, value in wanted.items()]
    assert trial.commands.send(lines) == []

    assert {name: trial.job(name).priority for name in names} == wanted
    assert not any(trial.job(name).is_held for name in names)


def test_an_element_of_an_array_becomes_a_job_of_its_own(trial: QueueTrial) -> None:
    array = trial.submit_held_array()
    assert trial.job(f"{array}_[1-4]").elements == (1, 2, 3, 4)

    trial.commands.send([f"update JobId={array}_2 ReqNodeList=gpu2", f"release {array}_2"])
    trial.wait_for(f"{array}_2", lambda job: bool(job.shares))

    assert trial.job(f"{array}_2").element == 2
    left = [each for each in trial.commands.read().jobs if each.elements]
    assert [(each.array_id, each.elements, each.is_user_held) for each in left] == [
        (int(array), (1, 3, 4), True)
    ]


def test_a_refused_command_is_told_and_stops_nothing(trial: QueueTrial) -> None:
    name = trial.submit_waiting()

    told = trial.commands.send(
        ["update JobId=4000000 Priority=5", f"update JobId={name} Priority=1500000000"]
    )

    assert told
    assert "Invalid job id" in " ".join(told)
    assert trial.job(name).priority == 1_500_000_000


def test_the_nodes_are_there(trial: QueueTrial) -> None:
    nodes = {node.name: node for node in trial.commands.read().nodes}

    assert nodes.keys() >= set(NODES)
    assert all(nodes[name].is_usable and not nodes[name].is_reserved for name in NODES)
    assert [(each.name, each.model, each.count) for each in nodes["gpu1"].gres] == [
        ("gpu", "a100", 4)
    ]
