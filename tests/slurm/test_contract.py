"""The suite of tests/contract/test_slurm_queues.py on the real Slurm."""

from __future__ import annotations

import pytest

from lepton_rl.integrations.slurm import SlurmCommands
from tests.contract.test_slurm_queues import *  # noqa: F403 - the suite, run on the trial below
from tests.contract.test_slurm_queues import QueueTrial
from tests.slurm.cluster import SlurmCluster

HELD = ("-H", "--comment=lepton-rl")
LONG = "sleep 600"


class RealTrial(QueueTrial):
    def __init__(self, slurm: SlurmCluster, commands: SlurmCommands) -> None:
        self._slurm, self.commands = slurm, commands

    def submit_held(self) -> str:
        return str(self._slurm.submit(*HELD, command=LONG))

    def submit_held_array(self) -> str:
        return str(self._slurm.submit(*HELD, "-a", "1-4", command=LONG))

    def submit_waiting(self) -> str:
        self._slurm.occupy()
        job = self._slurm.submit()
        self._slurm.wait_until_considered([job])
        return str(job)

    def let_time_pass(self) -> None:
        self._slurm.pause()


@pytest.fixture
def trial(slurm: SlurmCluster, commands: SlurmCommands) -> QueueTrial:
    return RealTrial(slurm, commands)
