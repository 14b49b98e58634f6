"""Names of heuristics: what a spec means, and what is said about a wrong one."""

import pytest

from lepton_rl.core.errors import ConfigError
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.rules.dispatch import DispatchRule
from lepton_rl.core.rules.orders import Order, PriorityWeights
from lepton_rl.core.rules.placement import Place
from lepton_rl.policies.registry import ALL_ORDERS, BASELINES, heuristic, rule_of
from lepton_rl.policies.spec import make_rule, spec_of


def rule(order: Order, place: Place = Place.FIRST_FIT, backfill: Backfill = Backfill.NONE) -> tuple:
    return DispatchRule(int(order), int(place), int(backfill))


def test_the_baselines_in_the_order_of_the_tables() -> None:
    assert [Order[name.upper()] for name in BASELINES] == list(Order)[: len(BASELINES)]
    assert ALL_ORDERS[: len(BASELINES)] == BASELINES
    assert BASELINES[0] == "fcfs"


@pytest.mark.parametrize("name", BASELINES)
def test_each_baseline_is_first_fit_without_backfilling_but_lepton_is_least_loaded(
    name: str,
) -> None:
    place = Place.LEAST_LOADED if name == "lepton" else Place.FIRST_FIT

    assert rule_of(name) == rule(Order[name.upper()], place)
    assert heuristic(name).name == name


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("f4+easy", rule(Order.F4, backfill=Backfill.EASY)),
        ("easy+f4", rule(Order.F4, backfill=Backfill.EASY)),
        ("F4 + Easy", rule(Order.F4, backfill=Backfill.EASY)),
        ("f4,best-fit", rule(Order.F4, Place.BEST_FIT)),
        ("f4+BEST_FIT", rule(Order.F4, Place.BEST_FIT)),
        (
            "order=f4,place=best-fit,backfill=easy",
            rule(Order.F4, Place.BEST_FIT, Backfill.EASY),
        ),
        ("backfill = easy, order = saf", rule(Order.SAF, backfill=Backfill.EASY)),
        ("lepton+first-fit", rule(Order.LEPTON, Place.FIRST_FIT)),
        ("f4+blocking", rule(Order.F4)._replace(blocking=True)),
        ("f4+blocking=true", rule(Order.F4)._replace(blocking=True)),
        ("f4+blocking=false", rule(Order.F4)),
        (
            "fcfs+fixed_shadow+blocking",
            rule(Order.FCFS, backfill=Backfill.FIXED_SHADOW)._replace(blocking=True),
        ),
        (
            "lepton,alpha=0.25,gamma=1e-3",
            rule(Order.LEPTON, Place.LEAST_LOADED)._replace(
                weights=PriorityWeights(0.25, 0.5, 1e-3)
            ),
        ),
        (
            "lepton+alpha=1E+20+beta=-2",
            rule(Order.LEPTON, Place.LEAST_LOADED)._replace(
                weights=PriorityWeights(1e20, -2.0, 0.0)
            ),
        ),
    ],
)
def test_specs(spec: str, expected: DispatchRule) -> None:
    assert rule_of(spec) == expected
    assert rule_of(spec_of(expected)) == expected
    assert rule_of(heuristic(spec).name) == expected


def test_the_shortest_spec() -> None:
    assert spec_of(rule_of("order=f4,place=first-fit,backfill=easy,blocking=false")) == "f4+easy"
    assert spec_of(rule_of("lepton,least-loaded,alpha=0.5,beta=2")) == "lepton+beta=2.0"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("fcsf", r"policy 'fcsf': unknown name 'fcsf'; did you mean 'fcfs'\?"),
        ("f4+eazy", r"unknown name 'eazy'; did you mean 'easy'\?"),
        ("order=uniceb", r"order: unknown name 'uniceb'; did you mean 'unicep'\?"),
        ("f4,place=easy", r"place: unknown name 'easy'; known: best-fit, dot-product, fastest"),
        ("f4,plase=best-fit", r"unknown key 'plase'; did you mean 'place'\?"),
        ("f4,backfill=", r"backfill: unknown name ''; known: conservative, easy"),
        ("", r"unknown name ''; known: best-fit"),
        ("f4+", r"policy 'f4\+': unknown name ''"),
        ("easy", r"expected the name of an order, one of fcfs, sjf"),
        ("f4+saf", r"order is given twice"),
        ("f4,order=f4", r"order is given twice"),
        ("f4+blocking=maybe", r"blocking must be true or false, got 'maybe'"),
        ("lepton,alpha=much", r"alpha must be a finite number, got 'much'"),
        ("lepton,alpha=nan", r"alpha must be a finite number, got nan"),
        ("f4+easy+blocking", r"easy does not go with blocking"),
        ("f4+fixed-shadow", r"fixed-shadow .* needs blocking=true"),
    ],
)
def test_wrong_specs(spec: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        rule_of(spec)
    with pytest.raises(ConfigError, match=message):
        heuristic(spec)


def test_keywords_override_the_spec() -> None:
    weights = PriorityWeights(1.0, 2.0, 3.0)
    policy = heuristic("f4+easy", place="best-fit", backfill=Backfill.NONE, weights=weights)

    assert policy.rule == rule(Order.F4, Place.BEST_FIT)._replace(weights=weights)
    assert heuristic("f4", blocking=True).rule.blocking


def test_numbers_have_the_types_of_the_compiled_code() -> None:
    """Anything else would compile every rule once more."""
    made = make_rule(Order.LEPTON, weights=PriorityWeights(1, 0, 2))

    assert [type(value) for value in made.weights] == [float] * 3
    assert [type(value) for value in made[:3]] == [int] * 3


@pytest.mark.parametrize("order", [7, None, "f 4"])
def test_an_order_is_a_name_or_an_order(order: object) -> None:
    with pytest.raises(ConfigError, match="order: "):
        make_rule(order)  # type: ignore[arg-type]


@pytest.mark.parametrize("order", ["ljf", "lepton", "least-slack", "drf", "max-min"])
def test_preemption_is_refused_where_two_tasks_would_stop_each_other_for_ever(order: str) -> None:
    with pytest.raises(ConfigError, match=f"preempt does not go with order {order}"):
        heuristic(f"{order}+preempt")
