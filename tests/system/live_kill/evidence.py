"""What the tasks themselves have told, and what must be true of it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from tests.system.live_kill.work import CARDS, CLUSTER, CORES


@dataclass(slots=True)
class Run:
    """One replica of one attempt, as its process told it.

    Attributes:
        end_ns: None where the process was killed.
        how: "done", "failed", "stopped", or "" for the same.
    """

    task_id: str
    attempt: int
    replica: int
    start_ns: int
    node: str
    cards: tuple[int, ...]
    cpu: int
    gpu: Fraction
    end_ns: int | None = None
    how: str = ""


@dataclass
class Evidence:
    """The ledger, read once at the end."""

    runs: list[Run] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)

    def of(self) -> dict[str, list[Run]]:
        """Task id -> its runs by their start."""
        found: dict[str, list[Run]] = defaultdict(list)
        for run in sorted(self.runs, key=lambda each: each.start_ns):
            found[run.task_id].append(run)
        return found


def read_ledger(path: Path) -> Evidence:
    evidence, open_runs = Evidence(), {}
    for line in path.read_text().splitlines():
        what, task_id, attempt, replica, pid, at, node, cards, demand = line.split(" ")
        key = (task_id, attempt, replica, pid)
        if what == "twice":
            evidence.twice.append(line)
        elif what == "start":
            cpu, gpu = demand.split("/")
            which = tuple(int(each) for each in cards.removeprefix("cards=").split(",") if each)
            name = CLUSTER.nodes[int(node)].name
            run = Run(
                task_id, int(attempt), int(replica), int(at), name, which, int(cpu), Fraction(gpu)
            )
            evidence.runs.append(run)
            open_runs[key] = run
        else:
            run = open_runs.pop(key)
            run.end_ns, run.how = int(at), what
    return evidence


def read_reports(path: Path) -> list[dict[str, Any]]:
    """What each scheduler believed after its birth; the last line may be cut off."""
    lines = path.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def check_never_twice(evidence: Evidence) -> None:
    """No run of a task begins before the one before it has ended, whichever replica."""
    assert not evidence.twice, evidence.twice
    for task_id, runs in evidence.of().items():
        latest: dict[int, int] = {}  # attempt -> when the last of its replicas had ended
        for run in runs:
            before = [end for attempt, end in latest.items() if attempt != run.attempt]
            assert run.start_ns > max(before, default=0), f"{task_id} ran twice at once"
            end_ns = run.start_ns if run.end_ns is None else run.end_ns
            latest[run.attempt] = max(latest.get(run.attempt, 0), end_ns)


def check_capacity(evidence: Evidence) -> int:
    """At no moment do the tasks of a node use more than it has; returns the most cores in use."""
    most = 0
    in_use: dict[Any, Fraction] = defaultdict(Fraction)
    for _, sign, key, amount in sorted(_changes(evidence.runs), key=lambda each: each[:2]):
        in_use[key] += sign * amount
        limit = CORES if len(key) == 1 else 1
        assert in_use[key] <= limit, f"{key} is used beyond its capacity"
        most = max(most, int(sum(used for name, used in in_use.items() if len(name) == 1)))
    return most


def _changes(runs: Iterable[Run]) -> Iterator[tuple[int, int, Any, Fraction]]:
    """When each core count and card is taken (+1) and given back (-1); ends come first."""
    for run in runs:
        if run.end_ns is None:
            continue  # killed: nobody knows for how long it ran
        amounts: list[tuple[Any, Fraction]] = [((run.node,), Fraction(run.cpu))]
        amounts += [((run.node, card), min(Fraction(1), run.gpu)) for card in run.cards]
        for key, amount in amounts:
            yield run.start_ns, 1, key, amount
            yield run.end_ns, -1, key, amount


def check_cards(evidence: Evidence) -> None:
    """Each replica sees as many cards as it asked for, all of them of its node."""
    for run in evidence.runs:
        wanted = 0 if run.gpu == 0 else max(1, int(run.gpu))
        assert len(run.cards) == wanted, run
        assert all(card < CARDS for card in run.cards), run


def check_report(report: dict[str, Any], evidence: Evidence) -> tuple[int, int]:
    """After a restart, exactly what runs is in use.

    Returns:
        Tasks that were adopted, and processes that ran at that moment; the difference had ended
        while no scheduler lived.
    """
    seen = 0
    on_nodes, at_ns = report["on_nodes"], report["at"]
    used = {node.name: dict.fromkeys(node.capacity, 0.0) for node in CLUSTER.nodes}
    for each in on_nodes.values():
        for m in each["nodes"]:
            for kind, amount in each["demand"].items():
                used[CLUSTER.nodes[m].name][kind] += amount
    for node in CLUSTER.nodes:
        free = {kind: node.capacity[kind] - used[node.name][kind] for kind in node.capacity}
        assert {kind: report["free"][node.name][kind] for kind in free} == free
    assert on_nodes.keys() <= set(report["alive"]), "adopted, but the executor does not know it"
    for run in evidence.runs:
        if run.end_ns is not None and run.start_ns < at_ns < run.end_ns:
            assert run.task_id in on_nodes, f"{run.task_id} ran, and nobody knew"
            believed = on_nodes[run.task_id]
            seen += 1
            assert believed["attempt"] == run.attempt
            assert CLUSTER.nodes[believed["nodes"][run.replica]].name == run.node
            assert tuple(believed["cards"][run.replica].get("gpu", ())) == run.cards
    return len(on_nodes), seen
