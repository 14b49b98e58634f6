from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from lepton_rl.core.errors import ConfigError
from lepton_rl.prediction.boosted import BoostedQuantiles
from lepton_rl.prediction.classes import ClassQuantiles
from lepton_rl.prediction.predictor import Prediction, TaskFeatures
from tests.prediction.small import require_scikit_learn, task


def small_tasks_are_short(count: int) -> list[tuple[TaskFeatures, float]]:
    """Size 1 runs for 100 to 200 s, size 64 for 1000 to 2000 s, uniformly; a tenant a task."""
    rng = np.random.default_rng(7)
    sizes = rng.choice([1, 64], size=count).tolist()
    runs = [(100 if size == 1 else 1000) * (1 + rng.random()) for size in sizes]
    return [
        (task(f"tenant {i}", size, 5000, 60.0 * i), run)
        for i, (size, run) in enumerate(zip(sizes, runs, strict=True))
    ]


def taught(predictor: BoostedQuantiles, count: int) -> BoostedQuantiles:
    for features, run_s in small_tasks_are_short(count):
        predictor.ask(features)
        predictor.observe(features, run_s)
    return predictor


@pytest.fixture(scope="module")
def trained() -> BoostedQuantiles:
    require_scikit_learn()
    return taught(BoostedQuantiles(quantile=0.9, first_training=600), 600)


def test_it_learns_quantiles(trained: BoostedQuantiles) -> None:
    small, large = (trained.predict(task("new", size, 5000, 1e5)) for size in (1, 64))

    assert small.median_s == pytest.approx(150, rel=0.1)
    assert small.upper_s == pytest.approx(190, rel=0.1)
    assert large.median_s == pytest.approx(1500, rel=0.1)
    assert large.upper_s == pytest.approx(1900, rel=0.1)


def test_until_trained_it_answers_by_class() -> None:
    require_scikit_learn()
    predictor, by_class = BoostedQuantiles(first_training=50), ClassQuantiles()
    for features, run_s in small_tasks_are_short(49):
        predictor.observe(features, run_s)
        by_class.observe(features, run_s)

    assert predictor.predict(task()) == by_class.predict(task())


def test_many_answers_are_the_same_as_one_by_one(trained: BoostedQuantiles) -> None:
    asked = [task("new", size, requested) for size in (1, 8, 64) for requested in (50, 5000)]

    assert trained.answer([trained.ask(each) for each in asked]) == [
        trained.predict(each) for each in asked
    ]


def test_a_question_keeps_its_answer() -> None:
    require_scikit_learn()
    predictor = taught(BoostedQuantiles(first_training=100, retrain_every=10), 100)
    question = predictor.ask(task("new"))
    before = predictor.answer([question])
    for _ in range(20):
        predictor.observe(task("new"), 1)

    assert predictor.answer([question]) == before
    assert predictor.predict(task("new")) != before[0], "retrained since"


def test_the_same_history_gives_the_same_predictions(trained: BoostedQuantiles) -> None:
    again = taught(BoostedQuantiles(quantile=0.9, first_training=600), 600)

    assert again.predict(task(size=3)) == trained.predict(task(size=3))


def test_the_upper_figure_is_never_below_the_median(trained: BoostedQuantiles) -> None:
    rng = np.random.default_rng(3)
    questions = [
        trained.ask(task("x", float(size), float(requested), float(at)))
        for size, requested, at in zip(
            rng.uniform(1, 99, 500),
            rng.uniform(1, 9999, 500),
            rng.uniform(0, 1e6, 500),
            strict=True,
        )
    ]

    assert all(each.upper_s >= each.median_s > 0 for each in trained.answer(questions))


def test_it_learns_from_the_row_of_the_submission() -> None:
    require_scikit_learn()
    predictor = BoostedQuantiles()
    first, second = task("ada", submit_s=0), task("ada", submit_s=1)
    as_submitted = predictor.ask(second).row
    predictor.observe(first, 50)  # ends before the second does, after it was submitted
    predictor.observe(second, 50)

    assert predictor._rows[-1] == as_submitted


def test_without_scikit_learn_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(
        ConfigError, match=r"needs scikit-learn.*pip install 'lepton-rl\[predict\]'"
    ):
        BoostedQuantiles()


def test_nothing_to_answer(trained: BoostedQuantiles) -> None:
    assert trained.answer([]) == []
    assert isinstance(trained.predict(task()), Prediction)
