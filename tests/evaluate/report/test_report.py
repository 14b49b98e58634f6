"""The page of a run, as people get it: in a browser on a laptop and on a phone."""

from __future__ import annotations

import csv
import json
import shutil
from io import StringIO
from pathlib import Path

import pytest

from lepton_rl.cli import main
from lepton_rl.core.errors import InputFileError
from lepton_rl.evaluate import METRICS
from tests.evaluate.report.browser import look_at
from tests.test_cli import trace
from tests.trained import random_policy_file

pytest.importorskip("jinja2", reason="jinja2 is not installed (extra report)")

VIEWPORTS = {"laptop": (1366, 768), "phone": (390, 844)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `evaluate --out` leaves, in a folder with a name that must be escaped."""
    folder = tmp_path_factory.mktemp("report")
    out = folder / "<b>run & 調度"
    rows = [(3 * i, 20 + 7 * i % 60, 1 + 5 * i % 7) for i in range(600)]
    work = trace(folder / "log.swf", rows)
    options = ["--windows", "6", "--length", "16", "--hindsight", "10", "--out", str(out)]
    policy = ["--policy", str(random_policy_file())]
    assert main(["evaluate", "--workload", work, *policy, *options]) == 0
    assert main(["report", str(out)]) == 0
    return out


def page(run: Path) -> str:
    return (run / "report.html").read_text(encoding="utf-8")


def test_the_page_is_complete_and_loads_nothing(run: Path) -> None:
    text = page(run)
    verdict = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))["settings"][0]
    assert verdict["verdict"] in text
    for title in ("Utilisation", "Efficiency", "Stability", "Scalability", "What moved"):
        assert title in text
    for name in ("fcfs", "hindsight (found)", "bound (proven)"):
        assert f"<td>{name}</td>" in text
    assert "<script" not in text
    assert "http" not in text
    assert "src=" not in text


def test_names_are_escaped(run: Path) -> None:
    assert "<b>run" not in page(run)
    assert "&lt;b&gt;run &amp; 調度" in page(run)


def test_other_formats_have_the_same_figures(run: Path, tmp_path: Path) -> None:
    files = {}
    for kind in ("json", "csv", "md"):
        files[kind] = tmp_path / f"report.{kind}"
        assert main(["report", str(run), "--format", kind, "--out", str(files[kind])]) == 0
    document = json.loads(files["json"].read_text(encoding="utf-8"))
    (setting,) = document["evaluation"]["settings"]
    best = setting["contenders"][0]
    assert {each["name"] for each in document["stability"]} >= {"fcfs"}
    assert document["effects"]
    rows = list(csv.DictReader(StringIO(files["csv"].read_text(encoding="utf-8"))))
    assert {row["metric"] for row in rows} == set(METRICS)
    key = (best["name"], "mean_wait_s", "")
    (row,) = (r for r in rows if (r["contender"], r["metric"], r["window"]) == key)
    assert float(row["value"]) == best["figures"]["mean_wait_s"]
    markdown = files["md"].read_text(encoding="utf-8")
    assert setting["verdict"] in markdown
    assert f"| 1 | {best['name']} |" in markdown


def test_without_its_workload_the_rest_is_reported(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    source = copy / "evaluated.yaml"
    text = source.read_text(encoding="utf-8").replace("log.swf", "moved.swf")
    source.write_text(text, encoding="utf-8")
    assert main(["report", str(copy)]) == 0
    assert "Schedules, stability and scalability are missing" in page(copy)
    assert "Efficiency" in page(copy)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected the folder of `lepton-rl train`"),
        ("{", "not JSON"),
        ('{"schema_version": 1}', "schema_version is 1, this version of lepton-rl needs 2"),
    ],
)
def test_other_folders_are_refused(
    content: str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "evaluation.json").write_text(content, encoding="utf-8")
    assert main(["report", str(tmp_path)]) == InputFileError.exit_status
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_laptop_and_phone(run: Path, scheme: str, tmp_path: Path) -> None:
    seen, picture, heard = look_at(run / "report.html", VIEWPORTS, scheme, tmp_path)
    for name, page in seen.items():
        assert page.width == VIEWPORTS[name][0], "nothing sticks out"
        assert 1000 < page.height < 12_000
        assert len(page.charts) >= 8
        assert min(page.charts) > 120
        assert page.background == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 22, 28)"}[scheme]
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 100_000, "it shows the page"
    assert heard == []
