from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_rl.core.errors import ConfigError
from lepton_rl.evaluate import Bootstrap, Interval, PairedDifference, Verdict, paired_difference
from lepton_rl.evaluate.statistics import MIN_WINDOWS, _t_quantile

QUICK = Bootstrap(resamples=1000)
OURS = [10.0, 12.0, 9.0, 14.0, 11.0, 10.0, 13.0, 9.0]
THEIRS = [12.0, 13.0, 12.0, 15.0, 12.0, 13.0, 14.0, 12.0]


def test_estimates_by_hand() -> None:
    found = paired_difference(OURS, THEIRS)
    assert found.num_windows == 8
    assert found.difference == pytest.approx((88 - 103) / 8)
    assert found.relative == pytest.approx(88 / 103 - 1)
    assert found.note == ""
    assert found.difference_interval is not None
    assert found.relative is not None
    assert found.relative_interval is not None
    assert found.difference_interval.level == 0.95
    assert -3 <= found.difference_interval.low < found.difference < found.difference_interval.high
    assert found.relative_interval.low < found.relative < found.relative_interval.high
    assert found.verdict is Verdict.BETTER


def test_the_interval_of_few_values_is_the_exact_one() -> None:
    """All 6^6 resamples, against the quantiles of the bootstrap with as many draws."""
    ours = np.array([1.0, 2.0, 4.0, 7.0, 11.0, 16.0])
    draws = np.array(list(itertools.product(range(6), repeat=6)))
    means = np.sort(ours[draws].mean(axis=1))
    # sqrt(6/5) x 2.5706, the t quantile of 5 degrees of freedom, is 2.8160 standard deviations.
    tail = 0.0024314
    exact = means[int(tail * len(means))], means[int((1 - tail) * len(means))]
    found = paired_difference(ours, np.zeros(6), bootstrap=Bootstrap(resamples=200_000))
    assert found.difference_interval is not None
    interval = (found.difference_interval.low, found.difference_interval.high)
    assert interval == pytest.approx(exact, abs=0.2)


def test_sign_follows_the_metric() -> None:
    assert paired_difference(THEIRS, OURS).verdict is Verdict.WORSE
    assert paired_difference(OURS, THEIRS, lower_is_better=False).verdict is Verdict.WORSE
    assert paired_difference(THEIRS, OURS, lower_is_better=False).verdict is Verdict.BETTER
    mixed = [value + change for value, change in zip(THEIRS, [1, -1] * 4, strict=True)]
    assert paired_difference(mixed, THEIRS).verdict is Verdict.NOT_SHOWN


def test_verdict_needs_an_interval_off_zero() -> None:
    def found(low: float, high: float) -> Verdict:
        return PairedDifference(9, 0.5, Interval(low, high, 0.95), None, None).verdict

    assert found(0.0, 1.0) is Verdict.NOT_SHOWN
    assert found(-1.0, 0.0) is Verdict.NOT_SHOWN
    assert found(0.1, 1.0) is Verdict.WORSE
    assert found(-1.0, -0.1) is Verdict.BETTER


def test_pairing_counts() -> None:
    """Windows differ by far more than the policies do; unpaired figures would show nothing."""
    rng = np.random.default_rng(1)
    theirs = rng.lognormal(3, 2, 12)
    ours = theirs * rng.uniform(0.9, 0.97, 12)
    assert paired_difference(ours, theirs).verdict is Verdict.BETTER
    assert paired_difference(ours, np.roll(theirs, 5)).verdict is Verdict.NOT_SHOWN


def test_same_seed_same_interval() -> None:
    first, again = (paired_difference(OURS, THEIRS, bootstrap=QUICK) for _ in range(2))
    other = paired_difference(OURS, THEIRS, bootstrap=Bootstrap(resamples=1000, seed=1))
    assert first == again
    assert other != first


def test_equal_policies() -> None:
    found = paired_difference(OURS, OURS)
    assert found.difference_interval == Interval(0, 0, 0.95)
    assert found.relative_interval == Interval(0, 0, 0.95)
    assert found.verdict is Verdict.NOT_SHOWN


@pytest.mark.parametrize("count", range(1, MIN_WINDOWS))
def test_few_windows_have_no_interval_and_say_so(count: int) -> None:
    found = paired_difference(OURS[:count], THEIRS[:count])
    assert found.difference == pytest.approx(np.mean(OURS[:count]) - np.mean(THEIRS[:count]))
    assert found.relative is not None
    assert (found.difference_interval, found.relative_interval) == (None, None)
    assert found.note == f"no interval: it needs at least 6 windows, got {count}"
    assert found.verdict is Verdict.NOT_SHOWN


