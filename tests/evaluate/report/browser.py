"""Looks at a page in headless Chromium, in one start and without a driver.

The page is laid into frames as wide as screens, and a script beside them measures what is inside.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from html import unescape
from pathlib import Path
from typing import NamedTuple

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--allow-file-access-from-files",  # the script may look into the frames
    "--host-resolver-rules=MAP * ~NOTFOUND",  # there is no network
    "--enable-logging=stderr",
    "--dump-dom",
)
SCHEMES = {"dark": 0, "light": 1}
AROUND = """<!doctype html><style>iframe {{ vertical-align: top }}</style><body>
{frames}<pre id="found"></pre><script>
onload = () => {{
  const frames = [...document.querySelectorAll("iframe")];
  found.textContent = JSON.stringify(frames.map(frame => {{
    const inside = frame.contentDocument, root = inside.documentElement;
    const height = root.scrollHeight;
    frame.height = height;
    return [root.scrollWidth, height, getComputedStyle(inside.body).backgroundColor,
      [...inside.querySelectorAll("svg")].map(svg => svg.getBoundingClientRect().width)];
  }})); }};
</script></body>"""


class Seen(NamedTuple):
    """A page on one screen; lengths in CSS pixels."""

    width: int
    height: int
    background: str
    charts: list[float]


def look_at(
    page: Path, screens: Mapping[str, tuple[int, int]], scheme: str, folder: Path
) -> tuple[dict[str, Seen], bytes, list[str]]:
    """The page on each screen, a picture of all of them, and what its console says.

    Skips the test where there is no Chromium.
    """
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"no browser on this machine: {', '.join(PROGRAMS)}")
    frames = "".join(
        f'<iframe src="{page.as_uri()}" width="{width}" height="{height}" frameborder="0"></iframe>'
        for width, height in screens.values()
    )
    around, picture = folder / "around.html", folder / f"{scheme}.png"
    around.write_text(AROUND.format(frames=frames), encoding="utf-8")
    done = subprocess.run(
        [
            program,
            *OPTIONS,
            f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}",
            f"--screenshot={picture}",
            f"--window-size={sum(width for width, _ in screens.values()) + 40},4000",
            f"--user-data-dir={folder / 'profile'}",
            around.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = re.search(r'<pre id="found">(.+?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, done.stderr
    seen = [Seen(*each) for each in json.loads(unescape(found[1]))]
    heard = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return dict(zip(screens, seen, strict=True)), picture.read_bytes(), heard
