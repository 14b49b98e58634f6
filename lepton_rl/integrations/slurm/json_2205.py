"""The JSON of Slurm 22.05 (openapi/v0.0.38): `squeue --json`, `sinfo --json`.

Numbers are plain, null where they are not set. Recorded from 22.05.8.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lepton_rl.integrations.slurm.gres import Gres, parse_gres
from lepton_rl.integrations.slurm.hostlist import expand_hosts, expand_numbers
from lepton_rl.integrations.slurm.records import Share, SlurmJob, SlurmNode

__all__ = ["NODES_COMMAND", "job_of", "node_of"]

NODES_COMMAND = ("sinfo", "--json")
_UNUSABLE = {"down", "error", "unknown", "future"}
_UNUSABLE_FLAGS = {"DRAIN", "FAIL", "NOT_RESPONDING", "REBOOT", "POWERING_DOWN", "POWERED_DOWN"}
_RESERVED_FLAGS = {"RESERVED", "MAINTENANCE"}


def job_of(item: Mapping[str, Any]) -> SlurmJob:
    """One entry of `jobs`."""
    listed = item["array_task_string"].partition("%")[0]
    minutes = item["time_limit"]
    return SlurmJob(
        id=item["job_id"],
        state=item["job_state"],
        reason=item["state_reason"],
        priority=item["priority"],
        partitions=tuple(item["partition"].split(",")),
        user=item["user_name"],
        submit_s=item["submit_time"],
        eligible_s=item["eligible_time"],
        start_s=item["start_time"],
        limit_s=None if minutes is None else minutes * 60.0,
        node_count=item["node_count"] or 1,
        cpus=item["cpus"] or 1,
        tasks=item["tasks"] or 1,
        memory_per_node_mib=item["memory_per_node"],
        memory_per_cpu_mib=item["memory_per_cpu"],
        gres_per_node=parse_gres(item["tres_per_node"]),
        gres_per_job=parse_gres(item["tres_per_job"]),
        gres_per_task=parse_gres(item["tres_per_task"]),
        is_exclusive=item["shared"] == "none",
        features=item["features"],
        required_nodes=expand_hosts(item["required_nodes"]),
        excluded_nodes=expand_hosts(item["excluded_nodes"]),
        dependency=item["dependency"],
        reservation=item["resv_name"],
        comment=frozenset({item["comment"], item["admin_comment"]} - {""}),
        restarts=item["restart_cnt"],
        array_id=item["array_job_id"],
        element=item["array_task_id"],
        elements=expand_numbers(listed),
        elements_text="" if "..." in listed else listed,
        array_limit=item["array_max_tasks"],
        is_het=item["het_job_id"] != 0,
        shares=tuple(_shares(item)),
    )


def _shares(item: Mapping[str, Any]) -> Iterator[Share]:
    """22.05 tells cores of a node one by one, and only the sum of CPUs.

    Of a job that was cancelled while it ran, it tells no CPUs.
    """
    nodes = item.get("job_resources", {}).get("allocated_nodes", [])
    cores = [sum(map(_allocated_cores, node["sockets"].values())) for node in nodes]
    per_core = (item["cpus"] or sum(cores)) / max(1, sum(cores))
    cards: list[tuple[Gres, ...]] = [parse_gres(text) for text in item["gres_detail"]]
    cards += [()] * (len(nodes) - len(cards))
    for node, count, gres in zip(nodes, cores, cards, strict=False):
        yield Share(node["nodename"], count * per_core, node["memory_allocated"], gres)


def _allocated_cores(socket: Mapping[str, Any]) -> int:
    return sum(state.startswith("allocated") for state in socket["cores"].values())


def node_of(item: Mapping[str, Any]) -> SlurmNode:
    """One entry of `nodes`."""
    flags = set(item["state_flags"])
    return SlurmNode(
        name=item["name"],
        cpus=item["cpus"],
        memory_mib=item["real_memory"],
        gres=parse_gres(item["gres"]),
        features=frozenset(item["active_features"].split(",")) - {""},
        partitions=frozenset(item["partitions"]),
        is_usable=item["state"] not in _UNUSABLE and not flags & _UNUSABLE_FLAGS,
        is_reserved=bool(flags & _RESERVED_FLAGS),
    )
