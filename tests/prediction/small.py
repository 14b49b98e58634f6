"""Small workloads for tests of predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest

from lepton_rl.core.tasks import TaskState
from lepton_rl.prediction.predictor import TaskFeatures
from lepton_rl.workloads.workload import Workload


def task(
    tenant: str = "ada", size: float = 1, requested_s: float = 100, submit_s: float = 0
) -> TaskFeatures:
    return TaskFeatures(tenant, size, requested_s, submit_s)


class Job(NamedTuple):
    """One row of a log, times in s; wait -1 is unknown."""

    submit: float
    run: float
    requested: float = 100
    wait: float = 0
    tenant: str = "ada"
    size: int = 1


def workload_of(jobs: Sequence[Job], processors: int = 8, *, waits: bool = True) -> Workload:
    """`waits`: whether the log recorded them."""
    submit, run, requested, wait, tenants, size = zip(*jobs, strict=True)
    return Workload.on_pool(
        "log",
        processors,
        submit_s=np.array(submit, np.float64),
        requested_s=np.array(requested, np.float64),
        run_s=np.array(run, np.float64),
        size=np.array(size, np.int64),
        ids=np.arange(len(jobs)).astype(np.str_),
        tenants=np.array(tenants, np.str_),
        waits_us=np.array([-1 if w < 0 else w * 1_000_000 for w in wait], np.int64)
        if waits
        else None,
    )


@dataclass
class Record:
    """What the monitor has about one task."""

    task_id: str
    start_us: int | None = None
    end_us: int | None = None
    outcome: TaskState = TaskState.COMPLETED
    interruptions: tuple[object, ...] = ()


def require_scikit_learn() -> None:
    pytest.importorskip(
        "sklearn", reason="the boosted predictor needs scikit-learn: the extra `predict`"
    )
