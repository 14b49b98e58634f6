from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from lepton_rl.core.errors import ConfigError, StateError
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.evaluate import (
    Comparison,
    Contender,
    HeuristicContender,
    MetricInfo,
    Verdict,
    compare,
    measure,
)
from lepton_rl.evaluate.metrics import METRICS
from lepton_rl.sim.replay import Schedule
from lepton_rl.workloads.workload import Workload
from tests.evaluate.small import HEURISTICS, Learned, Waiting, busy_windows, pool_workload

WINDOWS = tuple(pool_workload([(0, 10, 1), (1, 10, 1)], name=f"w{index}") for index in range(8))
BASE_WAITS_S = {f"w{index}": 10.0 * (index + 1) for index in range(8)}


@dataclasses.dataclass(frozen=True, slots=True)
class Fixed(HeuristicContender):
    """A heuristic that waits as told."""

    waits_s: dict[str, float] = dataclasses.field(default_factory=dict)

    def schedule(self, window: Workload, cluster: Cluster, backfill: Backfill) -> Schedule:
        return Waiting(self.name, self.waits_s).schedule(window, cluster, backfill)


def heuristic(name: str, waits_s: dict[str, float]) -> Fixed:
    return Fixed(name, HEURISTICS["fcfs"], waits_s)


def scaled(factor: float, **changed: float) -> dict[str, float]:
    return {name: factor * wait for name, wait in BASE_WAITS_S.items()} | changed


def compared(*contenders: Contender, headline: str = "mean_wait_s", count: int = 8) -> Comparison:
    return compare(contenders, WINDOWS[:count], headline=headline)


def test_ranks_by_the_headline_and_pairs_learned_with_heuristics() -> None:
    found = compared(
        heuristic("slow", scaled(2)),
        Waiting("late", scaled(3)),
        heuristic("good", scaled(1)),
        Waiting("early", scaled(0.5)),
    )
    assert [result.name for result in found.results] == ["early", "good", "slow", "late"]
    assert [result.is_heuristic for result in found.results] == [False, True, True, False]
    assert [(pair.ours, pair.theirs) for pair in found.pairs] == [
        ("early", "good"),
        ("early", "slow"),
        ("late", "good"),
        ("late", "slow"),
    ]
    assert [pair.difference.verdict for pair in found.pairs] == [
        Verdict.BETTER,
        Verdict.BETTER,
        Verdict.WORSE,
        Verdict.WORSE,
    ]
    assert found.pairs[0].difference.relative == pytest.approx(-0.5)
    assert found.windows == tuple(f"w{index}" for index in range(8))


def test_figures_over_windows() -> None:
    result = compared(heuristic("good", scaled(1))).results[0]
    assert result.values("mean_wait_s").tolist() == [10, 20, 30, 40, 50, 60, 70, 80]
    assert result.figure("mean_wait_s") == 45
    assert result.figure("max_wait_s") == 80
    assert result.figure("mean_bounded_slowdown") == pytest.approx(5.5)
    with pytest.raises(ConfigError, match="unknown metric 'wait'"):
        result.values("wait")


def test_higher_utilisation_is_better() -> None:
    found = compared(
        heuristic("idle", scaled(1)), Waiting("busy", scaled(0)), headline="utilisation"
    )
    assert [result.name for result in found.results] == ["busy", "idle"]
    assert found.verdict().startswith("busy beats idle: utilisation 45.5 % against 11.1 % (+")


def test_each_metric_is_that_of_measure() -> None:
    windows = busy_windows(2)
    saf = HeuristicContender("saf", HEURISTICS["saf"])
    found = compare([saf], windows, backfill=Backfill.NONE)
    schedule = saf.schedule(windows[1], windows[1].cluster, Backfill.NONE)
    assert found.results[0].per_window[1] == measure(schedule, windows[1], windows[1].cluster)
    eased = compare([saf], windows, backfill=Backfill.EASY)
    assert eased.results != found.results


def test_verdict_says_who_wins() -> None:
    found = compared(heuristic("f4", scaled(1)), Waiting("ppo", scaled(0.5)))
    assert found.verdict() == (
        "ppo beats f4: mean wait 22.5 s against 45.0 s (-50.0 %, 95 % interval -50.0 to -50.0 %,"
        " 8 windows)."
    )
    assert found.verdict("ppo") == found.verdict()


def test_verdict_says_who_loses_to_the_best_heuristic() -> None:
    found = compared(
        heuristic("f4", scaled(1)), heuristic("saf", scaled(3)), Waiting("ppo", scaled(2))
    )
    assert found.verdict() == (
        "ppo loses to f4, the best of 2 heuristics: mean wait 90.0 s against 45.0 s (+100.0 %,"
        " 95 % interval +100.0 to +100.0 %, 8 windows), and its longest wait is 2.0 times as long"
        " and its p95 wait is 2.0 times as long."
    )


def test_verdict_says_that_nothing_is_shown() -> None:
    mixed = {name: wait + 3 * (-1) ** int(name[1]) for name, wait in BASE_WAITS_S.items()}
    found = compared(heuristic("f4", scaled(1)), Waiting("ppo", mixed))
    assert found.verdict().startswith(
        "No difference is shown between ppo and f4: mean wait 45.0 s against 45.0 s (+0.0 %, 95 %"
    )
    assert found.verdict().endswith(", 8 windows).")


