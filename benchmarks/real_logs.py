"""Policies of `hpc-logs` beside all heuristics on real logs, by estimates and by predictions.

    python -m benchmarks.real_logs POLICY... [--split test] [--data DIR] [--logs FILE ...]

Each log is cut as in training: the last fifth by time is the test split, of which windows of
256 tasks are scheduled, each from an idle machine. Every policy runs by its file, without a
backfilling rule, on the predictions of the configuration `hpc-logs`. Heuristics run without
backfilling and with EASY, on what users asked for and on the same predictions. Printed are the
best of them by mean bounded slowdown, picked on these very windows, and the mean of the policies
in each window against it, with paired 95 % intervals: mean bounded slowdown, p95 wait and longest
wait.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.waits_kept import change, figures_of
from lepton_rl.commands.train import train_config
from lepton_rl.core.tables import Floats
from lepton_rl.envs.config import EnvironmentConfig
from lepton_rl.envs.episodes import Episodes
from lepton_rl.evaluate.contenders import Contender, HeuristicContender
from lepton_rl.evaluate.learned import LearnedContender
from lepton_rl.policies.learned import load_policy
from lepton_rl.policies.registry import BASELINES
from lepton_rl.policies.spec import rule_of
from lepton_rl.workloads.splits import sample_windows

_LENGTH = 256
_FEWEST = 4
"""Of fewer windows an interval says nothing."""
_LOGS = (  # in windows of Curie's and MetaCentrum's, next to nobody waits
    "KTH-SP2-1996.swf.gz",
    "ANL-Theta-2022.swf.gz",
    "HPC2N-2002-first3170.swf.gz",
    "lublin_256.swf.gz",
)
_FIGURES = ("mean bounded slowdown", "p95 wait", "longest wait")


def episodes_of(path: Path, split: str, *, predicted: bool) -> Episodes:
    """Windows of one split, with predictions as in training or with the users' estimates."""
    prediction = train_config("hpc-logs", [], None, None, None).environment.workload.prediction
    work = {"source": str(path), **({"prediction": prediction} if predicted else {})}
    settings = {"workload": work, "split": split, "episode_tasks": _LENGTH}
    return Episodes.of(EnvironmentConfig.model_validate(settings))


def compare(path: Path, split: str, policies: Sequence[Path]) -> None:
    """Print one table."""
    asked, seen = (episodes_of(path, split, predicted=predicted) for predicted in (False, True))
    starts = sample_windows(asked.split, _LENGTH, len(asked.split) // _LENGTH).tolist()

    def rules(episodes: Episodes, *, easy: bool) -> dict[str, Floats]:
        suffix = " + EASY" if easy else ""
        contenders: dict[str, Contender] = {
            name + suffix: HeuristicContender(name, rule_of(name)) for name in BASELINES
        }
        return {k: figures_of(each, episodes, starts, easy) for k, each in contenders.items()}

    ours = np.array(
        [
            figures_of(LearnedContender(each.stem, load_policy(each)), seen, starts, easy=False)
            for each in policies
        ]
    )
    print(f"{path.name}, {split}, {len(starts)} windows")
    for each, own in zip(policies, ours, strict=True):
        print(f"    {each}: " + ", ".join(f"{value:,.2f}" for value in own.mean(axis=1)))
    for title, found in (
        ("users' estimates", rules(asked, easy=False)),
        ("users' estimates", rules(asked, easy=True)),
        ("predictions", rules(seen, easy=False)),
        ("predictions", rules(seen, easy=True)),
    ):
        best = min(found, key=lambda name: found[name][0].mean())
        _tell(f"best by {title}: {best}", ours.mean(axis=0), found[best])


def _tell(title: str, ours: Floats, theirs: Floats) -> None:
    print(f"  {title}: " + ", ".join(f"{value:,.2f}" for value in theirs.mean(axis=1)))
    for name, mine, own in zip(_FIGURES, ours, theirs, strict=True):
        if len(own) < _FEWEST:
            print(f"    {name}: {100 * (mine.mean() / own.mean() - 1):+.1f} %, too few windows")
        else:
            print(f"    {name}: {change(mine, own)}")
    fewer, more = (ours[0] < theirs[0] - 1e-9).sum(), (ours[0] > theirs[0] + 1e-9).sum()
    print(f"    windows better, worse: {fewer}, {more}")


def main(argv: Sequence[str] | None = None) -> None:
    """Compare on all logs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("policies", nargs="+", type=Path)
    parser.add_argument("--split", choices=("train", "validation", "test"), default="test")
    parser.add_argument("--data", type=Path, default=Path("data/swf"))
    parser.add_argument("--logs", nargs="+", default=_LOGS)
    args = parser.parse_args(argv)
    for name in args.logs:
        compare(args.data / name, args.split, args.policies)


if __name__ == "__main__":
    main()
