"""The JSON of Slurm 24.11 (data_parser/v0.0.42): `squeue --json`, `scontrol show nodes --json`.

Numbers that may be unset are objects, states are lists. Recorded from 24.11.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lepton_rl.integrations.slurm.gres import Gres, parse_gres
from lepton_rl.integrations.slurm.hostlist import expand_hosts, expand_numbers
from lepton_rl.integrations.slurm.records import Share, SlurmJob, SlurmNode

__all__ = ["NODES_COMMAND", "job_of", "node_of"]

NODES_COMMAND = ("scontrol", "show", "nodes", "--json")
_UNUSABLE = {
    "DOWN", "ERROR", "UNKNOWN", "FUTURE", "DRAIN", "FAIL", "NOT_RESPONDING", "REBOOT_ISSUED",
    "POWERING_DOWN", "POWERED_DOWN",
}  # fmt: skip
_RESERVED = {"RESERVED", "MAINTENANCE"}
_SECONDS_PER_MINUTE = 60.0


def _number(value: Any) -> float | None:
    """`{"set": true, "infinite": false, "number": 5}` -> 5; None where unset or infinite."""
    if not isinstance(value, Mapping):
        return None if value is None else float(value)
    known = value.get("set", False) and not value.get("infinite", False)
    return float(value["number"]) if known else None


def _whole(value: Any) -> int:
    return int(_number(value) or 0)


def _whole_or_none(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _names(value: Any) -> frozenset[str]:
    """A list, or a string with commas."""
    parts = value.split(",") if isinstance(value, str) else value or []
    return frozenset(parts) - {""}


def _gres_of(tres: str) -> tuple[Gres, ...]:
    """GRES among all that is asked for: `-c 2` is `cpu=2` here, cards are `gres/gpu:a100:1`."""
    return parse_gres(",".join(each for each in tres.split(",") if each.startswith("gres")))


def job_of(item: Mapping[str, Any]) -> SlurmJob:
    """One entry of `jobs`."""
    listed = (item.get("array_task_string") or "").partition("%")[0]
    minutes = _number(item["time_limit"])
    return SlurmJob(
        id=item["job_id"],
        state=item["job_state"][0],
        reason=item["state_reason"],
        priority=_whole(item["priority"]),
        partitions=tuple(item["partition"].split(",")),
        user=item["user_name"],
        submit_s=_whole(item["submit_time"]),
        eligible_s=_whole(item["eligible_time"]),
        start_s=_whole(item["start_time"]),
        limit_s=None if minutes is None else minutes * _SECONDS_PER_MINUTE,
        node_count=max(1, _whole(item["node_count"])),
        cpus=_whole(item["cpus"]),
        tasks=_whole(item["tasks"]),
        memory_per_node_mib=_whole_or_none(item["memory_per_node"]),
        memory_per_cpu_mib=_whole_or_none(item["memory_per_cpu"]),
        gres_per_node=_gres_of(item["tres_per_node"]),
        gres_per_job=_gres_of(item["tres_per_job"]),
        gres_per_task=_gres_of(item["tres_per_task"]),
        is_exclusive="none" in item.get("shared", []) or "true" in item.get("exclusive", []),
        features=item["features"],
        required_nodes=expand_hosts(item["required_nodes"]),
        excluded_nodes=expand_hosts(item["excluded_nodes"]),
        dependency=item["dependency"],
        reservation=item["resv_name"],
        comment=frozenset({item["comment"], item["admin_comment"]} - {""}),
        restarts=_whole(item["restart_cnt"]),
        array_id=_whole(item["array_job_id"]),
        element=_whole_or_none(item["array_task_id"]),
        elements=expand_numbers(listed),
        elements_text="" if "..." in listed else listed,
        array_limit=_whole(item["array_max_tasks"]),
        is_het=_whole(item["het_job_id"]) != 0,
        shares=tuple(_shares(item)),
    )


def _shares(item: Mapping[str, Any]) -> Iterator[Share]:
    resources = item.get("job_resources") or {}
    nodes = (resources.get("nodes") or {}).get("allocation") or []
    cards: list[tuple[Gres, ...]] = [parse_gres(text) for text in item["gres_detail"]]
    cards += [()] * (len(nodes) - len(cards))
    for node, gres in zip(nodes, cards, strict=False):
        yield Share(
            node["name"], _whole(node["cpus"]["count"]), _whole(node["memory"]["allocated"]), gres
        )


def node_of(item: Mapping[str, Any]) -> SlurmNode:
    """One entry of `nodes`."""
    states = set(item["state"])
    return SlurmNode(
        name=item["name"],
        cpus=_whole(item["cpus"]),
        memory_mib=_whole(item["real_memory"]),
        gres=parse_gres(item["gres"]),
        features=_names(item["active_features"]),
        partitions=_names(item["partitions"]),
        is_usable=not states & _UNUSABLE,
        is_reserved=bool(states & _RESERVED) or bool(item.get("reservation")),
    )
