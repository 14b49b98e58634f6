"""The live page wherever there is a Chromium: what its own headless mode prints of it.

`test_page.py` also clicks and types, which needs Playwright.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lepton_rl.core.tasks import Task
from tests.integrations.http.conftest import TOKEN, make_service, serving

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--virtual-time-budget=3000", "--dump-dom",
)  # fmt: skip

pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no chromium on this machine")


def page_of(url: str, profile: Path) -> str:
    """The document after its script has run."""
    assert BROWSER is not None
    done = subprocess.run(
        [BROWSER, *FLAGS, f"--user-data-dir={profile}", url],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


def text_of(page: str, element: str) -> str:
    found = re.search(rf'id="{element}"[^>]*>([^<]*)<', page)
    assert found is not None, page
    return found[1]


def test_it_shows_the_cluster_and_names_are_text(tmp_path: Path) -> None:
    service = make_service()
    evil = "<img src=x onerror=alert(1)>"
    with serving(service) as url:
        service.scheduler.submit(Task(evil, {"cpu": 1}, 600.0, run_time_s=500.0))
        service.scheduler.drain("gpu2")
        service.scheduler.monitor.incident("fallback-exception")

        page = page_of(f"{url}/#token={TOKEN}", tmp_path)

    assert text_of(page, "policy") == "policy sjf+easy"
    assert "3 of 4 nodes up" in text_of(page, "cluster-note")
    assert len(re.findall(r'class="node[ "]', page)) == 4
    assert "fallback-exception" in page
    assert "&lt;img src=x" in page
    assert "<img" not in page


def test_without_a_token_it_shows_nothing(tmp_path: Path) -> None:
    with serving(make_service()) as url:
        page = page_of(url, tmp_path)

    assert re.search(r'id="page"[^>]* hidden', page)
    assert not re.search(r'id="login"[^>]* hidden', page)
    assert "gpu2" not in page
