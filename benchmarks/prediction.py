"""Measures the tables of docs/prediction.md: `python benchmarks/prediction.py [FOLDER OF TRACES]`.

Accuracy over the last 40 % of each trace (by submit time), each task predicted online; then what
predictions are worth to a scheduler, with the correction of those that are outlived; then what that
correction does; then the same in a scheduler that learns as it goes; then memory, where a trace
has it. On one core: about five minutes, most of it
training and conservative backfilling.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.clock import to_seconds, to_us
from lepton_rl.core.tables import Records
from lepton_rl.evaluate.metrics import bounded_slowdowns
from lepton_rl.evaluate.statistics import paired_difference
from lepton_rl.policies.registry import heuristic, rule_of
from lepton_rl.prediction.accuracy import Accuracy, accuracy_of, accuracy_table
from lepton_rl.prediction.config import PredictionConfig, make_predictor
from lepton_rl.prediction.demand import DemandConfig, demand_accuracy_of
from lepton_rl.prediction.live import LiveEstimates
from lepton_rl.prediction.online import (
    known_from_us,
    predict_demand_online,
    predict_online,
    with_estimates,
)
from lepton_rl.sim.replay import replay
from lepton_rl.system import Scheduler
from lepton_rl.workloads.swf import read_swf
from lepton_rl.workloads.swf_memory import read_swf_memory
from lepton_rl.workloads.workload import Workload

Floats = NDArray[np.float64]

TRACES = ("KTH-SP2-1996", "ANL-Theta-2022", "HPC2N-2002-first3170")
LIVE = (("KTH-SP2-1996", "HPC2N-2002-first3170"), ("sjf+easy", "fcfs+easy"))
POLICIES = ("sjf+easy", "saf+easy", "fcfs+easy", "fcfs+conservative")
TEST_FROM = 0.6
WINDOW = 1024
QUANTILE = PredictionConfig().quantile
MEMORY = ((0.9, 1.0), (0.95, 1.0), (0.95, 1.2), (0.99, 1.0), (0.99, 1.2))
NODE_KIB = 1024 * 1024 // 2  # HPC2N: 1 GiB for two processors


def main(folder: Path) -> None:
    """Print the tables."""
    traces = [read_swf(folder / f"{name}.swf.gz") for name in TRACES]
    figures = {workload.name: figures_of(workload) for workload in traces}
    rows: dict[tuple[str, str], Accuracy] = {}
    for workload in traces:
        for name, (predicted_s, upper_s) in figures[workload.name].items():
            rows[workload.name, name] = tested(workload, predicted_s, upper_s)
    print(accuracy_table(rows))
    print(effect_table(traces, figures))
    print(correction_table(traces, figures))
    print(live_table([workload for workload in traces if workload.name in LIVE[0]]))
    print(memory_table(folder / f"{TRACES[2]}.swf.gz", traces[2]))


def figures_of(workload: Workload) -> Mapping[str, tuple[Floats, Floats]]:
    """Name -> predictions and upper quantiles in s, `(N,)` each, capped unless the name says so."""
    requested_s = to_seconds(workload.tasks["requested_us"])
    found: dict[str, tuple[Floats, Floats]] = {"user estimate": (requested_s, requested_s)}
    for kind in ("last-two", "class-quantiles", "boosted"):
        print(f"{workload.name}: {kind}", file=sys.stderr, flush=True)
        config = PredictionConfig.model_validate({"kind": kind})
        predictions = predict_online(make_predictor(config), workload)
        median_s = np.array([each.median_s for each in predictions])
        upper_s = np.array([each.upper_s for each in predictions])
        capped_s, capped_upper_s = (
            np.minimum(median_s, requested_s),
            np.minimum(upper_s, requested_s),
        )
        if kind == "last-two":
            found[kind] = capped_s, capped_upper_s
            continue
        found[f"{kind}, median"] = capped_s, capped_upper_s
        found[f"{kind}, upper"] = capped_upper_s, capped_upper_s
        found[f"{kind}, upper, not capped"] = upper_s, upper_s
    return found


def tested(workload: Workload, predicted_s: Floats, upper_s: Floats) -> Accuracy:
    """Accuracy over the last 40 %."""
    first = round(TEST_FROM * len(workload))
    run_s = to_seconds(workload.run_us)
    return accuracy_of(run_s[first:], predicted_s[first:], upper_s[first:], QUANTILE)


def effect_table(
    traces: list[Workload], figures: Mapping[str, Mapping[str, tuple[Floats, Floats]]]
) -> str:
    """Mean bounded slowdown over the whole trace, and the change over windows."""
    lines = [
        "| trace | estimates |" + "".join(f" {p} | in windows |" for p in POLICIES),
        "|---|---|" + "---:|---|" * len(POLICIES),
    ]
    for workload in traces:
        seen = capped(figures[workload.name])
        seen["perfect"] = to_seconds(workload.run_us)
        theirs = {policy: in_windows(workload, policy) for policy in POLICIES}
        for name, estimates_s in seen.items():
            print(f"{workload.name}: schedules by {name}", file=sys.stderr, flush=True)
            told = with_estimates(workload.tasks, np.maximum(1, to_us(estimates_s)))
            predicted = replace(workload, tasks=told)
            cells = [effect(predicted, policy, theirs[policy]) for policy in POLICIES]
            lines.append(f"| {workload.name} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def capped(figures: Mapping[str, tuple[Floats, Floats]]) -> dict[str, Floats]:
    """Name -> the estimates in s that policies are shown, `(N,)`."""
    return {name: each for name, (each, _) in figures.items() if "not capped" not in name}


def effect(workload: Workload, policy: str, theirs: list[float]) -> str:
    """Cells of one policy: whole trace; mean change against users' estimates over windows."""
    whole, ours = slowdown(workload, policy), in_windows(workload, policy)
    found = paired_difference(ours, theirs)
    change = f"{100 * (np.mean(ours) / np.mean(theirs) - 1):+.0f} %"
    if found.relative_interval is not None:
        low, high = found.relative_interval.low, found.relative_interval.high
        change += f" ({100 * low:+.0f} .. {100 * high:+.0f})"
    return f"{whole:.2f} | {change}"