def test_no_relative_change_to_zero() -> None:
    found = paired_difference(OURS, [0.0, *THEIRS[1:]])
    assert (found.relative, found.relative_interval) == (None, None)
    assert found.difference_interval is not None
    assert found.note.startswith("no relative change: the other's figure is not above 0")


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        ([1.0, float("nan")], [1.0, 2.0], r"finite figures, got \[nan, 2.0\] for window 1"),
        ([1.0, 2.0], [float("inf"), 2.0], r"finite figures, got \[1.0, inf\] for window 0"),
        ([1.0, 2.0], [1.0], r"one figure .* for each window, got shapes \(2,\) and \(1,\)"),
        ([], [], r"got shapes \(0,\) and \(0,\)"),
        (1.0, 1.0, r"got shapes \(\) and \(\)"),
    ],
)
def test_bad_figures(ours: object, theirs: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        paired_difference(ours, theirs)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": 0.999}, r"level must be a number from 0\.5 to 0\.99, got 0\.999"),
        ({"level": float("nan")}, "level must be a number"),
        ({"resamples": 0}, "resamples must be a whole number from 1"),
        ({"seed": -1}, "seed, where it is not 0, must be a whole number"),
    ],
)
def test_bad_options(options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Bootstrap(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("freedom", "p975", "p995"),
    [
        (5, 2.570582, 4.032143),
        (9, 2.262157, 3.249836),
        (19, 2.093024, 2.860935),
        (99, 1.98422, 2.62641),
    ],
)
def test_quantiles_of_students_t(freedom: int, p975: float, p995: float) -> None:
    """Against the tables."""
    assert _t_quantile(0.975, freedom) == pytest.approx(p975, rel=2e-4)
    assert _t_quantile(0.995, freedom) == pytest.approx(p995, rel=1e-3)


@settings(deadline=None, max_examples=50)
@given(
    pairs=st.lists(
        st.tuples(st.floats(0.5, 100), st.floats(0.5, 100)), min_size=MIN_WINDOWS, max_size=20
    ),
    scale=st.sampled_from([0.25, 4.0]),  # exact in binary
    level=st.sampled_from([0.8, 0.95, 0.99]),
)
def test_intervals_agree_with_each_other(
    pairs: list[tuple[float, float]], scale: float, level: float
) -> None:
    ours, theirs = np.array(pairs).T
    bootstrap = Bootstrap(level=level, resamples=300)
    found = paired_difference(ours, theirs, bootstrap=bootstrap)
    mirrored = paired_difference(theirs, ours, bootstrap=bootstrap)
    scaled = paired_difference(scale * ours, scale * theirs, bootstrap=bootstrap)
    interval, relative = found.difference_interval, found.relative_interval
    assert interval is not None
    assert relative is not None
    assert (np.sign(interval.low), np.sign(interval.high)) == (
        np.sign(relative.low),
        np.sign(relative.high),
    )
    assert min(ours - theirs) - 1e-9 <= interval.low <= interval.high <= max(ours - theirs) + 1e-9
    assert mirrored.difference_interval == Interval(-interval.high, -interval.low, level)
    assert scaled.relative_interval == relative


def test_memory_is_bounded_by_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = paired_difference(OURS, THEIRS, bootstrap=QUICK)
    monkeypatch.setattr("lepton_rl.evaluate.statistics._CHUNK", 80)
    assert paired_difference(OURS, THEIRS, bootstrap=QUICK) == whole


@pytest.mark.parametrize(
    ("windows", "kind", "least", "most"),
    [
        # Out of 500 repeats; the ranges are the module's table, 3 standard errors either side.
        (10, "normal", 460, 490),
        (20, "normal", 460, 490),
        (10, "difference of lognormals", 442, 478),
    ],
)
def test_coverage(windows: int, kind: str, least: int, most: int) -> None:
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(500):
        if kind == "normal":
            ours, theirs = rng.normal([[12.0], [10.0]], 1.0, (2, windows))
            truth = 2.0
        else:
            ours, theirs = rng.lognormal(0.0, 1.0, (2, windows))
            truth = 0.0
        found = paired_difference(ours, theirs, bootstrap=QUICK).difference_interval
        assert found is not None
        held += found.low <= truth <= found.high
    assert least <= held <= most


def test_coverage_of_the_relative_change() -> None:
    rng = np.random.default_rng(8)
    held = 0
    for _ in range(500):
        theirs = rng.uniform(20, 30, 12)
        ours = theirs * 0.8 + rng.normal(0, 2, 12)
        found = paired_difference(ours, theirs, bootstrap=QUICK).relative_interval
        assert found is not None
        held += found.low <= -0.2 <= found.high
    assert 455 <= held <= 490
