"""The pages under docs/: what they show runs, commands parse, links resolve, imports exist."""

from __future__ import annotations

import ast
import gzip
import os
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import typer.main

from lepton_rl.cli import app
from tests.documents import ROOT, blocks, broken_links, commands, run_page

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))


TRAINS = DOCS / "tutorials" / "researcher.md"
"""Trains twice, which takes a minute."""


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] if page == TRAINS else [], id=page.stem)
        for page in [*TUTORIALS, DOCS / "extending.md"]
    ],
)
def test_a_page_runs_from_top_to_bottom(page: Path, tmp_path: Path) -> None:
    assert run_page(page, tmp_path) >= 4


@pytest.fixture
def beside(tmp_path: Path, trace_dir: Path) -> Path:
    """A folder with the files that the pages about workloads and reports name."""
    jobs = trace_dir / "gpu" / "philly_2017_jobs.csv.gz"
    if not jobs.is_file():
        pytest.skip(f"no {jobs}")
    (tmp_path / jobs.name).symlink_to(jobs)
    lines = gzip.decompress(jobs.read_bytes()).decode().splitlines()[:200]
    (tmp_path / "jobs.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    run = ["evaluate", "--workload", "quick", "--windows", "6", "--out", "runs/first"]
    done = subprocess.run(
        [sys.executable, "-m", "lepton_rl.cli", *run], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["evaluation", "report", "workloads", "scenarios"])
def test_a_page_about_evaluation_runs_from_top_to_bottom(name: str, beside: Path) -> None:
    assert run_page(DOCS / f"{name}.md", beside) >= 2


def test_there_is_a_tutorial_for_each_reader() -> None:
    assert {page.stem for page in TUTORIALS} == {"researcher", "operator", "platform-engineer"}


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


@every_page
def test_commands_have_the_options_that_the_page_gives_them(page: Path) -> None:
    group = typer.main.get_command(app)
    for command in commands(page):
        words = [word for word in shlex.split(command) if word != "&"]
        if words[:1] != ["lepton-rl"]:
            continue
        context = group.make_context("lepton-rl", words[1:])
        found, rest = group, [*context._protected_args, *context.args]
        while hasattr(found, "resolve_command"):
            name, found, rest = found.resolve_command(context, rest)
            assert found is not None, command
            if hasattr(found, "resolve_command"):
                context = found.make_context(name, rest, parent=context)
                rest = [*context._protected_args, *context.args]
        found.make_context(name, rest, parent=context)  # raises on an unknown option


@every_page
def test_what_examples_import_exists(page: Path) -> None:
    for block in blocks(page):
        if block.language != "python":
            continue
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lepton_rl"):
                if node.module == "lepton_rl.integrations.ray":
                    pytest.importorskip("ray", reason="ray is not installed (extra ray)")
                module = import_module(str(node.module))
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    missing = [
        str(page.relative_to(DOCS))
        for page in PAGES
        if str(page.relative_to(DOCS)) not in navigation
    ]
    assert missing == []


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocstrings", reason="pip install 'lepton-rl[docs]'")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "site" / "reference.html").read_text(encoding="utf-8")
    assert "load_policy" in reference
    assert "TaskQueue" in (tmp_path / "site" / "concepts.html").read_text(encoding="utf-8")
