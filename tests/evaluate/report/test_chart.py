from __future__ import annotations

import numpy as np
import pytest

from lepton_rl.evaluate.report.chart import Axis, box_mark, line_mark
from lepton_rl.evaluate.report.drawings import bars, number_text, whiskers


def test_linear_axis() -> None:
    axis = Axis.over(np.array([3.0, 97.0]))
    assert (axis.low, axis.high) == (0, 97)
    assert axis.ticks() == [0, 50]
    assert axis.ticks(6) == [0, 20, 40, 60, 80]
    assert (axis.place(-5), axis.place(97), axis.place(200)) == (0, 1, 1)


def test_logarithmic_axis() -> None:
    axis = Axis.over(np.array([0.0, 2.0, 700.0, np.nan]), is_log=True)
    assert (axis.low, axis.high) == (1, 1000)
    assert axis.ticks() == [1, 10, 100, 1000]
    assert axis.place(10) == pytest.approx(1 / 3)
    assert axis.place(0) == 0


@pytest.mark.parametrize("values", [[], [0.0], [5.0, 5.0], [np.nan]])
@pytest.mark.parametrize("is_log", [False, True])
def test_an_axis_over_little_is_still_one(values: list[float], is_log: bool) -> None:
    axis = Axis.over(np.array(values), is_log=is_log)
    assert axis.high > axis.low
    assert axis.ticks()


def test_marks_escape_text() -> None:
    mark = box_mark(0, 0, 0.5, 1, "s0", "<script>&")
    assert "<title>&lt;script&gt;&amp;</title>" in mark
    assert "<script>" not in mark


def test_steps_go_level_until_the_next_value() -> None:
    line = line_mark([0, 0.5, 1], [0, 1, 1], "s1", steps=True)
    assert 'points="0.0,1000.0 500.0,1000.0 500.0,0.0 1000.0,0.0 1000.0,0.0"' in line


@pytest.mark.parametrize(
    ("value", "text"), [(0.25, "0.25"), (12.0, "12"), (3400.0, "3,400"), (2e6, "2M")]
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number_text(value) == text


def test_bars_and_whiskers_have_a_row_for_each_name() -> None:
    chart = bars("b", {"a": 1.0, "c": 3.0})
    assert [label.text for label in chart.y_labels] == ["a", "c"]
    assert [label.text for label in chart.ends] == ["1", "3"]
    drawn = whiskers("w", [("fcfs", -10.0, -30.0, 5.0, "even"), ("sjf", 4000.0, 1.0, 9e9, "bad")])
    assert drawn.marks.count("<rect") == 4
    assert drawn.x_labels[0].text == "-100 %"
