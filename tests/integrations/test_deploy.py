"""The files in deploy/ name figures, events and options that there are."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from lepton_rl.cli import app
from lepton_rl.integrations.http.settings import ServeSettings
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


def test_metrics_of_a_running_service_have_every_figure_asked_for() -> None:
    import_reason = "needs lepton-rl[serve]"
    pytest.importorskip("fastapi", reason=import_reason)
    httpx = pytest.importorskip("httpx", reason=import_reason)
    from tests.integrations.http.conftest import TOKEN, make_service, serving

    with serving(make_service()) as url:
        answer = httpx.get(f"{url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", answer.text, re.M))
    exported = set(kinds)
    for name, kind in kinds.items():
        exported |= {f"{name}{ending}" for ending in ENDINGS if kind == "histogram"}
    asked = {name for each in expressions() for name in re.findall(r"\blepton_[a-z_]+", each)}
    assert len(asked) > 10
    assert asked <= exported


def test_the_image_copies_what_there_is() -> None:
    """And what it installs from needs nothing else: the readme and the version are read."""
    root, docker = DEPLOY.parent, (DEPLOY / "Dockerfile").read_text()
    copied: list[str] = []
    for line in re.findall(r"^COPY (?!--from)(.+)$", docker, re.M):
        *sources, _ = line.split()
        copied += sources
    assert {"pyproject.toml", "lepton_rl", "constraints.txt"} <= set(copied)
    assert [name for name in copied if not (root / name).exists()] == []
    stages = re.findall(r"^FROM \S+(?: AS (\w+))?$", docker, re.M)
    assert set(re.findall(r"--from=(\w+)", docker)) <= set(stages)
    assert "USER lepton" in docker


def test_ports_are_those_of_the_service() -> None:
    port = str(ServeSettings.model_fields["port"].default)
    scrape = yaml.safe_load((DEPLOY / "prometheus" / "scrape.yaml").read_text())
    assert scrape[0]["static_configs"][0]["targets"] == [f"127.0.0.1:{port}"]
    assert f"EXPOSE {port}" in (DEPLOY / "Dockerfile").read_text()


EXTENDER = {
    "urlPrefix", "filterVerb", "preemptVerb", "prioritizeVerb", "weight", "bindVerb",
    "enableHTTPS", "tlsConfig", "httpTimeout", "nodeCacheCapable", "managedResources", "ignorable",
}  # fmt: skip
"""Fields of `Extender` in kubescheduler.config.k8s.io/v1."""


def test_the_extender_of_the_docs_is_one() -> None:
    page = (DEPLOY.parent / "docs" / "serve.md").read_text()
    (block,) = (
        text for text in re.findall(r"```yaml\n(.*?)```", page, re.S) if "extenders" in text
    )
    (extender,) = yaml.safe_load(block)["extenders"]
    assert set(extender) <= EXTENDER
    assert extender["urlPrefix"].endswith("/kubernetes")
    assert {extender["filterVerb"], extender["prioritizeVerb"]} == {"filter", "prioritize"}
    assert extender["weight"] > 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "lepton-rl.service"
    text = (DEPLOY / "lepton-rl.service").read_text()
    unit.write_text(text.replace("/opt/lepton/bin/lepton-rl", sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60
    )
    assert str(unit) not in done.stderr
    assert "lepton-rl.service:" not in done.stderr
