"""Statistical checks use fixed seeds, so they either always pass or never. Their bounds are four
standard errors of the statistic: a right generator would pass under 9,999 of 10,000 seeds.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lepton_rl.core.errors import ConfigError
from lepton_rl.core.settings import load_settings
from lepton_rl.workloads import lublin
from lepton_rl.workloads.lublin import (
    BATCH,
    INTERACTIVE,
    WHOLE_SAMPLE,
    LublinConfig,
    TaskClass,
    generate_lublin,
)
from lepton_rl.workloads.sources import offered_load
from lepton_rl.workloads.swf import read_swf

ALL = [BATCH, INTERACTIVE, WHOLE_SAMPLE]
NAMES = ["batch", "interactive", "whole-sample"]
Floats = NDArray[np.float64]


def one_class(task_class: TaskClass, num_tasks: int, processors: int = 256) -> LublinConfig:
    return LublinConfig(processors=processors, num_tasks=num_tasks, classes=(task_class,))


def share_error(share: float, count: int) -> float:
    """Four standard errors of an observed share."""
    return 4 * math.sqrt(share * (1 - share) / count)


def test_constants_of_the_authors_program() -> None:
    """Entered a second time, as lublin99.c lists them (for 128 processors)."""
    # SERIAL_PROB, POW2_PROB, ULOW, UMED, UHI, UPROB
    sizes = {
        "batch": (0.2927, 0.6686, 1.2, 5, 7, 0.875),
        "interactive": (0.1541, 0.625, 1, 3, 5.5, 0.705),
        "whole-sample": (0.244, 0.576, 0.8, 4.5, 7, 0.86),
    }
    # A1, B1, A2, B2, PA, PB
    run_times = {
        "batch": (6.57, 0.823, 639.1, 0.0156, -0.003, 0.6986),
        "interactive": (3.8351, 0.6605, 7.073, 0.6856, -0.0118, 0.9156),
        "whole-sample": (4.2, 0.94, 312, 0.03, -0.0054, 0.78),
    }
    # AARR, ARAR, BARR, ANUM, BNUM
    arrivals = {
        "batch": (6.0415, 1.0519, 0.8531, 6.1271, 5.2740),
        "interactive": (6.5510, 0.9797, 0.6621, 8.9186, 3.6680),
        "whole-sample": (10.2303, 1.0225, 0.4871, 8.1737, 3.9631),
    }
    for name, each in lublin.CLASSES.items():
        serial, power_of_two, low, middle, high, first_stage = sizes[name]
        assert tuple(each.sizes.model_dump().values()) == pytest.approx(
            (serial, power_of_two, low, 7 - high, high - middle, first_stage)
        )
        assert tuple(each.run_times.model_dump().values()) == run_times[name]
        assert tuple(each.arrivals.model_dump().values()) == arrivals[name]


@pytest.mark.parametrize("task_class", ALL, ids=NAMES)
def test_sizes_follow_the_two_stage_uniform(task_class: TaskClass) -> None:
    count = 100_000
    size = generate_lublin(one_class(task_class, count), 11).tasks["size"]
    model = task_class.sizes
    serial = float(np.mean(size == 1))
    assert serial == pytest.approx(model.serial, abs=share_error(model.serial, count))
    high = 8 - model.below_machine
    stages = [
        (model.low, high - model.last_stage, model.first_stage),
        (high - model.last_stage, high, 1 - model.first_stage),
    ]
    other = 1 - model.serial - model.power_of_two
    for exponent in range(1, 9):
        whole = _uniform_mass(stages, exponent - 0.5, exponent + 0.5)
        # The other tasks also get this size when 2^x rounds to it.
        near = _uniform_mass(stages, math.log2(2**exponent - 0.5), math.log2(2**exponent + 0.5))
        expected = model.power_of_two * whole + other * near
        observed = float(np.mean(size == 2**exponent))
        assert observed == pytest.approx(expected, abs=share_error(expected, count) + 1e-9)


def _uniform_mass(stages: list[tuple[float, float, float]], start: float, end: float) -> float:
    overlaps = ((max(0.0, min(end, b) - max(start, a)) / (b - a), p) for a, b, p in stages)
    return sum(overlap * p for overlap, p in overlaps)


@pytest.mark.parametrize("task_class", ALL, ids=NAMES)
def test_run_times_follow_the_hyper_gamma(task_class: TaskClass) -> None:
    model, count = task_class.run_times, 50_000
    rng = np.random.default_rng(5)
    for size in (1, 32, 256):
        share = min(1.0, max(0.0, model.slope * size + model.intercept))
        run_s = lublin._run_times(model, np.full(count, size), 12.0, rng)
        # The model's log run time at the quartiles, from the mixture's density cut at 12. Rounding
        # down moves a run time by less than 1 s, a share of at most 1 / run time.
        for level in (0.25, 0.5, 0.75):
            observed = float(np.mean(run_s + 1 <= math.exp(_quantile(model, share, level))))
            above = float(np.mean(run_s <= math.exp(_quantile(model, share, level))))
            assert observed - share_error(level, count) <= level
            assert level <= above + share_error(level, count)


def _quantile(model: lublin.RunTimeModel, share: float, level: float) -> float:
    x = np.linspace(0, 12, 24_001)[1:]
    mixture = share * _gamma_density(x, model.short_shape, model.short_scale)
    mixture += (1 - share) * _gamma_density(x, model.long_shape, model.long_scale)
    cumulative = np.cumsum(mixture)
    return float(np.interp(level, cumulative / cumulative[-1], x))


def _gamma_density(x: Floats, shape: float, scale: float) -> Floats:
    norm = math.lgamma(shape) + shape * math.log(scale)
    return np.exp((shape - 1) * np.log(x) - x / scale - norm)


@pytest.mark.parametrize("task_class", ALL, ids=NAMES)
def test_larger_tasks_run_longer(task_class: TaskClass) -> None:
    workload = generate_lublin(one_class(task_class, 20_000), 2)
    log_run = np.log(workload.run_us)
    large = workload.tasks["size"] > 32
    assert log_run[large].mean() > log_run[~large].mean() + 0.3


@pytest.mark.parametrize("task_class", ALL, ids=NAMES)
def test_daily_cycle_is_the_gamma_mass_of_each_half_hour(task_class: TaskClass) -> None:
    model = task_class.arrivals
    cycle = lublin._daily_cycle(model)
    x = np.linspace(10.5, 58.5, 48 * 2000 + 1)
    x = (x[1:] + x[:-1]) / 2
    mass = _gamma_density(x, model.cycle_shape, model.cycle_scale).reshape(48, 2000).sum(axis=1)
    # Half hours 11..58, counted from 1 at midnight.
    assert cycle == pytest.approx(np.roll(mass, 10) / mass.mean(), rel=1e-6)


@pytest.mark.parametrize("task_class", ALL, ids=NAMES)
def test_arrivals_equal_the_authors_bucket_by_bucket_form(task_class: TaskClass) -> None:
    # The paper's program pays points for one half hour after the other; we jump there at once.
    config = one_class(task_class, 3000)
    model = task_class.arrivals
    times = lublin._class_arrivals(model, config, np.random.default_rng(9))
    # The same draws: gaps above the limit are drawn again, in place.
    rng, shape = np.random.default_rng(9), model.rush_shape * model.rush_to_day
    log_gaps = lublin._draw_below(
        13, 3000, lambda rows: rng.gamma(shape, model.scale, len(rows)), ""
    )
    weights = lublin._daily_cycle(model)
    bucket, points, fraction, now = 0, 0.0, 0.0, 0.0
    for step, log_gap in enumerate(log_gaps):
        points += math.exp(log_gap) / 1800
        gap = 0.0
        while points > weights[bucket]:
            points -= weights[bucket]
            bucket = (bucket + 1) % 48
            gap += 1800
        now += gap + 1800 * (points / weights[bucket] - fraction)
        fraction = points / weights[bucket]
        assert times[step] == pytest.approx(now, rel=1e-9, abs=1e-3)


def test_classes_arrive_independently_and_are_merged() -> None:
    config = LublinConfig(num_tasks=5000)
    submit_s, task_class = lublin._arrivals(config, np.random.default_rng(1))
    assert np.all(np.diff(submit_s) >= 0)
    rng = np.random.default_rng(1)
    for index, each in enumerate(config.classes):
        alone = np.floor(lublin._class_arrivals(each.arrivals, config, rng))
        merged = submit_s[task_class == index]
        assert np.array_equal(merged, np.maximum(1, alone[: len(merged)]))
    assert 0.05 < np.mean(task_class == 0) < 0.3, "batch tasks are the fewer: 15 % over many seeds"


class TestAgainstLublin256:
    """lublin_256: all rows are of one class, and sizes fit UHI = 8, UMED = 5.5 (whole sample)."""

    def test_sizes(self, trace_dir: Path) -> None:
        published = read_swf(trace_dir / "swf" / "lublin_256.swf.gz").tasks["size"]
        ours = generate_lublin(one_class(WHOLE_SAMPLE, 100_000), 4).tasks["size"]
        edges = [1, 2, 3, 4, 5, 8, 9, 16, 17, 32, 33, 64, 65, 128, 129, 256, 257]
        counts = np.histogram(published, edges)[0]
        expected = np.histogram(ours, edges)[0] / 10
        # Chi-squared with 15 degrees of freedom has mean 15 and standard deviation 5.5; our own
        # counts add a tenth to it.
        assert np.sum((counts - expected) ** 2 / expected) < 15 + 4 * 5.5

    def test_run_times(self, trace_dir: Path) -> None:
        published = read_swf(trace_dir / "swf" / "lublin_256.swf.gz").run_us
        ours = generate_lublin(one_class(WHOLE_SAMPLE, 100_000), 4).run_us
        assert _largest_gap_of_distributions(published, ours) < _kolmogorov(10_000, 100_000)

    def test_gaps(self, trace_dir: Path) -> None:
        published = np.diff(read_swf(trace_dir / "swf" / "lublin_256.swf.gz").tasks["submit_us"])
        ours = np.diff(generate_lublin(one_class(WHOLE_SAMPLE, 100_000), 4).tasks["submit_us"])
        # Gaps of one busy half hour are alike, so there are fewer independent ones than gaps: twice
        # the bound of independent draws.
        assert _largest_gap_of_distributions(published, ours) < 2 * _kolmogorov(9_999, 99_999)

    def test_work_per_task(self, trace_dir: Path) -> None:
        published = read_swf(trace_dir / "swf" / "lublin_256.swf.gz")
        ours = generate_lublin(one_class(WHOLE_SAMPLE, 100_000), 4)
        work, model = (w.run_us / 1e6 * w.tasks["size"] for w in (published, ours))
        error = math.sqrt(np.var(work) / len(work) + np.var(model) / len(model))
        assert abs(np.mean(work) - np.mean(model)) < 4 * error


def _largest_gap_of_distributions(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """Kolmogorov-Smirnov distance of two samples."""
    points = np.unique(np.concatenate([a, b]))
    ranks = [np.searchsorted(np.sort(x), points, side="right") / len(x) for x in (a, b)]
    return float(np.max(np.abs(ranks[0] - ranks[1])))


def _kolmogorov(n: int, m: int) -> float:
    """Distance that two samples of one distribution exceed once in 1,000 times."""
    return 1.95 * math.sqrt((n + m) / (n * m))


def test_median_load_of_the_models_own_arrivals() -> None:
    # 200 workloads of 10,000 whole-sample tasks have a load of 0.88 with deviation 0.07 (heavy-
    # tailed gaps); lublin_256, at 1.06, is an unusual draw. The median of 15 is within 4 x 0.023.
    config = one_class(WHOLE_SAMPLE, 10_000)
    loads = [offered_load(generate_lublin(config, seed)) for seed in range(15)]
    assert np.median(loads) == pytest.approx(0.88, abs=0.09)


@pytest.mark.parametrize("load", [0.3, 1.06, 2.0])
def test_target_load_is_reached(load: float) -> None:
    workload = generate_lublin(LublinConfig(load=load, num_tasks=2000), 3)
    # Whole seconds in a span of days.
    assert offered_load(workload) == pytest.approx(load, rel=1e-5)


def test_load_only_moves_submit_times() -> None:
    free = generate_lublin(LublinConfig(num_tasks=500), 3)
    loaded = generate_lublin(LublinConfig(num_tasks=500, load=0.9), 3)
    assert np.array_equal(free.run_us, loaded.run_us)
    assert np.array_equal(free.tasks["size"], loaded.tasks["size"])
    factor = np.diff(loaded.tasks["submit_us"]).sum() / np.diff(free.tasks["submit_us"]).sum()
    shift = (free.tasks["submit_us"] - free.tasks["submit_us"][0]) * factor
    assert np.abs(loaded.tasks["submit_us"] - loaded.tasks["submit_us"][0] - shift).max() <= 1e6


@pytest.mark.parametrize("processors", [1, 2, 3, 5, 8, 100, 4096])
def test_every_machine_size(processors: int) -> None:
    workload = generate_lublin(LublinConfig(processors=processors, num_tasks=3000), 0)
    assert workload.tasks["size"].min() >= 1
    assert workload.tasks["size"].max() <= processors
    assert workload.name == f"lublin-{processors}"
    workload.window(0, 50).check_feasible()


def test_times_are_whole_seconds_from_one() -> None:
    workload = generate_lublin(LublinConfig(estimate_factor_max=5), 0)
    tasks = workload.tasks
    for column in (tasks["submit_us"], tasks["requested_us"], workload.run_us):
        assert np.all(column % 1_000_000 == 0)
        assert column.min() >= 1_000_000
    assert workload.run_us.max() <= math.exp(12) * 1e6
    assert workload.skipped == {}


def test_requested_times() -> None:
    exact = generate_lublin(LublinConfig(num_tasks=5000), 6)
    assert np.array_equal(exact.tasks["requested_us"], exact.run_us)
    rough = generate_lublin(LublinConfig(num_tasks=5000, estimate_factor_max=5), 6)
    assert np.array_equal(rough.run_us, exact.run_us)
    long = rough.run_us > 1000 * 1_000_000
    factor = rough.tasks["requested_us"][long] / rough.run_us[long]
    assert factor.min() >= 1
    assert factor.max() <= 5.001  # rounding up adds at most 1 s of 1000
    error = 4 * math.sqrt(16 / 12 / long.sum())  # uniform(1, 5): variance 16 / 12
    assert factor.mean() == pytest.approx(3, abs=error + 0.001)


def test_same_seed_same_workload() -> None:
    config = LublinConfig(num_tasks=300, estimate_factor_max=2, load=0.8)
    first, again = generate_lublin(config, 5), generate_lublin(config, np.random.default_rng(5))
    other = generate_lublin(config, 6)
    for column, same in zip(first.tasks, again.tasks, strict=True):
        assert np.array_equal(column, same)
    assert np.array_equal(first.run_us, again.run_us)
    assert not np.array_equal(first.run_us, other.run_us)


class TestConfig:
    def test_classes_by_name(self) -> None:
        config = load_settings(LublinConfig, {"classes": ["whole-sample", "batch"]}, "lublin")
        assert config.classes == (WHOLE_SAMPLE, BATCH)
        assert LublinConfig().classes == (BATCH, INTERACTIVE)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"classes": ["bach"]}, "unknown class 'bach', did you mean 'batch'"),
            ({"classes": []}, "classes: .*at least 1 item"),
            ({"processors": 0}, "processors: .*greater than or equal to 1, got 0"),
            ({"num_tasks": 0}, "num_tasks: .*greater than or equal to 1, got 0"),
            ({"load": 0}, "load: .*greater than 0, got 0"),
            ({"load": float("nan")}, "load: .*finite"),
            ({"load": 0.5, "num_tasks": 1}, "load needs num_tasks >= 2"),
            ({"estimate_factor_max": 0.5}, "estimate_factor_max: .*greater than or equal to 1"),
            ({"tasks": 5}, "unknown setting 'tasks'; did you mean 'num_tasks'"),
        ],
    )
    def test_refused(self, settings: dict[str, object], message: str) -> None:
        with pytest.raises(ConfigError, match=f"lublin: .*{message}"):
            load_settings(LublinConfig, settings, "lublin")

    def test_load_out_of_reach(self) -> None:
        for load in (1e9, 1e-12):
            with pytest.raises(ConfigError, match="with this load all tasks would arrive within"):
                generate_lublin(LublinConfig(load=load, num_tasks=100), 0)

    @pytest.mark.parametrize("name", ["longest_log_gap", "longest_log_run_time"])
    def test_limits_that_leave_nothing(self, name: str) -> None:
        config = LublinConfig.model_validate({name: 1e-6, "num_tasks": 10})
        with pytest.raises(ConfigError, match=f"{name} of 1e-06 is below almost everything"):
            generate_lublin(config, 0)
