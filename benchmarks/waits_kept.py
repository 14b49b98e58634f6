"""Mean and tails of learned orders beside all heuristics, on unseen draws (docs/experiments.md).

    python -m benchmarks.waits_kept POLICY... [--seed 62] [--loads 0.9 0.6] [--windows 234]
        [--processors 256]

Each load is a draw of the Lublin-Feitelson model of its own (seed, seed + 1, ...), of which the
last fifth by time is scheduled. Every policy runs by its file, without a backfilling rule.
Printed are, for the best heuristic without EASY and with it (by mean bounded slowdown, picked on
these very windows), and for saf: the mean of the policies in each window against it, in per cent,
with paired 95 % intervals, for the mean bounded slowdown, the p95 wait and the longest wait.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.tables import Floats
from lepton_rl.envs.config import EnvironmentConfig
from lepton_rl.envs.episodes import Episodes
from lepton_rl.evaluate.contenders import Contender, HeuristicContender
from lepton_rl.evaluate.learned import LearnedContender
from lepton_rl.evaluate.metrics import bounded_slowdowns, waits_s
from lepton_rl.evaluate.statistics import paired_difference
from lepton_rl.policies.learned import load_policy
from lepton_rl.policies.registry import BASELINES
from lepton_rl.policies.spec import rule_of
from lepton_rl.workloads.splits import sample_windows

_LENGTH = 256
_FIGURES = ("mean bounded slowdown", "p95 wait", "longest wait")


def figures_of(contender: Contender, episodes: Episodes, starts: list[int], easy: bool) -> Floats:
    """`(3, W)` mean bounded slowdown, p95 wait and longest wait in s of each window."""
    rows = []
    for start in starts:
        window = episodes.workload.window(start, _LENGTH)
        backfill = Backfill.EASY if easy else Backfill.NONE
        schedule = contender.schedule(window, window.cluster, backfill)
        waits = waits_s(schedule)
        mean = bounded_slowdowns(schedule).mean()
        rows.append((mean, np.percentile(waits, 95), waits.max()))
    return np.array(rows).T


def compare(load: float, seed: int, num_tasks: int, args: argparse.Namespace) -> None:
    """Print one table."""
    work = {
        "source": "lublin",
        "seed": seed,
        "processors": args.processors,
        "settings": {"classes": ["whole-sample"], "load": load, "num_tasks": num_tasks},
    }
    config = EnvironmentConfig.model_validate({"workload": work, "split": "test"})
    episodes = Episodes.of(config)
    starts = sample_windows(episodes.split, _LENGTH, args.windows).tolist()
    rules = {
        name + suffix: figures_of(HeuristicContender(name, rule_of(name)), episodes, starts, easy)
        for name in BASELINES
        for suffix, easy in (("", False), (" + EASY", True))
    }
    ours = np.array(
        [
            figures_of(LearnedContender(path.stem, load_policy(path)), episodes, starts, False)
            for path in args.policies
        ]
    )
    print(f"load {load:g}, seed {seed}, {len(starts)} windows, {args.processors} processors")
    print("  each policy (means over windows):")
    for path, own in zip(args.policies, ours, strict=True):
        print(f"    {path}: " + ", ".join(f"{value:,.2f}" for value in own.mean(axis=1)))
    best = [min(_with(rules, easy), key=lambda name: rules[name][0].mean()) for easy in (0, 1)]
    for name in dict.fromkeys([*best, "saf", "saf + EASY"]):
        mark = "best: " if name in best else ""
        print(f"  {mark}{name}: " + ", ".join(f"{v:,.2f}" for v in rules[name].mean(axis=1)))
        for k, figure in enumerate(_FIGURES):
            print(f"    {figure}: {change(ours[:, k].mean(axis=0), rules[name][k])}")


def _with(rules: dict[str, Floats], easy: int) -> list[str]:
    return [name for name in rules if name.endswith("EASY") == bool(easy)]


def change(ours: Floats, theirs: Floats) -> str:
    """The mean difference and its interval, both over the mean of theirs."""
    found, whole = paired_difference(ours, theirs), theirs.mean() / 100.0
    assert found.difference_interval is not None, "too few windows"
    low, high = found.difference_interval.low / whole, found.difference_interval.high / whole
    return f"{found.difference / whole:+.1f} % ({low:+.1f} to {high:+.1f})"


def main(argv: Sequence[str] | None = None) -> None:
    """Compare on all loads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("policies", nargs="+", type=Path)
    parser.add_argument("--seed", type=int, default=62)
    parser.add_argument("--loads", nargs="+", type=float, default=[0.9])
    parser.add_argument("--windows", type=int, default=234)
    parser.add_argument("--processors", type=int, default=256)
    args = parser.parse_args(argv)
    for position, load in enumerate(args.loads):
        compare(load, args.seed + position, 5 * _LENGTH * (args.windows + 1), args)


if __name__ == "__main__":
    main()
