"""Which jobs are ours to touch."""

from __future__ import annotations

from collections.abc import Iterator

from lepton_rl.integrations.slurm.admission import understands
from lepton_rl.integrations.slurm.picture import Candidate
from lepton_rl.integrations.slurm.records import SlurmJob, Snapshot
from lepton_rl.integrations.slurm.settings import SlurmSettings

__all__ = ["is_for_slurm_alone", "is_ours", "may_start", "orderable", "placeable"]

_NOT_NOW = ("Dependency", "BeginTime", "QOS", "Assoc", "Partition", "Reservation", "Licenses")
"""Beginnings of the reasons for which a job cannot start, whatever its priority."""


def may_start(job: SlurmJob, now_s: float) -> bool:
    """Whether time and dependencies allow a pending job to start."""
    return job.is_pending and not job.dependency and job.eligible_s <= now_s


def is_ours(job: SlurmJob, settings: SlurmSettings) -> bool:
    """Whether it bears our marker, and is in a partition that we were given."""
    return settings.marker in job.comment and _in_partitions(job, settings)


def is_for_slurm_alone(job: SlurmJob) -> bool:
    """Whether only Slurm can place it: a reservation's, a heterogeneous job's, odd constraints."""
    return bool(job.reservation) or job.is_het or not understands(job.features)


def orderable(snapshot: Snapshot, settings: SlurmSettings) -> Iterator[Candidate]:
    """Priority mode: jobs that wait for nodes and for nothing else, by submit time.

    Held jobs, whoever holds them, are not among them; a pending array is one job.
    """
    for job in _by_submit_time(snapshot):
        is_free = may_start(job, snapshot.now_s) and not job.is_held
        if is_free and _in_partitions(job, settings) and not job.reason.startswith(_NOT_NOW):
            yield Candidate(job.name, job)


def placeable(snapshot: Snapshot, settings: SlurmSettings) -> Iterator[Candidate]:
    """Placement mode: jobs that only our hold keeps from starting, by submit time.

    An array gives as many of its elements as may run at once, up to `array_elements`.
    """
    for job in _by_submit_time(snapshot):
        if job.is_user_held and is_ours(job, settings) and may_start(job, snapshot.now_s):
            if not job.elements:
                yield Candidate(job.name, job)
            for element in job.elements[: _room(snapshot, job, settings)]:
                yield Candidate(f"{job.array_id}_{element}", job)


def _room(snapshot: Snapshot, job: SlurmJob, settings: SlurmSettings) -> int:
    if not job.array_limit:
        return settings.array_elements
    siblings = (other for other in snapshot.jobs if other.array_id == job.array_id)
    busy = sum(other.holds_nodes or (other.is_pending and not other.is_held) for other in siblings)
    return max(0, min(settings.array_elements, job.array_limit - busy))


def _by_submit_time(snapshot: Snapshot) -> list[SlurmJob]:
    return sorted(snapshot.jobs, key=lambda job: (job.submit_s, job.id))


def _in_partitions(job: SlurmJob, settings: SlurmSettings) -> bool:
    return not settings.partitions or bool(set(settings.partitions) & set(job.partitions))