def in_windows(workload: Workload, policy: str) -> list[float]:
    """Mean bounded slowdown of each window, from an idle machine."""
    starts = range(0, len(workload) - WINDOW + 1, WINDOW)
    return [slowdown(workload.window(start, WINDOW), policy) for start in starts]


def correction_table(
    traces: list[Workload], figures: Mapping[str, Mapping[str, tuple[Floats, Floats]]]
) -> str:
    """Mean bounded slowdown over the whole trace, without the correction and with it."""
    lines = [
        "| trace | estimates |" + "".join(f" {p} |" for p in POLICIES),
        "|---|---|" + "---|" * len(POLICIES),
    ]
    for workload in traces:
        for name, estimates_s in capped(figures[workload.name]).items():
            told = with_estimates(workload.tasks, np.maximum(1, to_us(estimates_s)))
            with_it = replace(workload, tasks=told)
            without = replace(workload, tasks=uncorrected(told))
            cells = [f"{slowdown(without, p):.2f} -> {slowdown(with_it, p):.2f}" for p in POLICIES]
            lines.append(f"| {workload.name} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def uncorrected(tasks: Records) -> Records:
    """The same estimates as if they were the users' own, which rules do not correct."""
    own = tasks.copy()
    own["limit_us"] = own["requested_us"]
    return own


def live_table(traces: list[Workload]) -> str:
    """Mean bounded slowdown over the whole trace where a scheduler learns as tasks end in it."""
    lines = ["| trace | estimates |" + "".join(f" {policy} |" for policy in LIVE[1])]
    lines.append("|---|---|" + "---:|" * len(LIVE[1]))
    config = PredictionConfig(kind="class-quantiles")
    for workload in traces:
        cells = [live_slowdown(workload, config, policy) for policy in LIVE[1]]
        row = " | ".join(f"{each:.2f}" for each in cells)
        lines.append(f"| {workload.name} | {config.kind}, {config.estimate} | {row} |")
    return "\n".join(lines) + "\n"


def live_slowdown(workload: Workload, config: PredictionConfig, policy: str) -> float:
    """Mean bounded slowdown, from an idle machine, in a `Scheduler` that predicts and learns."""
    estimates = LiveEstimates(config, workload.cluster.schema)
    scheduler = Scheduler(workload.cluster, heuristic(policy), prediction=estimates)
    scheduler.submit_all(workload)
    scheduler.run()
    return float(np.mean(bounded_slowdowns(scheduler.schedule())))


def slowdown(workload: Workload, policy: str) -> float:
    """Mean bounded slowdown, from an idle machine."""
    schedule = replay(workload.tasks, workload.run_us, workload.cluster, rule_of(policy))
    return float(np.mean(bounded_slowdowns(schedule)))


def memory_table(path: Path, workload: Workload) -> str:
    """Used memory of the tasks that have it, of the last 40 %."""
    memory, known_us = read_swf_memory(path, workload.ids), known_from_us(workload)
    first = round(TEST_FROM * len(workload))
    used = memory.used_kib[first:]
    lines = [
        "| predictor | accuracy | need more | p / used, median | p / used, mean"
        " | sum of p / sum of used |",
        "|---|---:|---:|---:|---:|---:|",
    ]

    def row(name: str, predicted: Floats) -> None:
        each = demand_accuracy_of(used, predicted)
        lines.append(
            f"| {name} | {each.mean_accuracy:.3f} | {each.underestimated:.1%}"
            f" | {each.median_factor:.2f} | {each.mean_factor:.2f} | {each.total_factor:.2f} |"
        )

    for quantile, margin in MEMORY:
        config = DemandConfig(quantile=quantile, margin=margin)
        predictions = predict_demand_online(
            config.predictor(), workload, memory.used_kib, memory.requested_kib, known_us
        )
        used = np.where(np.isfinite(predictions[first:]), used, np.nan)  # the same tasks for all
        row(f"class quantile {quantile:g}, margin {margin:g}", predictions[first:])
    row("an equal share of the node, 512 MiB", np.full(len(used), float(NODE_KIB)))
    count = np.count_nonzero(np.isfinite(used))
    return f"memory, {workload.name}: {count:,} tasks\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data/swf"))
