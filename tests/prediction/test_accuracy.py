from __future__ import annotations

import pytest

from lepton_rl.core.errors import ConfigError
from lepton_rl.prediction.accuracy import accuracy_of, accuracy_table


def test_formulas_by_hand() -> None:
    found = accuracy_of(
        run_s=[10, 100, 50, 40],
        predicted_s=[20, 50, 50, 10],
        upper_s=[20, 80, 60, 40],
        quantile=0.9,
    )

    assert found.tasks == 4
    assert found.mean_accuracy == pytest.approx((0.5 + 0.5 + 1 + 0.25) / 4)
    assert found.underestimated == 2 / 4
    assert found.mean_absolute_error_s == (10 + 50 + 0 + 30) / 4
    assert found.mean_factor == pytest.approx((2 + 0.5 + 1 + 0.25) / 4)
    assert found.median_factor == pytest.approx((0.5 + 1) / 2)
    assert found.covered == 3 / 4
    # 10 s too much costs 0.1 each second, 20 s too little 0.9.
    assert found.pinball_loss_s == pytest.approx((0.1 * 10 + 0.9 * 20 + 0.1 * 10 + 0) / 4)


def test_a_perfect_prediction() -> None:
    found = accuracy_of([1, 2], [1, 2], [1, 2], 0.9)

    assert (found.mean_accuracy, found.underestimated, found.covered) == (1, 0, 1)
    assert (found.mean_absolute_error_s, found.pinball_loss_s) == (0, 0)


@pytest.mark.parametrize(
    ("run_s", "predicted_s", "message"),
    [
        ([], [], "three lists of the same length >= 1"),
        ([1, 2], [1], "same length"),
        ([1, 0], [1, 1], "must be finite and > 0"),
        ([1, 1], [1, -1], "must be finite and > 0"),
        ([1, 1], [1, float("nan")], "must be finite and > 0"),
    ],
)
def test_what_cannot_be_compared(
    run_s: list[float], predicted_s: list[float], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        accuracy_of(run_s, predicted_s, predicted_s, 0.9)


def test_the_table_is_markdown() -> None:
    table = accuracy_table({("log", "oracle"): accuracy_of([2000], [2000], [2500], 0.9)})

    assert table.splitlines()[2] == "| log | oracle | 1.000 | 0.0% | 0 | 1.00 | 1.0 | 100.0% | 50 |"
