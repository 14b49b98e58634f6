"""Record what a Slurm says of a few jobs of every kind, for the tests that run without one.

    python -m tests.slurm.record tests/integrations/slurm/data 24.11

writes squeue-24.11.json and nodes-24.11.json there, from the Slurm that tests/slurm/cluster.py
starts. 22.05 lists nodes by sinfo, 24.11 by scontrol.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from lepton_rl.integrations.slurm import SlurmCommands
from tests.slurm.cluster import SlurmCluster

ARRAY, ADMIN_HELD, CANCELLED = 3, 4, 6
"""Job ids: positions in `submit_all`."""


def submit_all(slurm: SlurmCluster) -> None:
    """Six jobs: two run, an array is held but for one element, one is over."""

    def submit(options: str) -> int:
        command = f"sbatch --parsable -o /dev/null {options} --wrap".split()
        return int(slurm.run(*command, "sleep 600"))

    running = [
        submit("-w gpu1 -c 2 --mem=100 -t 5 --gres=gpu:a100:1"),
        submit("-w cpu1,fpga1 -N 2 -n 2 -c 4 --mem-per-cpu=50"),
    ]
    submit("-H --comment=lepton-rl -a 1-5%2 -C gpu|fpga --gres=fpga:1 -t 10")
    submit("-H --mem=10 -w gpu1 -d afterok:1")
    slurm.run("scontrol", "hold", str(ADMIN_HELD))
    submit("--exclusive -n 12")
    submit("-H -x gpu1 -n 4 --mem=200 --gpus=3")
    slurm.wait_until(running, "RUNNING")
    slurm.run("scontrol", "release", f"{ARRAY}_2")
    slurm.cancel([CANCELLED])
    slurm.run("scontrol", "update", "NodeName=cpu1", "State=DRAIN", "Reason=test")
    element = [i for i, each in slurm.jobs().items() if each["array_task_id"] == 2]
    slurm.wait_until_considered(element)


def main() -> None:
    """Start a Slurm, submit, record, stop it."""
    folder, version = Path(sys.argv[1]), sys.argv[2]
    with tempfile.TemporaryDirectory(prefix="lepton-slurm-") as temporary:
        slurm = SlurmCluster(Path(temporary, "slurm"))
        os.environ |= slurm.environment
        try:
            slurm.start()
            submit_all(slurm)
            jobs = slurm.run("squeue", "--json", "-t", "all")
            nodes = slurm.run(*SlurmCommands().dialect.nodes_command)
        finally:
            slurm.stop()
    (folder / f"squeue-{version}.json").write_text(jobs)
    (folder / f"nodes-{version}.json").write_text(nodes)


if __name__ == "__main__":
    main()
