"""A throw-away Slurm on the loopback interface: slurmctld and four slurmd, without slurmdbd.

Two GPU nodes, an FPGA node and a CPU node; their cards are device files that nobody opens. It needs
root, because slurmd does. Facts that the configuration rests on (22.05.8):

- slurmctld and slurmd look at their own program names, so they are started by their full paths.
- GRES named gpu needs device files; fpga works with a count alone.
- `NoInAddrAny,NoCtldInAddrAny` keeps all ports on 127.0.0.1.
- Clients block while slurmctld is down, so every command has a timeout.

With LEPTON_TEST_SLURM_ROOT, a folder with another Debian (tests/slurm/newer.sh makes one), Slurm is
the one that is installed there, whatever this machine has.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

__all__ = ["NODES", "SlurmCluster", "why_not"]

NODES = {"gpu1": 8, "gpu2": 8, "fpga1": 8, "cpu1": 16}
"""Node -> CPUs."""
PATIENCE_S = 120.0
"""Only failures last so long; the machine may be busy with other things."""
_PROGRAMS = ("/usr/sbin/slurmctld", "/usr/sbin/slurmd", "/usr/sbin/slurmstepd")
_CLIENTS = ("squeue", "sinfo", "scontrol", "sbatch", "scancel")
_ROOT = os.environ.get("LEPTON_TEST_SLURM_ROOT", "")
_ENDS_WITH_US = ["setpriv", "--pdeathsig", "TERM"]
"""However we end, no daemon remains."""
_NEEDS_CGROUP_CONF = (23, 11)
"""From this version on slurmd must be told that there are no cgroups; 22.05 refuses the word."""

_UNFINISHED = {"PENDING", "RUNNING", "COMPLETING", "SUSPENDED", "CONFIGURING"}

_CONF = """\
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={port}
SlurmctldParameters=node_reg_mem_percent=1
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/none
CredType=cred/none
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType={scheduler}
SchedulerParameters={parameters}
PriorityType=priority/multifactor
SlurmdParameters=config_overrides
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=60
InactiveLimit=0
KillWait=2
MinJobAge=300
GresTypes=gpu,fpga
{plugin}
NodeName=gpu1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={gpu1} CPUs=8 RealMemory=32000 \
Feature=gpu Gres=gpu:a100:4
NodeName=gpu2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={gpu2} CPUs=8 RealMemory=32000 \
Feature=gpu Gres=gpu:a100:4
NodeName=fpga1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={fpga1} CPUs=8 RealMemory=32000 \
Feature=fpga Gres=fpga:u250:2
NodeName=cpu1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={cpu1} CPUs=16 RealMemory=64000 \
Feature=cpu
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
_GRES = """\
AutoDetect=off
NodeName=gpu[1-2] Name=gpu Type=a100 File={folder}/dev/gpu[0-3]
NodeName=fpga1 Name=fpga Type=u250 Count=2
"""


def why_not() -> str:
    """Why no Slurm can be started here, "" if it can."""
    missing = [path for path in _PROGRAMS if not Path(_ROOT + path).exists()]
    if not _ROOT:
        missing += [name for name in _CLIENTS if shutil.which(name) is None]
    if missing:
        return f"Slurm is not installed ({missing[0]} is missing); make test-slurm installs it"
    return "" if os.geteuid() == 0 else "starting slurmd needs root"


