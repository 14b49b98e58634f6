"""From a task and its nodes to what its supervisor is asked to do."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

from lepton_rl.core.errors import ExecutorError
from lepton_rl.core.resources import DEFAULT_SCHEMA
from lepton_rl.core.tasks import Task
from lepton_rl.integrations.local.directories import NewAttempt
from lepton_rl.integrations.local.settings import LocalSettings
from lepton_rl.integrations.local.supervision.wire import LaunchRequest, ReplicaRequest
from lepton_rl.system.executor import Cards

__all__ = ["launch_request"]

_GIB = 1 << 30
_DEVICES = frozenset(kind.name for kind in DEFAULT_SCHEMA.kinds if kind.is_device)


def launch_request(
    task: Task,
    nodes: Sequence[int],
    cards: Sequence[Cards] | None,
    start_us: int,
    attempt: NewAttempt,
    settings: LocalSettings,
    run: int | None = None,
) -> LaunchRequest:
    """What a supervisor is told.

    Args:
        task: what to run.
        nodes: index of the node of each replica.
        cards: what each replica may see of them; None for everything.
        start_us: the scheduler's clock.
        attempt: where its files are.
        settings: limits.
        run: the scheduler's number of this run, None if it gave none.

    Raises:
        ExecutorError: the task has no command, does not have one node (or one list of cards) for
            each replica, or holds text that no process can be given.
    """
    _check(task, nodes, cards)
    try:
        return LaunchRequest(
            task_id=task.id,
            attempt=attempt.number,
            run=run,
            start_us=int(start_us),
            directory=_text(attempt.directory),
            claim=_text(attempt.claim),
            command=[_text(each) for each in task.command],
            working_directory=_text(Path(task.working_directory).absolute()),
            environment=_environment(task, nodes, attempt, run),
            replicas=[_replica(index, nodes, cards, settings) for index in range(len(nodes))],
            address_space_bytes=_address_space(task, cards, settings),
            time_limit_s=_time_limit_s(task, settings),
            stop_grace_s=settings.stop_grace_s,
            output_limit_bytes=max(2, int(settings.output_limit_mib * (1 << 20))),
        )
    except ValueError as error:
        raise ExecutorError(f"task {task.id!r} cannot be run: {error}") from error


def _check(task: Task, nodes: Sequence[int], cards: Sequence[Cards] | None) -> None:
    where = f"task {task.id!r}"
    if not task.command or not task.command[0]:
        raise ExecutorError(f"{where} has no command; give it one, e.g. command=('true',)")
    if len(nodes) != task.num_replicas:
        raise ExecutorError(f"{where}: expected {task.num_replicas} nodes, got {len(nodes)}")
    if cards is not None and len(cards) != task.num_replicas:
        raise ExecutorError(
            f"{where}: expected the cards of {task.num_replicas} replicas, got {len(cards)}"
        )


def _environment(
    task: Task, nodes: Sequence[int], attempt: NewAttempt, run: int | None
) -> dict[str, str]:
    ours = {
        "LEPTON_TASK_ID": task.id,
        "LEPTON_ATTEMPT": str(attempt.number if run is None else run),
        "LEPTON_ATTEMPT_DIR": str(attempt.directory),
        "LEPTON_NODES": ",".join(str(node) for node in nodes),
        "LEPTON_NUM_REPLICAS": str(task.num_replicas),
    }
    everything = {**os.environ, **task.environment, **ours}
    return {_name(name): _text(value) for name, value in everything.items()}


def _replica(
    index: int, nodes: Sequence[int], cards: Sequence[Cards] | None, settings: LocalSettings
) -> ReplicaRequest:
    environment = {"LEPTON_REPLICA": str(index)}
    if cards is not None:
        for kind, names in settings.device_variables.items():
            environment |= dict.fromkeys(
                names, _visible(kind, cards[index], nodes[index], settings)
            )
        environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # number cards as nvidia-smi does
    return ReplicaRequest(environment, list(settings.cpus_of_node.get(nodes[index], ())))


def _visible(kind: str, cards: Cards, node: int, settings: LocalSettings) -> str:
    """The cards of one kind that a replica may see, as this machine numbers them.

    Raises:
        ExecutorError: the settings do not say which card of this machine one of them is.
    """
    which = cards.get(kind, ())
    numbers = settings.cards_of_node.get(node, {}).get(kind)
    if numbers is None:
        return ",".join(str(card) for card in which)
    if which and max(which) >= len(numbers):
        raise ExecutorError(
            f"cards_of_node of node {node}: expected the numbers of at least {max(which) + 1} cards"
            f" of kind {kind!r}, got {len(numbers)}"
        )
    return ",".join(str(numbers[card]) for card in which)


def _address_space(
    task: Task, cards: Sequence[Cards] | None, settings: LocalSettings
) -> int | None:
    uses_cards = bool(cards and any(cards)) or any(task.demand.get(each, 0) for each in _DEVICES)
    memory_gib = task.demand.get("memory", 0)
    if not settings.limit_memory or uses_cards or memory_gib <= 0:
        return None
    return math.ceil(memory_gib * _GIB)


def _time_limit_s(task: Task, settings: LocalSettings) -> float | None:
    factor = settings.time_limit_factor
    return None if factor is None else factor * task.requested_time_s


def _name(name: str) -> str:
    if not name or "=" in name:
        raise ValueError(f"{name!r} is no name of an environment variable")
    return _text(name)


def _text(value: str | Path) -> str:
    """The bytes that this process would use for `value`, as the launcher spells them.

    Raises:
        ValueError: no bytes stand for it, or it holds a zero byte.
    """
    raw = os.fsencode(value)
    if b"\0" in raw:
        raise ValueError(f"{str(value)[:80]!r} holds a zero character")
    return raw.decode("utf-8", "surrogateescape")
