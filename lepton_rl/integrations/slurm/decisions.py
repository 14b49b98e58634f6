"""Asking a policy about a picture: who comes first, and who starts where."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

from lepton_rl.core.errors import InfeasibleDecisionError
from lepton_rl.core.policy import Policy, RanksTasks, Start
from lepton_rl.integrations.slurm.picture import Candidate, Picture
from lepton_rl.integrations.slurm.records import SlurmJob, Snapshot
from lepton_rl.integrations.slurm.settings import SlurmSettings
from lepton_rl.policies.registry import heuristic

__all__ = ["Answers", "placements", "ranking", "rehearse"]

_log = logging.getLogger("lepton_rl.slurm")
_FALLBACK = "fcfs"


@dataclass(slots=True)
class Answers:
    """What a policy was asked, over all rounds.

    Attributes:
        count: decisions that it made.
        seconds: that it took for them, encoding of the view included.
        failures: times at which it raised, and first come, first served decided instead.
    """

    count: int = 0
    seconds: float = 0.0
    failures: int = 0
    _fallback: Policy = field(default_factory=lambda: heuristic(_FALLBACK))

    def start(self, policy: Policy, picture: Picture) -> Start | None:
        """The next start, None if it waits (or wants to preempt, which is left to Slurm)."""
        began = time.perf_counter()
        try:
            decision = policy.decide(picture.view)
        except Exception:
            self._failed(policy)
            decision = self._fallback.decide(picture.view)
        self.seconds += time.perf_counter() - began
        self.count += 1
        return decision if isinstance(decision, Start) else None

    def head(self, policy: RanksTasks, picture: Picture) -> int:
        """Local index of who comes first; of the first to arrive where the policy would wait."""
        began = time.perf_counter()
        try:
            head = policy.head(picture.view)
        except Exception:
            self._failed(policy)
            head = -1
        self.seconds += time.perf_counter() - began
        self.count += 1
        return head if head >= 0 else int(picture.view.pending[0, 0])

    def _failed(self, policy: RanksTasks | Policy) -> None:
        self.failures += 1
        _log.exception("policy %r failed; first come, first served", policy.name)


def ranking(policy: RanksTasks, picture: Picture, most: int, answers: Answers) -> list[str]:
    """Names of the pending jobs, first the one that should start first.

    The policy is asked who comes first, that job is taken out, and so on.

    Args:
        policy: is asked at most `most` times; what is left then follows by arrival.
        picture: its pending tasks are taken out.
        most: jobs to rank.
        answers: counts.
    """
    ranked: list[str] = []
    while picture.queue.num_pending and len(ranked) < most:
        ranked.append(picture.take_out(answers.head(policy, picture)))
    return ranked + [task.id for task in picture.queue.pending]


def placements(policy: Policy, picture: Picture, answers: Answers) -> dict[str, tuple[str, ...]]:
    """Name of each job that starts now -> its nodes, one for each replica, in order of decision."""
    chosen: dict[str, tuple[str, ...]] = {}
    while picture.queue.num_pending:
        decision = answers.start(policy, picture)
        if decision is None:
            break
        task = picture.queue.task_at(decision.task)
        try:
            nodes = tuple(decision.nodes) or picture.pool.least_loaded(decision.task)
            if distinct := picture.on_distinct_nodes(decision.task, nodes):
                picture.start(decision.task, distinct)
        except InfeasibleDecisionError as error:
            answers.failures += 1
            _log.warning("policy %r decided what cannot be done: %s", policy.name, error)
            break
        if not distinct:  # there is room only for two of its replicas on one node
            picture.take_out(decision.task)
            continue
        chosen[task.id] = picture.node_names(distinct)
    return chosen


def rehearse(policy: Policy, snapshot: Snapshot, settings: SlurmSettings) -> None:
    """Ask about a small job that is not there: the first decisions compile for seconds.

    Meanwhile the queue would change under a decision that is about to be sent.
    """
    if not snapshot.nodes:
        return
    partitions = tuple(snapshot.nodes[0].partitions)
    job = SlurmJob(id=0, state="PENDING", partitions=partitions, memory_per_node_mib=1)
    for ask in (_rehearse_order, _rehearse_places):
        alone = [Candidate(job.name, job)]
        ask(policy, Picture(snapshot, alone, [], settings, snapshot.now_s))


def _rehearse_order(policy: Policy, picture: Picture) -> None:
    if isinstance(policy, RanksTasks):
        ranking(policy, picture, 1, Answers())


def _rehearse_places(policy: Policy, picture: Picture) -> None:
    placements(policy, picture, Answers())
