"""Serving the application with uvicorn."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from lepton_rl.core.errors import ConfigError
from lepton_rl.integrations.http.settings import ServeSettings, require_safe_address

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

__all__ = ["bind", "make_server"]

_KEEP_ALIVE_S = 30
_MOST_CONNECTIONS = 200
_SHUTDOWN_S = 10
_BACKLOG = 128
"""Connections that wait until the service has started, or is less busy."""


def bind(settings: ServeSettings) -> socket.socket:
    """Listen; do it before anything is started, so that a port in use is told at once.

    Raises:
        ConfigError: the address may be reached from other machines, or cannot be had.
    """
    require_safe_address(settings)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"serve: cannot listen on {settings.host}:{settings.port}: {error.strerror}"
        ) from error
    return listening


def make_server(app: FastAPI) -> uvicorn.Server:
    """A server; `run(sockets=[...])` serves until SIGINT or SIGTERM."""
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="warning",
        timeout_keep_alive=_KEEP_ALIVE_S,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=_SHUTDOWN_S,
        server_header=False,
    )
    return uvicorn.Server(config)
