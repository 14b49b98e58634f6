"""A process that owns a LocalExecutor and does what it is told to, until it is killed.

    python -m tests.integrations.owner RUN_DIR

reads one JSON list a line, `["start", id, script]`, `["completions"]` or `["acknowledge"]` (what it
has told last), and answers each with one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from lepton_rl.integrations.local import LocalExecutor
from lepton_rl.system import Completion
from tests.integrations.commands import begin, shell

_ROOT = Path(__file__).parents[2]


class Owner:
    """The process, from outside."""

    def __init__(self, run_dir: Path) -> None:
        argv = [sys.executable, "-W", "error", "-m", "tests.integrations.owner", str(run_dir)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(argv, cwd=_ROOT, text=True, **pipes)

    def start(self, task_id: str, script: str) -> None:
        assert self._ask("start", task_id, script) == "started"

    def completions(self) -> list[str]:
        """Tasks whose ends it was told now."""
        return self._ask("completions")

    def acknowledge(self) -> None:
        """What it was told last."""
        assert self._ask("acknowledge") == "acknowledged"

    def kill(self) -> None:
        """`kill -9`."""
        with self._process:
            self._process.kill()

    def _ask(self, *request: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def main() -> None:
    executor = LocalExecutor(sys.argv[1])
    told: list[Completion] = []
    for line in sys.stdin:
        do, *arguments = json.loads(line)
        answer: object = "started"
        if do == "start":
            begin(executor, shell(*arguments))
        elif do == "acknowledge":
            executor.acknowledge(told)
            answer = "acknowledged"
        else:
            told = executor.completions(1)
            answer = [each.task_id for each in told]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
