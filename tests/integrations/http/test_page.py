"""The live page in headless Chromium, driven over its own debugging protocol by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lepton_rl.core.tasks import Task
from tests.integrations.http.conftest import TOKEN, make_service, serving

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE_MS = 20_000

playwright: Any = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no chromium on this machine")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as library:
        found = library.chromium.launch(executable_path=BROWSER, args=list(FLAGS))
        yield found
        found.close()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    service = make_service()
    with serving(service) as url:
        for number in range(40):
            demand = {"cpu": 4, "gpu": 1 + number % 4} if number % 3 else {"cpu": 8, "memory": 16}
            run_s = 0.05 if number < 20 else 500.0
            name = f"{('train', 'embed', 'tokenise')[number % 3]}-{number:03d}"
            service.scheduler.submit(Task(name, demand, 600.0, run_time_s=run_s))
        service.scheduler.drain("gpu2")
        service.scheduler.monitor.incident("fallback-exception")
        yield url


def open_page(browser: Any, url: str) -> tuple[Any, list[str]]:
    """A page, and what it complains of."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(PATIENCE_MS)
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda asked: _note_foreign(asked.url, url, problems))
    page.goto(url)
    return page, problems


def _note_foreign(asked: str, url: str, problems: list[str]) -> None:
    if not asked.startswith((url.split("#")[0], "data:")):
        problems.append(f"asked for {asked}")


def test_it_shows_cluster_queue_decisions_and_incidents(browser: Any, address: str) -> None:
    page, problems = open_page(browser, f"{address}/#token={TOKEN}")
    page.wait_for_selector("#running tbody td:nth-child(3)")

    assert page.locator(".node").count() == 4
    assert page.locator(".node.draining").count() == 1
    assert "3 of 4 nodes up" in page.locator("#cluster-note").inner_text()
    assert page.locator("#policy").inner_text() == "policy sjf+easy"
    assert page.locator("#health").inner_text() == "scheduling"
    assert "-0" in page.locator("#pending tbody td").first.inner_text()
    assert "started" in page.locator("#events").inner_text()
    assert "fallback-exception" in page.locator("#incidents").inner_text()
    assert "token" not in page.url
    assert problems == []
    if folder := os.environ.get("LEPTON_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / "page.png"), full_page=True)
        page.emulate_media(color_scheme="dark")
        page.screenshot(path=str(Path(folder) / "dark.png"), full_page=True)
        page.set_viewport_size({"width": 420, "height": 900})
        page.screenshot(path=str(Path(folder) / "narrow.png"), full_page=True)


def test_it_asks_for_the_token(browser: Any, address: str) -> None:
    page, _ = open_page(browser, address)
    page.wait_for_selector("#login:not([hidden])")
    assert page.locator("#page").is_hidden()
    page.fill("#token", "wrong")
    page.click("button")
    page.wait_for_function("document.getElementById('login-problem').textContent.includes('not')")
    page.fill("#token", TOKEN)
    page.click("button")

    page.wait_for_selector(".node")
    assert page.locator("#login").is_hidden()


def test_names_are_text_and_never_markup(browser: Any) -> None:
    service = make_service()
    evil = "<img src=x onerror=alert(1)>"
    with serving(service) as url:
        service.scheduler.submit(Task(evil, {"cpu": 1}, 600.0, run_time_s=500.0))
        page, problems = open_page(browser, f"{url}/#token={TOKEN}")
        page.wait_for_selector("#running tbody td:nth-child(3)")

        assert page.locator("#running tbody td").first.inner_text() == evil
        assert page.locator("img").count() == 0
        assert problems == []
        page.close()
