"""Placement mode: held jobs are released to the nodes that the policy chose.

Jobs arrive held and marked (`job_submit.lua`, or `sbatch -H --comment=lepton-rl`). What was
released and does not run in time (a limit of its user, a node that went down, a requeue) is taken
back. Jobs that only Slurm can place are released to it as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from lepton_rl.core.policy import Policy
from lepton_rl.integrations.slurm.decision_log import DecisionLog
from lepton_rl.integrations.slurm.decisions import Answers, placements
from lepton_rl.integrations.slurm.eligible import is_for_slurm_alone, is_ours, placeable
from lepton_rl.integrations.slurm.picture import Candidate, Picture, Promise
from lepton_rl.integrations.slurm.plan import Plan
from lepton_rl.integrations.slurm.records import SlurmJob, Snapshot
from lepton_rl.integrations.slurm.settings import SlurmSettings

__all__ = ["PlacementMode", "release_all"]


class PlacementMode:
    """Plans the releases of one round.

    Args:
        policy: decides who starts where.
        settings: of the attachment.
        answers: counts what it is asked.
    """

    def __init__(self, policy: Policy, settings: SlurmSettings, answers: Answers) -> None:
        self._policy, self._settings, self._answers = policy, settings, answers
        self._rests_until_s: dict[str, float] = {}

    def plan(self, snapshot: Snapshot, log: DecisionLog, origin_s: float) -> Plan:
        """What to take back, what to hand to Slurm, and what to release to nodes."""
        waiting = {n: j for j in snapshot.jobs if j.is_pending for n in _names_of(j)}
        late = [n for n, r in log.released.items() if self._is_late(n, waiting, log, snapshot)]
        promised = [
            Promise(Candidate(name, waiting[name]), release.nodes)
            for name, release in log.released.items()
            if name in waiting and not waiting[name].is_held and name not in late
        ]
        held = placeable(snapshot, self._settings)
        due = [each for each in held if self._is_due(each, log, snapshot)]
        candidates = [each for each in due if not is_for_slurm_alone(each.job)]
        picture = Picture(snapshot, candidates, promised, self._settings, origin_s)
        chosen = placements(self._policy, picture, self._answers)
        handed = [each.name for each in due if is_for_slurm_alone(each.job)]
        handed += picture.left_out
        plan = Plan(pending=len(candidates), started=len(chosen), left_out=picture.left_out)
        jobs = {each.name: each.job for each in candidates}
        self._write(plan, snapshot, log, late, handed, {n: (jobs[n], m) for n, m in chosen.items()})
        return plan

    def _write(
        self,
        plan: Plan,
        snapshot: Snapshot,
        log: DecisionLog,
        late: Sequence[str],
        handed: Sequence[str],
        chosen: Mapping[str, tuple[SlurmJob, tuple[str, ...]]],
    ) -> None:
        """Put everything into the plan."""
        plan.events.extend(_observed(snapshot, log))
        if late:
            self._rests_until_s.update(dict.fromkeys(late, snapshot.now_s + self._settings.rest_s))
            plan.events.append(("take-back", {"at_s": snapshot.now_s, "jobs": list(late)}))
            plan.lines.extend(_take_back(late, log))
        if handed:
            plan.events.append(("hand-over", {"at_s": snapshot.now_s, "jobs": list(handed)}))
            plan.lines.extend(f"release {name}" for name in handed)
        if chosen:
            told = {
                name: {"nodes": nodes, "required": job.required_nodes}
                for name, (job, nodes) in chosen.items()
            }
            plan.events.append(("release", {"at_s": snapshot.now_s, "jobs": told}))
            for name, (_, nodes) in chosen.items():
                plan.lines.extend((_require(name, nodes), f"release {name}"))

    def _is_due(self, candidate: Candidate, log: DecisionLog, snapshot: Snapshot) -> bool:
        """A job that is held again though we released it: its user wants it so."""
        release = log.released.get(candidate.name)
        is_held_by_its_user = release is not None and release.is_seen
        return not is_held_by_its_user and snapshot.now_s >= self._rests_until_s.get(
            candidate.name, 0.0
        )

    def _is_late(
        self, name: str, waiting: dict[str, SlurmJob], log: DecisionLog, snapshot: Snapshot
    ) -> bool:
        job = waiting.get(name)
        if job is None or job.is_held:
            return False
        return snapshot.now_s - log.released[name].at_s > self._settings.grace_s


def release_all(snapshot: Snapshot, settings: SlurmSettings, log: DecisionLog) -> list[str]:
    """Commands that give every job that our marker holds to Slurm, free to start anywhere."""
    lines: list[str] = []
    for job in snapshot.jobs:
        if not job.is_pending or not is_ours(job, settings):
            continue
        for name in _names_of(job):
            if name in log.released:
                lines.append(_require(name, log.released[name].required))
        if job.is_user_held:
            lines.append(f"release {job.name}")
    return lines


def _names_of(job: SlurmJob) -> Iterator[str]:
    """Names under which we may have released what this record describes."""
    yield job.name
    for element in job.elements:
        yield f"{job.array_id}_{element}"


def _observed(snapshot: Snapshot, log: DecisionLog) -> Iterator[tuple[str, dict[str, object]]]:
    """Releases that Slurm knows of by now, and those of jobs that are gone."""
    known = {name: job for job in snapshot.jobs for name in _names_of(job)}
    there = {name: known[name] for name in log.released if name in known}
    seen = [n for n, job in there.items() if not job.is_held and not log.released[n].is_seen]
    gone = [n for n in log.released if n not in there or there[n].is_over]
    if seen:
        yield "seen", {"at_s": snapshot.now_s, "jobs": seen}
    if gone:
        yield "gone", {"at_s": snapshot.now_s, "jobs": gone}


def _take_back(names: Iterable[str], log: DecisionLog) -> Iterator[str]:
    for name in names:
        yield f"uhold {name}"
        yield _require(name, log.released[name].required)


def _require(name: str, nodes: Iterable[str]) -> str:
    return f"update JobId={name} ReqNodeList={','.join(dict.fromkeys(nodes))}"
