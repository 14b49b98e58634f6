from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_rl.core.errors import ConfigError, WorkloadError
from lepton_rl.workloads.splits import Split, sample_windows, split_windows


def test_default_shares() -> None:
    train, validation, test = split_windows(10_000, 1024)
    assert train == Split("train", 0, 5999)
    assert validation == Split("validation", 6000, 7999)
    assert test == Split("test", 8000, 9999)
    assert [len(train), len(validation), len(test)] == [6000, 2000, 2000]


@given(
    num_tasks=st.integers(10, 10_000),
    train=st.floats(0.1, 0.6),
    validation=st.floats(0.1, 0.3),
)
def test_splits_are_contiguous_and_cover_all_rows(
    num_tasks: int, train: float, validation: float
) -> None:
    splits = split_windows(num_tasks, 1, train, validation)
    rows = [range(split.first, split.last + 1) for split in splits]
    assert [row for each in rows for row in each] == list(range(num_tasks))


@pytest.mark.parametrize(
    ("train", "validation"), [(0, 0.2), (0.6, 0), (0.8, 0.2), (-1, 0.5), (float("nan"), 0.2)]
)
def test_bad_shares(train: float, validation: float) -> None:
    with pytest.raises(ConfigError, match="train and validation must be > 0 and leave something"):
        split_windows(100, 1, train, validation)


def test_too_short_for_a_window_names_the_lengths() -> None:
    message = "validation would get 200 of 1000 tasks, fewer than one window of 256"
    with pytest.raises(WorkloadError, match=message):
        split_windows(1000, 256)


def test_bad_lengths_and_rows() -> None:
    with pytest.raises(ConfigError, match="window length must be a whole number"):
        split_windows(1000, 0)
    with pytest.raises(ConfigError, match="number of windows must be a whole number"):
        sample_windows(Split("train", 0, 9), 2, 0)
    with pytest.raises(ConfigError, match=r"expected 0 <= first <= last, got 5\.\.4"):
        Split("train", 5, 4)


def test_evenly_spaced_windows_reach_both_ends() -> None:
    starts = sample_windows(Split("test", 100, 199), length=20, count=5)
    assert starts.tolist() == [100, 120, 140, 160, 180]
    assert sample_windows(Split("test", 100, 199), 100, 1).tolist() == [100]


@given(
    first=st.integers(0, 50),
    extra=st.integers(0, 300),
    length=st.integers(1, 40),
    share=st.floats(0, 1),
    seed=st.none() | st.integers(0, 99),
)
def test_windows_differ_and_lie_within_the_split(
    first: int, extra: int, length: int, share: float, seed: int | None
) -> None:
    split = Split("train", first, first + length - 1 + extra)
    count = 1 + int(share * extra)
    starts = sample_windows(split, length, count, seed)
    assert len(set(starts.tolist())) == count
    assert np.all(np.diff(starts) > 0)
    assert starts[0] >= split.first
    assert starts[-1] + length - 1 <= split.last


def test_seeded_windows_are_deterministic() -> None:
    split = Split("train", 0, 5999)
    assert np.array_equal(sample_windows(split, 64, 20, 7), sample_windows(split, 64, 20, 7))
    assert not np.array_equal(sample_windows(split, 64, 20, 7), sample_windows(split, 64, 20, 8))


def test_too_many_windows_names_the_numbers() -> None:
    with pytest.raises(
        WorkloadError, match="10 tasks and so 3 windows of 8, fewer than the 4 asked"
    ):
        sample_windows(Split("train", 0, 9), 8, 4)
    with pytest.raises(WorkloadError, match="10 tasks and so 0 windows of 11"):
        sample_windows(Split("train", 0, 9), 11, 1, 0)
