"""Endpoints of a Kubernetes scheduler extender: which nodes fit a pod, and which are best.

Written by the documented types of `k8s.io/kube-scheduler/extender/v1` (Go's field names, read
without regard to case as Go does; problems are told in `Error` with status 200). Tested against
that JSON only, never on a live cluster. Nodes are known by their names in the service's cluster.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Body

from lepton_rl.integrations.http.service import Service
from lepton_rl.system.status import NodeStatus, node_statuses

__all__ = ["extender_router", "pod_demand"]

_HIGHEST_SCORE = 10
"""MaxExtenderPriority."""

_KINDS = {"cpu": "cpu", "memory": "memory", "nvidia.com/gpu": "gpu", "amd.com/gpu": "gpu"}
_BYTES_PER_GIB = 2**30
_SUFFIXES = {
    "": 1.0, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15,
    "E": 1e18, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50,
    "Ei": 2.0**60,
}  # fmt: skip
_QUANTITY = re.compile(r"([+-]?[0-9.]{1,40}(?:[eE][+-]?[0-9]{1,3})?)([A-Za-z]{0,2})")

Arguments = Annotated[dict[str, Any], Body()]


def extender_router(service: Service) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/kubernetes", tags=["kubernetes"])

    @router.post("/filter")
    def filter_(arguments: Arguments) -> dict[str, Any]:
        """Nodes on which the pod fits now."""
        try:
            return _filtered(arguments, _statuses(service))
        except (ValueError, TypeError, AttributeError) as error:
            return {"Error": f"lepton-rl cannot read the arguments: {error}"}

    @router.post("/prioritize")
    def prioritize(arguments: Arguments) -> list[dict[str, Any]]:
        """Score of each node, 0 to 10: the least loaded one is best (R_min = argmin C_i / T_i)."""
        known = _statuses(service)
        try:
            names = _candidates(arguments)
        except (ValueError, TypeError, AttributeError):
            return []
        return [{"Host": name, "Score": _score(known.get(name))} for name in names]

    return router


def pod_demand(pod: Any) -> dict[str, float]:
    """What a pod asks for, in our kinds and units: sum over containers, or the largest init one.

    Raises:
        ValueError: a quantity that is none.
    """
    if not isinstance(pod, dict):
        raise ValueError("expected Pod to be an object")
    spec = _field(pod, "spec") or {}
    containers = [_requests(each) for each in _field(spec, "containers") or []]
    first = [_requests(each) for each in _field(spec, "initContainers") or []]
    kinds = {kind for each in (*containers, *first) for kind in each}
    return {
        kind: max(
            sum(each.get(kind, 0.0) for each in containers),
            max((each.get(kind, 0.0) for each in first), default=0.0),
        )
        for kind in sorted(kinds)
    }


def _requests(container: dict[str, Any]) -> dict[str, float]:
    resources = _field(container, "resources") or {}
    asked = {**(_field(resources, "limits") or {}), **(_field(resources, "requests") or {})}
    return {_KINDS[name]: _amount(name, value) for name, value in asked.items() if name in _KINDS}


def _amount(name: str, value: object) -> float:
    match = _QUANTITY.fullmatch(str(value).strip())
    if match is None or match[2] not in _SUFFIXES:
        raise ValueError(
            f"{name}: expected a quantity such as 500m or 2Gi, got {str(value)[:80]!r}"
        )
    amount = float(match[1]) * _SUFFIXES[match[2]]
    if not 0 <= amount < 1e18:
        raise ValueError(f"{name}: expected a quantity from 0 to 1e18, got {amount:g}")
    return amount / _BYTES_PER_GIB if name == "memory" else amount


def _filtered(arguments: dict[str, Any], known: dict[str, NodeStatus]) -> dict[str, Any]:
    demand = pod_demand(_field(arguments, "Pod"))
    failed = {name: _misfit(demand, known.get(name)) for name in _candidates(arguments)}
    fitting = [name for name, reason in failed.items() if not reason]
    listed = _field(arguments, "Nodes")
    items = [each for each in (_field(listed or {}, "items") or []) if _name_of(each) in fitting]
    return {
        "Nodes": None if listed is None else {**listed, "items": items},
        "NodeNames": fitting if listed is None else None,
        "FailedNodes": {name: reason for name, reason in failed.items() if reason},
        "FailedAndUnresolvableNodes": {},
        "Error": "",
    }


def _misfit(demand: dict[str, float], status: NodeStatus | None) -> str:
    """Why a pod does not fit, "" if it does."""
    if status is None:
        return "not a node of lepton-rl"
    if status.state != "up":
        return f"the node is {status.state}"
    short = [kind for kind, amount in demand.items() if amount > status.free.get(kind, 0.0) + 1e-9]
    return f"not enough {', '.join(short)}" if short else ""


def _score(status: NodeStatus | None) -> int:
    return (
        0 if status is None or status.state != "up" else round(_HIGHEST_SCORE * (1 - status.load))
    )


def _candidates(arguments: dict[str, Any]) -> list[str]:
    names = _field(arguments, "NodeNames")
    if names is None:
        names = [_name_of(each) for each in _field(_field(arguments, "Nodes") or {}, "items") or []]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("expected NodeNames, or Nodes with items that have names")
    return names


def _name_of(node: dict[str, Any]) -> Any:
    return _field(_field(node, "metadata") or {}, "name")


def _field(value: dict[str, Any], name: str) -> Any:
    """A field by its name in any case, as Go reads JSON."""
    if name in value:
        return value[name]
    return next((each for key, each in value.items() if key.lower() == name.lower()), None)


def _statuses(service: Service) -> dict[str, NodeStatus]:
    return {status.node.name: status for status in node_statuses(service.scheduler)}
