"""What a policy would have done with work that was done already, compared block by block.

Tasks in order of submission are cut into blocks of equal size; the figures of a block are means
over its tasks. Blocks of one schedule lean on each other (an overload lasts), so the intervals are
narrower than those of independent windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from lepton_rl.core.clock import to_seconds
from lepton_rl.core.errors import WorkloadError
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.schedule import Schedule
from lepton_rl.core.tables import Floats
from lepton_rl.evaluate.metrics import bounded_slowdowns, waits_s
from lepton_rl.evaluate.statistics import Bootstrap, PairedDifference, paired_difference
from lepton_rl.system.journal import Journal, Outcome, TaskLife
from lepton_rl.workloads.workload import Workload

__all__ = ["RECORDED", "Compared", "Recorded", "compare_blocks", "from_journal"]

RECORDED = "recorded"
FIGURES = ("wait_s", "bounded_slowdown")


@dataclass(frozen=True, slots=True)
class Recorded:
    """Work that was done.

    Attributes:
        workload: completed tasks, the clock at 0 with the first submission.
        schedule: what happened.
    """

    workload: Workload
    schedule: Schedule


@dataclass(frozen=True, slots=True)
class Compared:
    """A candidate against one other.

    Attributes:
        other: name.
        means: figure -> mean of the candidate and of the other, over all tasks.
        differences: figure -> candidate minus other, by blocks.
    """

    other: str
    means: Mapping[str, tuple[float, float]]
    differences: Mapping[str, PairedDifference]


def from_journal(journal: Journal, last: int | None = None) -> Recorded:
    """The completed tasks of a journal, on its cluster.

    Args:
        journal: open, may be read-only.
        last: only the last so many tasks by submission; None for all.

    Raises:
        WorkloadError: no cluster was recorded, or no task has completed.
    """
    pool = journal.recover().pool
    if not pool:
        raise WorkloadError(f"journal {journal.name}: no cluster is recorded in it")
    skipped: dict[str, int] = {}
    lives = [life for life in journal.history() if _is_usable(life, skipped)]
    lives = sorted(lives, key=lambda life: (life.submit_us, life.number))[-(last or 0) :]
    if not lives:
        raise WorkloadError(f"journal {journal.name}: expected tasks that have completed, got none")
    begin_us = lives[0].submit_us
    cluster = Cluster(pool)
    tasks = [
        replace(
            life.task,
            submit_time_s=float(to_seconds(life.submit_us - begin_us)),
            run_time_s=_run_s(life),
            depends_on=(),
            deadline_s=None,
        )
        for life in lives
    ]
    workload = replace(Workload.from_tasks(journal.name, cluster, tasks), skipped=skipped)
    times = np.array([(x.submit_us, x.first_start_us, x.end_us) for x in lives], np.int64)
    submit_us, start_us, end_us = (times - begin_us).T
    nodes = np.full((len(lives), 1), -1, np.int64)
    return Recorded(workload, Schedule(submit_us, start_us, end_us, nodes))


def compare_blocks(
    ours: Schedule, theirs: Schedule, other: str, blocks: int, bootstrap: Bootstrap
) -> Compared:
    """Both figures of two schedules of the same tasks.

    Args:
        ours: of the candidate.
        theirs: of the other.
        other: its name.
        blocks: how many; fewer where there are fewer tasks.
        bootstrap: how to make the intervals.
    """
    means, differences = {}, {}
    for name in FIGURES:
        pair = _figures(ours)[name], _figures(theirs)[name]
        means[name] = float(pair[0].mean()), float(pair[1].mean())
        count = min(blocks, len(pair[0]))
        in_blocks = [
            np.array([block.mean() for block in np.array_split(values, count)]) for values in pair
        ]
        differences[name] = paired_difference(*in_blocks, bootstrap=bootstrap)
    return Compared(other, means, differences)


def _figures(schedule: Schedule) -> dict[str, Floats]:
    return {"wait_s": waits_s(schedule), "bounded_slowdown": bounded_slowdowns(schedule)}


def _is_usable(life: TaskLife, skipped: dict[str, int]) -> bool:
    reason = ""
    if life.outcome is not Outcome.COMPLETED:
        reason = "did not complete"
    elif life.start_us is None or life.end_us is None or life.first_start_us is None:
        reason = "has no times"
    elif life.attempt > 1:
        reason = "ran more than once"
    if reason:
        skipped[reason] = skipped.get(reason, 0) + 1
    elif life.task.depends_on:
        skipped["depended on others (kept, without that)"] = (
            skipped.get("depended on others (kept, without that)", 0) + 1
        )
    return not reason


def _run_s(life: TaskLife) -> float:
    assert life.end_us is not None
    assert life.start_us is not None
    return max(1e-6, float(to_seconds(life.end_us - life.start_us)))
