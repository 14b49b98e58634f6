"""Every command and every Python example of the README runs, as a newcomer would run it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.results_picture import PICTURE, picture
from lepton_rl.evaluate.card import read_card
from lepton_rl.evaluate.card_text import change_of
from lepton_rl.policies.shipped import card_path
from tests.documents import ROOT, broken_links, commands, run_page

README = ROOT / "README.md"


def test_commands_and_examples_in_order(tmp_path: Path) -> None:
    assert run_page(README, tmp_path) >= 6


def test_train_py_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "train.py", "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "Train a policy" in done.stdout


def make_commands() -> list[str]:
    return [command for command in commands(README) if command.startswith("make ")]


def test_the_two_commands_come_first() -> None:
    assert commands(README)[:2] == ["make train", "make test"] == make_commands()


TARGETS = ["train", "test", "test-slow", "retrain", "docs", "dist", "coverage"]


@pytest.mark.parametrize("target", TARGETS)
def test_make_targets_exist(target: str) -> None:
    # `make test` is what runs this test and `make train` takes minutes: CI runs the one, and
    # tests/learning the other's command.
    result = subprocess.run(
        shlex.split(f"make {target} --dry-run"), cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


def test_every_linked_file_exists() -> None:
    assert broken_links(README) == []


def test_the_picture_is_drawn_from_the_card() -> None:
    assert PICTURE.read_text(encoding="utf-8") == picture(read_card(card_path("hpc")))


def test_the_results_table_says_what_the_card_says() -> None:
    card = read_card(card_path("hpc"))
    change = change_of(card.rivals[0], card.headline)
    assert f"mean bounded slowdown {change}" in README.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["load-balancing", "virtualisation", "ml-platform", "gpu-cluster"])
def test_pages_say_of_other_shipped_policies_what_their_cards_say(name: str) -> None:
    card = read_card(card_path(name))
    change = change_of(card.rivals[0], card.headline)
    for page in (README, ROOT / "docs" / "results.md"):
        assert change in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["edge", "stream-processing", "autonomous-driving"])
def test_pages_say_of_deadlines_what_the_cards_say(name: str) -> None:
    best = read_card(card_path(name)).rivals[0]
    low, high = (f"{100 * end:+.2f}" for end in best.interval)
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert f"{100 * best.difference:+.2f} points ({low} to {high})" in text
