"""Runs the blocks of a Markdown page in order, as a reader would who copies them.

| block | what happens |
|---|---|
| `console` | each line is a command that must succeed; one that ends in ` &` runs until the end |
| `python` | a program of its own, with warnings as errors |
| any with `title="NAME"` | written into a file of that name |
| `sh` | not run; the line above the block must say why: `<!-- not run: REASON -->` |

`make` commands are not run: `make test` would run this again, the others take minutes.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r'^```(\w+)(?: title="([\w.-]+)")?\n(.*?)^```', re.DOTALL | re.MULTILINE)
_NOT_RUN = re.compile(r"<!-- not run: .+ -->\s*\Z")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_READY_S = 120.0


class Block(NamedTuple):
    """A fenced block: its language, the file it is, its text, and whether it says why not run."""

    language: str
    title: str
    text: str
    has_reason: bool


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(found[1], found[2] or "", found[3], bool(_NOT_RUN.search(text[: found.start()])))
        for found in _BLOCK.finditer(text)
    ]


def commands(page: Path) -> list[str]:
    """Every command of its `console` and `sh` blocks, without comments and continuations."""
    lines = "\n".join(b.text for b in blocks(page) if b.language in {"console", "sh"})
    joined = lines.replace("\\\n", " ")
    return [each for line in joined.splitlines() if (each := line.partition("#")[0].strip())]


def broken_links(page: Path) -> list[str]:
    """Links to files that are not there, and to headings that their page does not have."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [target for target in _LINK.findall(text) if not _resolves(page, target)]


def _resolves(page: Path, target: str) -> bool:
    if re.match(r"[a-z]+:", target):
        return True
    path, _, heading = target.partition("#")
    file = page if not path else (page.parent / path).resolve()
    if not file.exists():
        return False
    return not heading or heading in _anchors(file)


def _anchors(page: Path) -> set[str]:
    """What MkDocs and GitHub make of headings of letters, digits, blanks and hyphens."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    kept = (re.sub(r"[^\w\s-]", "", title).strip().lower() for title in titles)
    return {re.sub(r"[\s]+", "-", title) for title in kept}


def run_page(page: Path, folder: Path) -> int:
    """Run all blocks of a page in `folder`; how many commands and programs were run."""
    done = 0
    background: list[subprocess.Popen[str]] = []
    try:
        for block in blocks(page):
            if block.title:
                (folder / block.title).write_text(block.text, encoding="utf-8")
            elif block.language == "python":
                _succeed([sys.executable, "-W", "error", "-c", block.text], block.text, folder)
                done += 1
            elif block.language == "console":
                done += _run_console(block.text, folder, background)
            else:
                assert block.language != "sh" or block.has_reason, f"why not run?\n{block.text}"
    finally:
        for process in background:
            process.terminate()
            process.communicate(timeout=60)
    return done


def _run_console(text: str, folder: Path, background: list[subprocess.Popen[str]]) -> int:
    done = 0
    for line in text.replace("\\\n", " ").splitlines():
        command = shlex.split(line, comments=True)
        if not command or command[0] == "make":
            continue
        done += 1
        if command[-1] == "&":
            background.append(_started(command[:-1], folder))
        else:
            output = _succeed(command, line, folder)
            assert output, f"{line} says nothing"
    return done


def _environment() -> dict[str, str]:
    bin_folder = Path(sys.executable).parent
    return {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}


def _succeed(command: list[str], shown: str, folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, env=_environment(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{shown}\n{done.stderr}"
    return done.stdout


def _started(command: list[str], folder: Path) -> subprocess.Popen[str]:
    """A service that was started in the background and has said where it is."""
    log = folder / f"{command[0]}-{time.monotonic_ns()}.log"
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            command, cwd=folder, env=_environment(), stdout=stream, stderr=stream, text=True
        )
    deadline = time.monotonic() + _READY_S
    while "http://" not in log.read_text(encoding="utf-8"):
        late = time.monotonic() > deadline or process.poll() is not None
        assert not late, f"{command}\n{log.read_text(encoding='utf-8')}"
        time.sleep(0.1)
    return process
