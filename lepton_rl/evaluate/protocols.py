"""Protocols: which windows of a workload, under which rules, so that figures can be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lepton_rl.core.errors import ConfigError, WorkloadError
from lepton_rl.core.naming import did_you_mean
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.evaluate.contenders import check_backfill
from lepton_rl.workloads.splits import sample_windows, split_windows
from lepton_rl.workloads.workload import Workload

__all__ = [
    "COLUMNS",
    "HELDOUT_VERSION",
    "RLSCHEDULER",
    "EvaluationProtocol",
    "Quoted",
    "Setting",
    "heldout",
    "standard_setting",
]

HELDOUT_VERSION = 1
"""Counts up when figures under the name of the protocol would change."""

COLUMNS = ("p95_wait_s", "max_wait_s", "utilisation")
"""Metrics beside the headline, where a protocol names no others."""


@dataclass(frozen=True, slots=True)
class Setting:
    """The rules that surround a policy's order.

    Attributes:
        name: key, unique in a protocol.
        title: for tables.
        backfill: who may overtake a blocked task.
        blocking: the rules of the RLScheduler repository (one event at a time, and the task that
            was picked keeps the head until it starts) instead of the standard ones.
    """

    name: str
    title: str
    backfill: Backfill
    blocking: bool = False

    def __post_init__(self) -> None:
        check_backfill(self.backfill, self.blocking)


@dataclass(frozen=True, slots=True)
class Quoted:
    """A figure that others report, for a row beside ours.

    Attributes:
        name: whose.
        workload: name of the workload it holds for.
        setting: name of the setting.
        metric: a field of `Metrics`, averaged over the windows.
        value: in the metric's unit.
        note: where it comes from.
    """

    name: str
    workload: str
    setting: str
    metric: str
    value: float
    note: str


@dataclass(frozen=True, slots=True)
class EvaluationProtocol:
    """Windows and settings.

    Attributes:
        name: for tables and files.
        version: counts up when figures under this name would change.
        starts: first task of each window (>= 0), position in the workload.
        length: tasks of a window (>= 1).
        settings: at least one.
        quoted: figures of others.
        remarks: what a reader of the figures must know.
        columns: metrics that stand beside the headline, so that a gain cannot hide what it cost.
    """

    name: str
    version: int
    starts: tuple[int, ...]
    length: int
    settings: tuple[Setting, ...]
    quoted: tuple[Quoted, ...] = ()
    remarks: tuple[str, ...] = ()
    columns: tuple[str, ...] = COLUMNS

    def windows(self, workload: Workload) -> tuple[Workload, ...]:
        """The windows of `workload`, in the protocol's order.

        Raises:
            WorkloadError: the workload is too short.
        """
        needed = max(self.starts) + self.length
        if len(workload) < needed:
            raise WorkloadError(
                f"protocol {self.name}: the last window ends at task {needed} and workload"
                f" {workload.name} has {len(workload)}; use a longer workload, or the protocol"
                " heldout, which chooses windows that fit"
            )
        return tuple(workload.window(start, self.length) for start in self.starts)

    @property
    def notes(self) -> tuple[str, ...]:
        """The remarks, and whether windows share tasks."""
        distinct = len({row for s in self.starts for row in range(s, s + self.length)})
        total = len(self.starts) * self.length
        if distinct == total:
            return self.remarks
        overlap = (
            f"windows overlap ({total} tasks, {distinct} of them different), so they are not"
            " independent and the intervals are too narrow"
        )
        return (*self.remarks, overlap)


_STANDARD: Final = {
    Backfill.NONE: Setting("standard-none", "standard rules, no backfill", Backfill.NONE),
    Backfill.EASY: Setting("standard-easy", "standard rules, EASY backfill", Backfill.EASY),
}
_HELDOUT: Final = {
    **_STANDARD,
    Backfill.CONSERVATIVE: Setting(
        "standard-conservative",
        "standard rules, conservative backfill",
        Backfill.CONSERVATIVE,
    ),
}
_REPO: Final = (
    Setting("repo-none", "RLScheduler repo rules, no backfill", Backfill.NONE, blocking=True),
    Setting(
        "repo-backfill",
        "RLScheduler repo rules, fixed-shadow backfill",
        Backfill.FIXED_SHADOW,
        blocking=True,
    ),
)


def _quoted(setting: str, value: float, note: str) -> Quoted:
    return Quoted("RLScheduler", "lublin_256", setting, "mean_bounded_slowdown", value, note)


_PUBLISHED = "published, not measured here"
_NETWORK = "published network, not retrained, under these rules; quoted, not measured here"

RLSCHEDULER: Final = EvaluationProtocol(
    name="rlscheduler",
    version=1,
    starts=(1981, 2756, 4299, 8850, 3316, 2714, 5228, 7762, 4022, 7085),
    length=1024,
    settings=(*_REPO, *_STANDARD.values()),
    quoted=(
        _quoted("repo-none", 254.67, _PUBLISHED),
        _quoted("repo-backfill", 58.64, _PUBLISHED),
        _quoted("standard-none", 32.8, _NETWORK),
        _quoted("standard-easy", 33.5, _NETWORK),
    ),
    remarks=("windows are the published ones, not held out: a policy may have trained on them",),
)
"""The ten windows of RLScheduler's test script, under the rules of its repository (without and with
backfilling) and under standard ones (none and EASY), on an empty machine.

