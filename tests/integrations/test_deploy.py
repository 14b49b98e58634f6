"""The files in deploy/ name figures, events and options that there are."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from lepton_rl.cli import app
from lepton_rl.policies.guard import Cause
from lepton_rl.system.metrics import METRICS, MetricKind

DEPLOY = Path(__file__).parents[2] / "deploy"
ENDINGS = ("_bucket", "_sum", "_count")
EXPORTED = {
    f"{metric.name}{ending}"
    for metric in METRICS
    for ending in (ENDINGS if metric.kind is MetricKind.HISTOGRAM else ("",))
}
EVENTS = {"policy-benched", "fallback-.*", *(f"fallback-{cause}" for cause in Cause)}


def expressions() -> list[str]:
    board = json.loads((DEPLOY / "grafana" / "lepton-rl.json").read_text())
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return asked + [rule["expr"] for group in rules["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("expression", expressions())
def test_every_figure_is_exported(expression: str) -> None:
    asked = set(re.findall(r"\blepton_[a-z_]+", expression))
    assert asked <= EXPORTED
    assert asked or expression.startswith("up{")
    for event in re.findall(r'event=~?"([^"]+)"', expression):
        assert event in EVENTS
    assert expression.count("(") == expression.count(")")


def test_labels_are_those_of_the_figures() -> None:
    labels = {metric.name: set(metric.labels) for metric in METRICS}
    board = json.loads((DEPLOY / "grafana" / "lepton-rl.json").read_text())
    for panel in board["panels"]:
        for target in panel["targets"]:
            (name,) = re.findall(r"\blepton_[a-z_]+", target["expr"])[:1]
            plain = re.sub(r"_(bucket|sum|count)$", "", name)
            wanted = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            assert wanted <= labels.get(name, labels.get(plain, set()))


def test_panels_do_not_overlap() -> None:
    board = json.loads((DEPLOY / "grafana" / "lepton-rl.json").read_text())
    places = [panel["gridPos"] for panel in board["panels"]]
    cells = [
        (place["x"] + x, place["y"] + y)
        for place in places
        for x in range(place["w"])
        for y in range(place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in board["panels"]}) == len(places)


def options_of(command: str) -> set[str]:
    group: Any = typer.main.get_command(app)
    found = group.commands[command]
    return {option for each in found.params for option in each.opts}


def test_commands_have_the_options() -> None:
    unit = (DEPLOY / "lepton-rl.service").read_text()
    started = re.search(r"^ExecStart=(.+)$", unit, re.M)
    docker = (DEPLOY / "Dockerfile").read_text()
    words = shlex.split(started[1]) if started else []
    for line in re.findall(r"^(?:ENTRYPOINT|CMD) (\[.+\])$", docker, re.M):
        words += json.loads(line)
    asked = {word for word in words if word.startswith("--")}
    assert len(asked) >= 5
    assert asked <= options_of("serve")
