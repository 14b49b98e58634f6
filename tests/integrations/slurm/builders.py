"""Jobs, nodes and a Slurm without Slurm."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lepton_rl.core.errors import ExecutorError
from lepton_rl.integrations.slurm.commands import SlurmCommands
from lepton_rl.integrations.slurm.gres import Gres
from lepton_rl.integrations.slurm.hostlist import expand_numbers
from lepton_rl.integrations.slurm.records import Share, SlurmJob, SlurmNode, Snapshot

NOW_S = 1_700_000_000.0
MARK = "lepton-rl"


def node(name: str, cpus: int = 8, **fields: Any) -> SlurmNode:
    fields = {"partitions": frozenset({"all"}), "memory_mib": 32_000, **fields}
    return SlurmNode(name=name, cpus=cpus, **fields)


GPU = Gres("gpu", "a100", 4)
NODES = (
    node("cpu1", 16, features=frozenset({"cpu"})),
    node("gpu1", features=frozenset({"gpu"}), gres=(GPU,)),
    node("gpu2", features=frozenset({"gpu"}), gres=(GPU,)),
)


def job(job_id: int, **fields: Any) -> SlurmJob:
    """A pending job of one CPU, 10 MB and 10 minutes, submitted `job_id` seconds after the rest."""
    usual: dict[str, Any] = {
        "state": "PENDING", "reason": "Resources", "priority": 1, "partitions": ("all",),
        "user": "ann", "submit_s": NOW_S - 1000 + job_id, "limit_s": 600.0,
        "memory_per_node_mib": 10,
    }  # fmt: skip
    return SlurmJob(id=job_id, **{**usual, **fields})


def held(job_id: int, **fields: Any) -> SlurmJob:
    """A job that our marker holds."""
    usual = {"priority": 0, "reason": "JobHeldUser", "comment": frozenset({MARK})}
    return job(job_id, **{**usual, **fields})


def running(job_id: int, *shares: Share, **fields: Any) -> SlurmJob:
    usual = {"state": "RUNNING", "start_s": NOW_S - 100, "shares": shares}
    return job(job_id, **{**usual, **fields})


def snapshot(*jobs: SlurmJob, nodes: Sequence[SlurmNode] = NODES, at_s: float = 0) -> Snapshot:
    return Snapshot(jobs, tuple(nodes), NOW_S + at_s)


@dataclass
class FakeSlurm(SlurmCommands):
    """Keeps jobs, and does to them what `scontrol` would."""

    jobs: dict[str, SlurmJob] = field(default_factory=dict)
    nodes: tuple[SlurmNode, ...] = NODES
    now_s: float = NOW_S
    sent: list[str] = field(default_factory=list)
    boot: str = ""
    is_down: bool = False
    dies_after: int | None = None
    """Commands of the next batch that are carried out before we are killed."""

    @classmethod
    def of(cls, *jobs: SlurmJob, **fields: Any) -> FakeSlurm:
        return cls({each.name: each for each in jobs}, **fields)

    def read(self) -> Snapshot:
        if self.is_down:
            raise ExecutorError("squeue did not answer within 20 s; is slurmctld up?")
        return Snapshot(tuple(self.jobs.values()), self.nodes, self.now_s, self.boot)

    def send(self, lines: Sequence[str]) -> list[str]:
        if self.is_down:
            raise ExecutorError("scontrol did not answer within 20 s; is slurmctld up?")
        complaints = []
        for position, line in enumerate(lines):
            if position == self.dies_after:
                raise KeyboardInterrupt
            try:
                self._carry_out(line)
            except KeyError as error:
                complaints.append(f"Invalid job id specified for job {error.args[0]}")
        return complaints

    def _carry_out(self, line: str) -> None:
        self.sent.append(line)
        verb, *words = line.split(maxsplit=2)
        if verb in {"release", "uhold"}:
            self._split(words[0])
            priority, reason = (1, "None") if verb == "release" else (0, "JobHeldUser")
            self._change(words[0], priority=priority, reason=reason)
            return
        name = words[0].removeprefix("JobId=")
        key, _, value = words[1].partition("=")
        self._split(name)
        if key == "Priority":
            self._change(name, priority=int(value))
        else:
            assert key == "ReqNodeList"
            self._change(name, required_nodes=tuple(value.split(",")) if value else ())

    def _change(self, name: str, **fields: Any) -> None:
        self.jobs[name] = replace(self.jobs[name], **fields)

    def _split(self, name: str) -> None:
        """Make an element of an array a job of its own."""
        found = re.fullmatch(r"(\d+)_(\d+)", name)
        if found is None or name in self.jobs:
            return
        whole = next(j for j in self.jobs.values() if j.elements and j.array_id == int(found[1]))
        rest = tuple(each for each in whole.elements if each != int(found[2]))
        one = replace(whole, id=90_000 + int(found[2]), elements=(), elements_text="")
        self.jobs[name] = replace(one, element=int(found[2]))
        del self.jobs[whole.name]
        if rest:
            text = ",".join(map(str, rest))
            assert expand_numbers(text) == rest
            left = replace(whole, elements=rest, elements_text=text)
            self.jobs[left.name] = left

    def start_released(self) -> None:
        """Slurm starts what is free to start and has nodes."""
        for name, each in self.jobs.items():
            if each.is_pending and not each.is_held and each.required_nodes:
                shares = tuple(
                    Share(n, each.cpus, 10, each.gres_per_node) for n in each.required_nodes
                )
                self._change(name, state="RUNNING", shares=shares, start_s=self.now_s)
