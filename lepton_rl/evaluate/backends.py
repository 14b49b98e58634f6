"""Cells over processes of one machine, or over Ray; figures are those of `run_serially`.

Both hand out at most two cells for each worker at a time, so memory does not grow with the number
of windows, and yield results as they come.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from lepton_rl.core.errors import ConfigError
from lepton_rl.core.naming import did_you_mean
from lepton_rl.evaluate.cells import AnyCell, CellResult, Runner, run_serially
from lepton_rl.evaluate.kept import from_plain, to_plain
from lepton_rl.evaluate.ray_session import ray_session

__all__ = ["BACKENDS", "check_backend", "open_backend"]

BACKENDS = ("processes", "ray")

_AHEAD = 2
"""Cells for each worker that are handed out at once: one that runs, one that waits."""


def open_backend(name: str, jobs: int) -> AbstractContextManager[Runner]:
    """A runner with `jobs` workers, which end with the context.

    Args:
        name: one of `BACKENDS`.
        jobs: workers (>= 1); with one process everything runs in this one.

    Raises:
        ConfigError: an unknown backend, no workers, or Ray is not installed.
    """
    check_backend(name, jobs)
    if name == "ray":
        return _ray(jobs)
    return nullcontext(run_serially) if jobs == 1 else _processes(jobs)


def check_backend(name: str, jobs: int) -> None:
    """Refuse what `open_backend` would, before anything is loaded.

    Raises:
        ConfigError: an unknown backend, or no workers.
    """
    if name not in BACKENDS:
        raise ConfigError(f"--backend {name}: unknown backend; {did_you_mean(name, BACKENDS)}")
    if jobs < 1:
        raise ConfigError(f"--jobs {jobs}: expected at least 1")


@contextmanager
def _processes(jobs: int) -> Iterator[Runner]:
    """Processes that start afresh (spawn), so no lock or thread of this one is copied."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context)
    try:
        yield lambda cells: _in_processes(pool, cells, jobs)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _in_processes(
    pool: ProcessPoolExecutor, cells: Sequence[AnyCell], jobs: int
) -> Iterator[tuple[int, CellResult]]:
    def wait_for(running: Sequence[Future[Any]]) -> Sequence[Future[Any]]:
        return list(wait(running, return_when=FIRST_COMPLETED).done)

    return _handed_out(
        cells,
        _AHEAD * jobs,
        lambda cell: pool.submit(_plain_cell, cell),
        wait_for,
        lambda future: future.result(),
    )


@contextmanager
def _ray(jobs: int) -> Iterator[Runner]:
    """Ray, started here unless the program has a cluster already."""
    with ray_session(jobs, "--backend ray") as ray:
        remote = ray.remote(num_cpus=1)(_plain_cell)
        yield lambda cells: _handed_out(
            cells,
            _AHEAD * jobs,
            remote.remote,
            lambda running: ray.wait(running, num_returns=1)[0],
            ray.get,
        )


def _plain_cell(cell: AnyCell) -> dict[str, Any]:
    """Run a cell in a worker; what travels back is plain data."""
    return to_plain(cell.run())


def _handed_out(
    cells: Sequence[AnyCell],
    ahead: int,
    submit: Callable[[AnyCell], Any],
    wait_for: Callable[[list[Any]], Sequence[Any]],
    result_of: Callable[[Any], Any],
) -> Iterator[tuple[int, CellResult]]:
    """Keep `ahead` cells handed out until all are done; a failure ends it."""
    running: dict[Any, int] = {}
    following = iter(enumerate(cells))
    exhausted = False
    while running or not exhausted:
        while not exhausted and len(running) < ahead:
            entry = next(following, None)
            exhausted = entry is None
            if entry is not None:
                running[submit(entry[1])] = entry[0]
        for done in wait_for(list(running)) if running else ():
            position = running.pop(done)
            yield position, from_plain(result_of(done))