class SlurmCluster:
    """Starts it, stops it, and does to it what operators and accidents do.

    Args:
        folder: of everything it writes.
        scheduler: `sched/builtin` (priority order, no backfilling) or `sched/backfill`.
        parameters: SchedulerParameters.
        job_submit: a script for job_submit/lua; None for none.
    """

    def __init__(
        self,
        folder: Path,
        *,
        scheduler: str = "sched/builtin",
        parameters: str = "batch_sched_delay=0,sched_interval=1",
        job_submit: str | None = None,
    ) -> None:
        self.folder = folder
        for name in ("state", "dev", *(f"spool-{node}" for node in NODES)):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for card in range(4):
            os.mknod(folder / "dev" / f"gpu{card}", 0o600 | 0o020000, os.makedev(1, 3))
        ports = dict(zip(["port", *NODES], _free_ports(1 + len(NODES)), strict=True))
        plugin = "" if job_submit is None else "JobSubmitPlugins=lua"
        conf = _CONF.format(
            folder=folder, scheduler=scheduler, parameters=parameters, plugin=plugin, **ports
        )
        (folder / "slurm.conf").write_text(conf)
        (folder / "gres.conf").write_text(_GRES.format(folder=folder))
        if job_submit is not None:
            (folder / "job_submit.lua").write_text(job_submit)
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        if _ROOT:
            self.environment["PATH"] = f"{self._wrappers()}{os.pathsep}{os.environ['PATH']}"
        if self.version >= _NEEDS_CGROUP_CONF:
            (folder / "cgroup.conf").write_text("CgroupPlugin=disabled\n")
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    @cached_property
    def version(self) -> tuple[int, int]:
        """Year and month."""
        found = re.search(r"(\d+)\.(\d+)", self.run(*_inside("/usr/sbin/slurmctld"), "-V"))
        assert found is not None
        return int(found[1]), int(found[2])

    def _wrappers(self) -> Path:
        """A folder with Slurm's client commands, which run inside the other Debian."""
        folder = self.folder / "bin"
        folder.mkdir(exist_ok=True)
        for name in _CLIENTS:
            program = folder / name
            inside = shlex.join(_inside(f"/usr/bin/{name}"))
            program.write_text(f'#!/bin/sh\nexec {inside} "$@"\n')
            program.chmod(0o755)
        return folder

    def start(self) -> None:
        self.start_controller()
        for node in NODES:
            self.start_node(node)
        self.wait_for(lambda: self._idle() == len(NODES), "nodes are idle")

    def start_controller(self) -> None:
        self._spawn("slurmctld", "/usr/sbin/slurmctld", "-D")

    def start_node(self, node: str) -> None:
        self._spawn(node, "/usr/sbin/slurmd", "-D", "-N", node, "-d", "/usr/sbin/slurmstepd")

    def _spawn(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as out:
            self._daemons[name] = subprocess.Popen(
                [*_ENDS_WITH_US, *_inside(*arguments)], env=self.environment,
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip

    def kill(self, name: str) -> None:
        """SIGKILL to slurmctld, or to the slurmd of a node."""
        daemon = self._daemons.pop(name)
        daemon.kill()
        daemon.wait()

    def clean(self) -> None:
        """Cancel all jobs, and bring all nodes up."""
        for name in ("slurmctld", *NODES):
            if name not in self._daemons:
                (self.start_controller() if name == "slurmctld" else self.start_node(name))
        self.wait_for(self.is_up, "slurmctld is up")
        left = [i for i, job in self.jobs().items() if job["job_state"] in _UNFINISHED]
        self.run("scancel", *map(str, left), check=False)
        for node in NODES:
            self.run("scontrol", "update", f"NodeName={node}", "State=RESUME", check=False)
        self.wait_for(lambda: self._idle() == len(NODES), "all nodes are idle")

    def stop(self) -> None:
        """End what `start` began, and nothing else."""
        try:
            if "slurmctld" in self._daemons:
                self.clean()
        finally:
            self._end_daemons()

    def _end_daemons(self) -> None:
        for daemon in self._daemons.values():
            daemon.terminate()
        for daemon in self._daemons.values():
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self._daemons.clear()

    def run(self, *arguments: str, stdin: str = "", check: bool = True) -> str:
        done = subprocess.run(
            arguments, env=self.environment, input=stdin, capture_output=True, text=True,
            timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(arguments)}: {done.stderr or done.stdout}")
        return done.stdout

    def submit(self, *options: str, command: str = "true") -> int:
        """Submit a batch job of 10 MB and one CPU, if `options` say nothing else."""
        usual = ("--parsable", "-o", "/dev/null", "--mem=10", "-t", "10")
        return int(self.run("sbatch", *usual, *options, "--wrap", command))

    def jobs(self) -> dict[int, dict[str, Any]]:
        """Job id -> its JSON with plain numbers and one state, of all that slurmctld remembers."""
        found = json.loads(self.run("squeue", "--json", "-t", "all"))["jobs"]
        return {job["job_id"]: {k: _plain(v) for k, v in job.items()} for job in found}

    def occupy(self) -> list[int]:
        """Fill all nodes until the jobs are cancelled; those that are full already stay so."""
        if self._idle() == 0:
            return []
        jobs = [
            self.submit("-c", str(cpus), "-w", node, "--mem=0", command="sleep 600")
            for node, cpus in NODES.items()
        ]
        self.wait_until(jobs, "RUNNING")
        return jobs

    def cancel(self, ids: Iterable[int]) -> None:
        self.run("scancel", *map(str, ids))

    def wait_until_considered(self, ids: Iterable[int]) -> None:
        """Until Slurm's scheduler has looked at these jobs, and says that they wait for nodes."""
        wanted = list(ids)

        def looked_at() -> bool:
            jobs = self.jobs()
            return all(jobs[each]["state_reason"] in {"Priority", "Resources"} for each in wanted)

        self.wait_for(looked_at, f"{len(wanted)} jobs wait for nodes")

    def running(self) -> list[int]:
        """Ids of the jobs that run."""
        return [each for each, job in self.jobs().items() if job["job_state"] == "RUNNING"]

    def is_up(self) -> bool:
        """Whether slurmctld answers."""
        return " UP" in self.run("scontrol", "ping", check=False)

    def wait_until(self, ids: Iterable[int], *states: str, timeout_s: float = PATIENCE_S) -> None:
        """Until all these jobs are in one of the states."""
        wanted = list(ids)

        def there() -> bool:
            jobs = self.jobs()
            return all(jobs[each]["job_state"] in states for each in wanted)

        self.wait_for(there, f"{len(wanted)} jobs are {states}", timeout_s)

    def wait_for(self, met: Any, what: str, timeout_s: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + timeout_s
        while not met():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {timeout_s:g} s: {what}\n{self._story()}")
            self.pause()

    def pause(self) -> None:
        time.sleep(0.1)

    def _idle(self) -> int:
        try:
            return len(set(self.run("sinfo", "-h", "-N", "-t", "idle", "-o", "%N").split()))
        except (RuntimeError, subprocess.TimeoutExpired):
            return 0

    def _story(self) -> str:
        log = (self.folder / "slurmctld.out").read_text(errors="replace")[-1500:]
        return self.run("squeue", check=False) + self.run("sinfo", "-N", check=False) + log


def _inside(*arguments: str) -> list[str]:
    """A command line that runs this in the other Debian, if there is one."""
    if not _ROOT:
        return list(arguments)
    shell = Path(__file__).with_name("inside.sh")
    return [str(shell), _ROOT, tempfile.gettempdir(), *arguments]


def _plain(value: Any) -> Any:
    """Newer versions write numbers as objects, and states as lists of one state and its flags."""
    if isinstance(value, dict) and "number" in value:
        return value["number"] if value["set"] else None
    return value[0] if isinstance(value, list) and value and isinstance(value[0], str) else value


def _free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
