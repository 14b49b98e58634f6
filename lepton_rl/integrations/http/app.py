"""The application: routes, security and errors put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.staticfiles import StaticFiles

from lepton_rl.core.errors import (
    ArtifactError,
    ConfigError,
    InfeasibleTaskError,
    JournalError,
    LeptonError,
    NotFoundError,
    StateError,
)
from lepton_rl.core.version import VERSION
from lepton_rl.integrations.http.decide_api import decide_router
from lepton_rl.integrations.http.extender import extender_router
from lepton_rl.integrations.http.models import Problem
from lepton_rl.integrations.http.operations_api import (
    health_router,
    metrics_router,
    operations_router,
)
from lepton_rl.integrations.http.security import SECURITY_HEADERS, BodyLimit, token_required
from lepton_rl.integrations.http.service import Service
from lepton_rl.integrations.http.settings import ServeSettings
from lepton_rl.integrations.http.tasks_api import tasks_router

__all__ = ["create_app"]

_STATIC = Path(__file__).parent / "static"
_STATUS: tuple[tuple[type[LeptonError], int], ...] = (
    (JournalError, 503),
    (NotFoundError, 404),
    (StateError, 409),
    (ConfigError, 422),
    (InfeasibleTaskError, 422),
    (ArtifactError, 422),
)
_REASONS = {
    400: "The request is malformed.",
    401: "The token is missing or wrong.",
    404: "There is no such task or node.",
    409: "The present state does not allow it.",
    413: "The body is too large.",
    422: "Something in the request is not as it should be.",
    503: "The journal cannot be written now; try again.",
}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": reason} for status, reason in _REASONS.items()
}


def create_app(service: Service, settings: ServeSettings) -> FastAPI:
    """The application around a service, which lives as long as the application does.

    Args:
        service: not started yet.
        settings: without a token it gets a random one, which nobody knows.
    """
    settings = settings.with_token()
    assert settings.token is not None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> Any:
        service.start()
        yield
        service.stop()

    app = FastAPI(title="lepton-rl", version=VERSION, lifespan=lifespan, docs_url=None,
                  redoc_url=None, responses=_PROBLEMS)  # fmt: skip
    _add_routes(app, service, settings)
    _add_errors(app)
    app.middleware("http")(_with_security_headers)
    hosts = {"127.0.0.1", "localhost", "[::1]", settings.host, *settings.hosts}
    app.add_middleware(BodyLimit, most=settings.max_body_bytes)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=sorted(hosts))
    return app


def _add_routes(app: FastAPI, service: Service, settings: ServeSettings) -> None:
    assert settings.token is not None
    guarded = [Depends(token_required(settings.token.get_secret_value()))]
    app.include_router(health_router(service))
    for router in (
        tasks_router(service),
        decide_router(service.policies),
        operations_router(service, settings.policy_folder),
        metrics_router(service),
    ):
        app.include_router(router, dependencies=guarded)
    if settings.kubernetes:
        app.include_router(extender_router(service))
    app.mount("/", StaticFiles(directory=_STATIC, html=True))


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(LeptonError)
    async def refused(_: Request, error: LeptonError) -> JSONResponse:
        status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
        return JSONResponse({"detail": str(error)}, status)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return JSONResponse({"detail": f"{where}: {first['msg']}"}, 422)


async def _with_security_headers(
    request: Request, handle: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await handle(request)
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    return response
