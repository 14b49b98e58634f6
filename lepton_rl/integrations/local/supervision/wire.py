"""What executor and supervisor tell each other while a task is being launched."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any, NamedTuple

__all__ = [
    "LAUNCHED",
    "LaunchRequest",
    "ReplicaRequest",
    "receive_message",
    "request_from",
    "send_message",
]

LAUNCHED = "go"
"""The executor's last word: it will remember this attempt, so the supervisor may begin."""

_LENGTH = struct.Struct("!Q")


class ReplicaRequest(NamedTuple):
    """What differs between the replicas of a task.

    Attributes:
        environment: variables on top of the task's.
        cpus: CPUs it may use; empty means any.
    """

    environment: dict[str, str]
    cpus: list[int]


class LaunchRequest(NamedTuple):
    """Everything that a supervisor needs to know. Strings are UTF-8 with surrogate escapes.

    Attributes:
        task_id: whose attempt this is.
        attempt: number of its directory, from 1.
        run: the scheduler's number of it, None if it gave none.
        start_us: when it was started, on the scheduler's clock.
        directory: of the attempt, absolute.
        claim: file to be made by the supervisor that runs this attempt, absolute.
        command: program and arguments; at least one.
        working_directory: absolute.
        environment: variables of all replicas.
        replicas: one for each.
        address_space_bytes: limit of each process; None for no limit.
        time_limit_s: after this it is stopped; None for no limit.
        stop_grace_s: between SIGTERM and SIGKILL.
        output_limit_bytes: what is kept of each stream of each replica.
    """

    task_id: str
    attempt: int
    run: int | None
    start_us: int
    directory: str
    claim: str
    command: list[str]
    working_directory: str
    environment: dict[str, str]
    replicas: list[ReplicaRequest]
    address_space_bytes: int | None
    time_limit_s: float | None
    stop_grace_s: float
    output_limit_bytes: int


def request_from(message: dict[str, Any]) -> LaunchRequest:
    """The request that was sent as `request._asdict()`."""
    replicas = [ReplicaRequest(*each) for each in message["replicas"]]
    return LaunchRequest(**{**message, "replicas": replicas})


def send_message(channel: socket.socket, message: object) -> None:
    """Send one message.

    Raises:
        OSError: the other side is gone.
    """
    data = json.dumps(message).encode()
    channel.sendall(_LENGTH.pack(len(data)) + data)


def receive_message(channel: socket.socket) -> Any:
    """The next message; None if the other side is gone.

    Raises:
        TimeoutError: the channel's timeout is over.
    """
    header = _receive(channel, _LENGTH.size)
    data = _receive(channel, _LENGTH.unpack(header)[0]) if header is not None else None
    return None if data is None else json.loads(data)


def _receive(channel: socket.socket, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        try:
            chunk = channel.recv(min(size - len(data), 1 << 16))
        except ConnectionResetError:
            return None
        if not chunk:
            return None
        data += chunk
    return bytes(data)
