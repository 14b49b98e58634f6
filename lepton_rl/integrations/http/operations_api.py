"""Nodes, policy, overview; and, without a token, health and readiness."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Response
from fastapi import Path as InPath

from lepton_rl.core.errors import ConfigError, StateError
from lepton_rl.core.version import VERSION
from lepton_rl.integrations.http.answers import node_out, overview, policy_out
from lepton_rl.integrations.http.models import (
    Health,
    Name,
    NodeOut,
    NodeState,
    Overview,
    PolicyOut,
    Ready,
    ReloadRequest,
)
from lepton_rl.integrations.http.service import Service
from lepton_rl.integrations.prometheus import registry_of
from lepton_rl.system.status import node_statuses

__all__ = ["health_router", "metrics_router", "operations_router"]


def operations_router(service: Service, policy_folder: str | None) -> APIRouter:
    """The routes that need the token."""
    router = APIRouter(prefix="/v1", tags=["operations"])

    @router.get("/nodes")
    def nodes() -> list[NodeOut]:
        """All nodes."""
        return [node_out(status) for status in node_statuses(service.scheduler)]

    @router.put("/nodes/{name}/state")
    def set_state(name: Annotated[Name, InPath()], wanted: NodeState) -> NodeOut:
        """Drain a node, take it down, bring it up again."""
        scheduler = service.scheduler
        change = {"up": scheduler.resume, "draining": scheduler.drain, "down": scheduler.fail_node}
        change[wanted.state](name)
        found = node_statuses(scheduler)
        return next(node_out(status) for status in found if status.node.name == name)

    @router.get("/overview")
    def overview_() -> Overview:
        """What the live page shows."""
        return overview(service)

    @router.get("/policy")
    def policy() -> PolicyOut:
        """Who decides, and what became of its answers."""
        return policy_out(service)

    @router.post("/policy/reload")
    def reload(wanted: ReloadRequest) -> PolicyOut:
        """Let the policy of a file decide from now on, once it is verified."""
        if policy_folder is None:
            raise StateError("the service was started without a policy folder")
        path = Path(policy_folder) / wanted.file
        if not path.is_file():
            raise ConfigError(f"there is no file {wanted.file} in the policy folder")
        service.policies.reload(path)
        return policy_out(service)

    @router.post("/policy/rollback")
    def rollback() -> PolicyOut:
        """Go back to the policy before the last reload."""
        service.policies.rollback()
        return policy_out(service)

    return router


def health_router(service: Service) -> APIRouter:
    """The routes that everybody who can reach the service may call."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz")
    def health() -> Health:
        """The process answers."""
        return Health(version=VERSION)

    @router.get("/readyz", responses={503: {"model": Ready}})
    def ready(response: Response) -> Ready:
        """Whether tasks are taken and decided about."""
        problem = service.problem
        response.status_code = 503 if problem else 200
        return Ready(ready=not problem, problem=problem)

    return router


def metrics_router(service: Service) -> APIRouter:
    """`/metrics`, at the place where Prometheus looks for it."""
    router = APIRouter(tags=["operations"])

    @router.get(
        "/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}}
    )
    def metrics() -> Response:
        """All figures in Prometheus' text format."""
        return _metrics(service)

    return router


def _metrics(service: Service) -> Response:
    exposition: Any = importlib.import_module("prometheus_client.exposition")
    text = exposition.generate_latest(registry_of(service.scheduler))
    return Response(text, media_type="text/plain; version=0.0.4")