def test_verdict_warns_of_a_worse_tail() -> None:
    found = compared(heuristic("f4", scaled(1)), Waiting("ppo", scaled(0.2, w7=184)))
    assert "its longest wait is 2.3 times as long" in found.verdict()
    assert "p95" not in found.verdict()
    assert found.verdict().startswith("No difference is shown")
    better = compared(heuristic("f4", scaled(1, w0=30)), Waiting("ppo", scaled(0.3, w0=100)))
    assert "longest" in better.verdict()
    slightly = compared(heuristic("f4", scaled(1)), Waiting("ppo", scaled(0.2, w7=83)))
    assert "longest" not in slightly.verdict()


def test_verdict_warns_where_the_heuristic_never_waits() -> None:
    found = compared(heuristic("f4", scaled(0)), Waiting("ppo", scaled(1)))
    assert "(+45 s, 95 % interval +25 to +65 s, 8 windows)" in found.verdict()
    assert found.verdict().endswith(
        ", and its longest wait is 80.0 s instead of 0 s and its p95 wait is 45.0 s instead of 0 s."
    )


def test_verdict_of_few_windows() -> None:
    found = compared(heuristic("f4", scaled(1)), Waiting("ppo", scaled(0.5)), count=2)
    assert found.verdict() == (
        "No difference is shown between ppo and f4: mean wait 7.50 s against 15.0 s (-50.0 %,"
        " no interval: it needs at least 6 windows, got 2)."
    )


def test_verdict_without_one_side() -> None:
    heuristics = [heuristic("f4", scaled(1)), heuristic("saf", scaled(2))]
    assert compared(*heuristics).verdict() == (
        "f4, the best of 2 heuristics: mean wait 45.0 s; no learned policy was compared."
    )
    found = compared(Waiting("ppo", scaled(1)))
    assert found.verdict() == "ppo: mean wait 45.0 s; no heuristic was compared."


def test_verdict_of_a_named_policy() -> None:
    found = compared(
        heuristic("f4", scaled(1)), Waiting("early", scaled(0.5)), Waiting("late", scaled(3))
    )
    assert found.verdict().startswith("early beats f4")
    assert found.verdict("late").startswith("late loses to f4")
    with pytest.raises(ConfigError, match="no contender is called 'lat'; did you mean 'late'"):
        found.verdict("lat")
    with pytest.raises(ConfigError, match="'f4' is a heuristic; name a learned policy"):
        found.verdict("f4")


def test_progress_counts_every_schedule() -> None:
    steps: list[tuple[int, int, str]] = []
    contenders: list[Contender] = [heuristic("f4", scaled(1)), Waiting("ppo", scaled(1))]
    compare(contenders, WINDOWS[:2], progress=lambda *step: steps.append(step))
    assert steps == [
        (1, 4, "f4 on w0"),
        (2, 4, "f4 on w1"),
        (3, 4, "ppo on w0"),
        (4, 4, "ppo on w1"),
    ]


def test_bad_requests() -> None:
    f4 = heuristic("f4", scaled(1))
    with pytest.raises(ConfigError, match="at least one contender and one window, got 0 and 8"):
        compare([], WINDOWS)
    with pytest.raises(ConfigError, match="at least one contender and one window, got 1 and 0"):
        compare([f4], [])
    with pytest.raises(ConfigError, match="names of contenders must differ, got 'f4' twice"):
        compare([f4, Waiting("f4", scaled(1))], WINDOWS)
    with pytest.raises(ConfigError, match="unknown metric 'mean_wait'; did you mean 'mean_wait_s'"):
        compare([f4], WINDOWS, headline="mean_wait")
    with pytest.raises(ConfigError, match="must be averaged over windows, 'max_wait_s' is not"):
        compare([f4], WINDOWS, headline="max_wait_s")


def test_a_cheating_contender_is_named() -> None:
    with pytest.raises(StateError, match=r"ppo on w0: w0: task 't0' starts before"):
        compared(Waiting("ppo", scaled(-1)))


def test_a_task_that_never_fits_is_reported_with_its_window() -> None:
    wide = pool_workload([(0, 10, 4)], name="wide")
    fcfs = HeuristicContender("fcfs", HEURISTICS["fcfs"])
    assert compare([fcfs], [wide], cluster=Cluster.pool(8)).results[0].figure("utilisation") == 0.5
    with pytest.raises(StateError, match="fcfs on wide: a pending task can never start"):
        compare([fcfs], [wide], cluster=Cluster.pool(2))


def test_heuristics_refuse_a_backfill_that_would_be_ignored() -> None:
    fcfs = HeuristicContender("fcfs", HEURISTICS["fcfs"])
    with pytest.raises(
        ConfigError, match="standard rules go with backfill NONE or EASY or CONSERVATIVE"
    ):
        compare([fcfs], WINDOWS, backfill=Backfill.FIXED_SHADOW)


def test_a_learned_policy_equal_to_a_heuristic_shows_no_difference() -> None:
    contenders: list[Contender] = [
        HeuristicContender("saf", HEURISTICS["saf"]),
        Learned("copy", HEURISTICS["saf"]),
    ]
    found = compare(contenders, busy_windows(7))
    assert found.pairs[0].difference.difference == 0
    assert found.verdict().startswith("No difference is shown between copy and saf")
    assert isinstance(contenders[1], Contender)


def test_every_metric_can_rank_but_the_largest() -> None:
    def fits(info: MetricInfo) -> bool:
        return info.over_windows == "mean"

    for name in (name for name, info in METRICS.items() if fits(info)):
        assert compared(heuristic("f4", scaled(1)), headline=name).headline == name


def test_importing_evaluate_loads_neither_torch_nor_onnxruntime() -> None:
    code = (
        "import sys, lepton_rl.evaluate\n"
        "print(sorted({'torch', 'onnxruntime', 'gymnasium'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