Source: Zhang et al., "RLScheduler: an automated HPC batch job scheduler using reinforcement
learning", SC'20, and its repository. Made for the trace lublin_256, of which
`tests/evaluate/test_protocols.py` has every figure; any workload of 9,874 tasks or more will do."""


def standard_setting(backfill: Backfill) -> Setting:
    """The standard rules with NONE, EASY or CONSERVATIVE.

    Raises:
        ConfigError: another backfilling.
    """
    if backfill not in _HELDOUT:
        raise ConfigError(
            f"standard rules: backfill must be NONE, EASY or CONSERVATIVE, got {backfill!r}"
        )
    return _HELDOUT[backfill]


def heldout(
    workload: Workload,
    *,
    split: str = "test",
    length: int = 256,
    count: int | None = None,
    backfill: Backfill = Backfill.EASY,
    may_overlap: bool = False,
    train: float = 0.6,
    validation: float = 0.2,
) -> EvaluationProtocol:
    """Windows of one split by time (`split_windows`), evenly spaced, under standard rules.

    Args:
        workload: what to split into train, validation and test.
        split: train, validation or test.
        length: tasks of a window (>= 1). The default is what RLScheduler trains on; windows of
            1,024 are closer to a busy machine, but a split holds fewer of them.
        count: windows (>= 1); by default as many as fit side by side. More than that are cut to
            it, with a remark, unless they `may_overlap`.
        backfill: NONE, EASY or CONSERVATIVE.
        train: share of the tasks, by time, that policies are trained on.
        validation: share they are chosen on.
        may_overlap: let windows share tasks, which makes the intervals too narrow (a note says so).

    Raises:
        ConfigError: unknown split, a backfill of other rules, or a number out of range.
        WorkloadError: a split is shorter than a window.
    """
    splits = {e.name: e for e in split_windows(len(workload), length, train, validation)}
    if split not in splits:
        raise ConfigError(f"unknown split {split!r}; {did_you_mean(split, splits)}")
    rows = splits[split]
    fitting = len(rows) // length
    wanted = fitting if count is None else count
    used = wanted if may_overlap else min(wanted, fitting)
    remarks = [f"{split} split of {workload.name}: tasks {rows.first} to {rows.last}"]
    if used < wanted:
        remarks.append(f"{wanted} windows asked for, {used} fit without overlap")
    return EvaluationProtocol(
        name="heldout",
        version=HELDOUT_VERSION,
        starts=tuple(int(start) for start in sample_windows(rows, length, used)),
        length=length,
        settings=(standard_setting(backfill),),
        remarks=tuple(remarks),
    )
