"""Protocols over sets of public traces: the same heuristics on windows of each.

The traces are read as docs/workloads.md says; a `TraceCase` states every setting that differs from
the default, so that a figure under a protocol's name and version means one thing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from lepton_rl.core.clock import to_us
from lepton_rl.core.errors import InputFileError
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.evaluate.protocols import EvaluationProtocol, Setting, standard_setting
from lepton_rl.workloads.sources import open_workload
from lepton_rl.workloads.workload import Workload

__all__ = ["GPU_TRAINING", "REQUESTS", "TRACE_SETS", "TraceCase", "TraceSet", "find_traces"]


@dataclass(frozen=True, slots=True)
class TraceCase:
    """One trace of a set.

    Attributes:
        title: for tables.
        file: name of the trace.
        settings: of its kind, where they are not the default.
        count: windows, evenly spaced over the trace.
        length: tasks of a window; shorter traces are one window.
    """

    title: str
    file: str
    settings: Mapping[str, object] = field(default_factory=dict)
    count: int = 3
    length: int = 8192


@dataclass(frozen=True, slots=True)
class TraceSet:
    """One protocol.

    Attributes:
        name: for `--protocol`.
        version: counts up when figures under this name would change.
        cases: the traces.
        heuristics: name in the tables -> spec of a rule (`policies.spec`).
        setting: the rules around the order.
        headline: metric that ranks.
        columns: metrics beside it.
        checkpoint_s: work between two checkpoints of a task, which may be stopped for others; None
            if tasks run without a break.
        remarks: what a reader of the figures must know.
    """

    name: str
    version: int
    cases: tuple[TraceCase, ...]
    heuristics: Mapping[str, str]
    setting: Setting
    headline: str
    columns: tuple[str, ...]
    checkpoint_s: float | None = None
    remarks: tuple[str, ...] = ()

    def open(self, case: TraceCase, path: Path) -> Workload:
        """The trace, with what the protocol lets happen to its tasks.

        Raises:
            LeptonError: see `open_workload`.
        """
        workload = open_workload(path, settings=dict(case.settings))
        workload.check_feasible()
        if self.checkpoint_s is None:
            return workload
        tasks = workload.tasks.copy()
        tasks["preemptible"] = True
        tasks["checkpoint_us"] = int(to_us(self.checkpoint_s))
        return replace(workload, tasks=tasks)

    def protocol(self, case: TraceCase, workload: Workload) -> EvaluationProtocol:
        """Windows and rules of one trace."""
        length = min(case.length, len(workload))
        count = min(case.count, len(workload) // length)
        last = len(workload) - length
        starts = np.rint(np.linspace(0, last, count) if count > 1 else [0]).astype(int)
        return EvaluationProtocol(
            name=self.name,
            version=self.version,
            starts=tuple(starts.tolist()),
            length=length,
            settings=(self.setting,),
            remarks=self.remarks,
            columns=self.columns,
        )


def find_traces(traces: TraceSet, folder: Path) -> Iterator[tuple[TraceCase, Path | None]]:
    """Where each trace lies, in `folder` or a folder in it; None where it is missing.

    Raises:
        InputFileError: none is there.
    """
    places = [folder, *sorted(path for path in folder.glob("*") if path.is_dir())]
    found = [
        (case, next((p / case.file for p in places if (p / case.file).is_file()), None))
        for case in traces.cases
    ]
    if not any(path for _, path in found):
        wanted = ", ".join(case.file for case in traces.cases)
        raise InputFileError(
            f"protocol {traces.name}: none of its traces is in {folder} or a folder in it:"
            f" {wanted}; name the folder that has them with --data"
        )
    yield from found


_JCT_COLUMNS = ("p95_turnaround_s", "deadline_misses", "device_utilisation")

GPU_TRAINING: Final = TraceSet(
    name="gpu-training",
    version=2,
    cases=(
        TraceCase("Philly", "philly_2017_jobs.csv.gz", {"nodes": 60}),
        TraceCase("Chronus SLO", "chronus_philly_SLO.csv.gz"),
        TraceCase("Chronus MIX2", "chronus_philly_MIX2.csv.gz"),
        TraceCase("Muri 1", "muri_philly_trace1.csv.gz", {"nodes": 16}),
        TraceCase("Muri 2", "muri_philly_trace2.csv.gz", {"nodes": 48}),
        TraceCase("Gavel ee9e8c", "gavel_msr_seed0_ee9e8c.trace.gz"),
        TraceCase("Gavel 0e4a51", "gavel_msr_seed0_0e4a51.trace.gz"),
    ),
    heuristics=MappingProxyType(
        {
            "FIFO": "fcfs",
            "FIFO fastest": "fcfs+fastest",
            "SJF": "sjf",
            "SJF fastest": "sjf+fastest",
            "SRTF": "sjf+preempt",
            "SRTF fastest": "sjf+preempt+fastest",
            "LAS": "las",
            "LAS fastest": "las+fastest",
            "EDF": "edf",
        }
    ),
    setting=standard_setting(Backfill.NONE),
    headline="mean_turnaround_s",
    columns=_JCT_COLUMNS,
    checkpoint_s=60.0,
    remarks=(
        "SJF and SRTF know the run times in advance, which no real scheduler does",
        "fastest chooses the fastest node for a job; where none is faster, as best-fit",
        "SRTF and LAS may stop a job, which then loses its work since a checkpoint each 60 s",
        "each window starts on an idle cluster; mean wait counts to the first start",
    ),
)
"""Training jobs of GPU clusters: mean and p95 JCT and deadline misses (design, section 8).

The sizes of the clusters are those of docs/workloads.md, but for Philly and Muri, where the
defaults leave either nothing to decide or a load far above 1. Gavel's run times and speed factors
come from
its throughput matrix."""

REQUESTS: Final = TraceSet(
    name="requests",
    version=1,
    cases=(
        TraceCase(
            "Azure LLM",
            "AzureLLMInferenceTrace_conv.csv.gz",
            {"nodes": 2, "cards_per_node": 3},
            count=6,
            length=2048,
        ),
        TraceCase("Azure functions", "azure_functions_2021_sample.csv", {"cores_per_node": 8}),
        TraceCase("DLRM instances", "disaggregated_DLRM_trace.csv.gz", count=1, length=100_000),
    ),
    heuristics=MappingProxyType(
        {
            "FIFO": "fcfs",
            "FIFO least-loaded": "fcfs+least-loaded",
            "FIFO FGD": "fcfs+fgd",
            "SJF": "sjf",
            "SAF": "saf",
        }
    ),
    setting=standard_setting(Backfill.NONE),
    headline="mean_turnaround_s",
    columns=("p95_turnaround_s", "max_wait_s", "utilisation"),
    remarks=("each window starts on an idle cluster",),
)
"""Short requests and service instances: response time by order and placement.

The pools are smaller than the defaults of docs/workloads.md, so that a queue forms."""

TRACE_SETS: Final = MappingProxyType({each.name: each for each in (GPU_TRAINING, REQUESTS)})
"""Name -> set."""
