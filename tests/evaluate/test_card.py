"""Model cards: what they say comes from the evaluation, and a new measurement is judged fairly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lepton_rl.core.errors import ConfigError, InputFileError
from lepton_rl.evaluate import evaluate, heldout, to_json
from lepton_rl.evaluate.card import Card, Origin, card_of, card_problems, read_card
from lepton_rl.evaluate.card_text import card_markdown, lost_metrics
from lepton_rl.policies.registry import rule_of
from lepton_rl.workloads.lublin import LublinConfig, generate_lublin
from tests.evaluate.small import Learned

ORIGIN = Origin(
    name="small",
    config="small",
    purpose="a test",
    limits=("It is none.",),
    sha256="0" * 64,
    workload="lublin-32",
    seed=7,
    steps=1234,
    revision="abc",
    versions={"lepton_rl": "0"},
)


def document(windows: int = 8) -> dict[str, Any]:
    workload = generate_lublin(LublinConfig(processors=32, num_tasks=3000, load=0.9), 5)
    protocol = heldout(workload, length=64, count=windows)
    heuristics = {name: rule_of(name) for name in ("fcfs", "sjf")}
    return to_json(evaluate(protocol, workload, heuristics, [Learned("ours", rule_of("f4"))]))


@pytest.fixture(scope="module")
def card() -> Card:
    return card_of(ORIGIN, document(), "ours")


def test_its_figures_are_those_of_the_evaluation(card: Card) -> None:
    setting = document()["settings"][0]
    ours = next(each for each in setting["contenders"] if each["name"] == "ours")
    heuristics = [each["name"] for each in setting["contenders"] if each["is_heuristic"]]

    assert card.figures == ours["figures"]
    assert list(card.per_window) == ours["per_window"]["mean_bounded_slowdown"]
    assert [rival.name for rival in card.rivals] == heuristics
    assert card.rivals[0].interval == tuple(setting["differences"][0]["difference_interval"])
    assert card.verdict == setting["verdict"]
    assert len(card.windows) == len(card.per_window) == 8


def test_it_survives_a_file(card: Card, tmp_path: Path) -> None:
    path = tmp_path / "small.json"
    path.write_text(card.model_dump_json())

    assert read_card(path) == card


def test_the_page_says_where_it_loses(card: Card) -> None:
    page = card_markdown(card)

    for needed in (
        "a test",
        "lublin-32",
        "training 7",
        "| fcfs |",
        "## Where it loses",
        "It is none.",
    ):
        assert needed in page
    for name, (ours, theirs) in lost_metrics(card).items():
        assert (ours < theirs) == (name in {"utilisation", "jain_fairness"})
    worse = sum(a > b for a, b in zip(card.per_window, card.best_per_window, strict=True))
    assert f"In {worse} of 8 windows it is worse than {card.rivals[0].name}." in page


def test_too_few_windows_make_no_card() -> None:
    with pytest.raises(ConfigError, match=r"six windows or more.*got 4 windows"):
        card_of(ORIGIN, document(4), "ours")
    with pytest.raises(ConfigError, match="has only"):
        card_of(ORIGIN, document(), "theirs")


def test_the_same_measurement_bears_it_out(card: Card) -> None:
    rows = [0, 3, 7]
    ours = [card.per_window[row] for row in rows]
    best = [card.best_per_window[row] for row in rows]

    assert card_problems(card, rows, ours, best) == []
    assert "workload or rules have changed" in card_problems(card, rows, ours, [-1.0, *best[1:]])[0]


def test_a_policy_that_got_worse_is_told(card: Card) -> None:
    rows = list(range(8))
    much_worse = [10 * value + 1000 for value in card.per_window]

    (problem,) = card_problems(card, rows, much_worse, card.best_per_window)

    assert "outside of the card's interval" in problem


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"card_version": 2}, "card_version"),
        ({"headline": "speed"}, "known headline metric"),
        ({"per_window": [1.0]}, "figure for each window"),
        ({"surprise": 1}, "surprise"),
    ],
    ids=str,
)
def test_what_is_no_card_is_refused(
    card: Card, tmp_path: Path, change: dict[str, Any], expected: str
) -> None:
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({**card.model_dump(mode="json"), **change}))

    with pytest.raises(InputFileError, match=expected):
        read_card(path)


def test_a_missing_card_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="cannot read"):
        read_card(tmp_path / "none.json")
