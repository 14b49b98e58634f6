from __future__ import annotations

import pytest

from lepton_rl.core.errors import ConfigError
from lepton_rl.core.settings import load_settings
from lepton_rl.prediction.baselines import LastTwo, UserEstimate
from lepton_rl.prediction.classes import ClassQuantiles
from lepton_rl.prediction.config import PredictionConfig, estimate_s, make_predictor
from lepton_rl.prediction.predictor import Prediction
from tests.prediction.small import require_scikit_learn, task


def load(**settings: object) -> PredictionConfig:
    return load_settings(PredictionConfig, settings, "prediction")


def test_users_estimates_are_the_default() -> None:
    assert load().kind == "user-estimate"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("user-estimate", UserEstimate),
        ("last-two", LastTwo),
        ("class-quantiles", ClassQuantiles),
    ],
)
def test_each_kind_makes_its_predictor(kind: str, expected: type) -> None:
    assert type(make_predictor(load(kind=kind))) is expected


def test_boosted_makes_its_predictor() -> None:
    require_scikit_learn()
    assert type(make_predictor(load(kind="boosted"))).__name__ == "BoostedQuantiles"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "oracle"}, "kind: .*'user-estimate', 'last-two', 'class-quantiles' or 'boosted'"),
        ({"knd": "boosted"}, "unknown setting 'knd'; .*kind"),
        ({"estimate": "mean"}, "estimate: .*'median' or 'upper'"),
        ({"quantile": 1}, "quantile: .*less than 1"),
        ({"quantile": 0.2}, "quantile: .*greater than or equal to 0.5"),
        ({"quantile": "0.9"}, "quantile: expected a number"),
        ({"window": 10}, "window: .*greater than or equal to 100"),
        ({"retrain_every": 0}, "retrain_every: .*greater than or equal to 1"),
        ({"class_window": 0}, "class_window: .*greater than or equal to 1"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"prediction: {message}"):
        load(**settings)


@pytest.mark.parametrize(
    ("estimate", "cap", "expected_s"),
    [("median", True, 80), ("upper", True, 100), ("upper", False, 120)],
)
def test_what_policies_see(estimate: str, cap: bool, expected_s: float) -> None:
    config = load(estimate=estimate, cap=cap)

    assert estimate_s(Prediction(80, 120), task(requested_s=100), config) == expected_s
