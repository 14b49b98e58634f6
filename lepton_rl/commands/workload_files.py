"""`lepton-rl workload convert` and `generate`, and files that belong to workloads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from lepton_rl.commands.inputs import environment_for, open_with_log
from lepton_rl.core.errors import ConfigError
from lepton_rl.core.naming import did_you_mean
from lepton_rl.core.settings import apply_overrides
from lepton_rl.workloads.columnar import write_columnar
from lepton_rl.workloads.csv_table import read_header
from lepton_rl.workloads.gavel import read_throughputs
from lepton_rl.workloads.kinds import is_quota_file
from lepton_rl.workloads.machines import MACHINES_SUFFIX
from lepton_rl.workloads.node_counts import describe_node_counts, is_node_counts
from lepton_rl.workloads.node_lists import node_list_of, read_nodes
from lepton_rl.workloads.quotas import read_quotas
from lepton_rl.workloads.sources import GENERATORS, describe_cluster, open_workload
from lepton_rl.workloads.workload import Workload

__all__ = ["convert_workload", "generate_workload", "side_file_figures"]


def convert_workload(source: str, target: Path, overrides: Sequence[str], *, as_json: bool) -> str:
    """Write a workload as a columnar file; returns what goes to stdout.

    Args:
        source: a trace, a shipped configuration or a YAML file.
        target: a name that ends in .npz.
        overrides: settings on top of the source's, `a.b=v`.
        as_json: JSON instead of text.

    Raises:
        LeptonError: the source cannot be used, or the target is not a .npz file.
    """
    return _write(open_with_log(environment_for(source, overrides).workload), target, as_json)


def generate_workload(
    target: Path, generator: str, overrides: Sequence[str], seed: int, *, as_json: bool
) -> str:
    """Generate a workload and write it as a columnar file; returns what goes to stdout.

    Args:
        target: a name that ends in .npz.
        generator: its name.
        overrides: its settings, `name=v`.
        seed: of everything random.
        as_json: JSON instead of text.

    Raises:
        LeptonError: an unknown generator or setting, or the target is not a .npz file.
    """
    if generator not in GENERATORS:
        hint = did_you_mean(generator, GENERATORS)
        raise ConfigError(f"--generator {generator}: unknown generator; {hint}")
    workload = open_workload(generator, seed=seed, settings=apply_overrides({}, overrides))
    return _write(workload, target, as_json)


def side_file_figures(source: str) -> Mapping[str, object] | None:
    """Figures of a file that stands beside traces; None if `source` is no such file.

    That is a node list, quotas, numbers of nodes over time, or Gavel's throughputs.

    Raises:
        LeptonError: it is one, and malformed.
    """
    path = Path(source)
    if source.lower().endswith(MACHINES_SUFFIX):
        return describe_cluster(read_nodes(path))
    if source.lower().endswith((".json", ".json.gz")):
        return {"throughputs": {gpu: len(of) for gpu, of in read_throughputs(path).items()}}
    if not (source.lower().endswith((".csv", ".csv.gz")) and path.is_file()):
        return None
    header = read_header(path)
    if node_list_of(header) is not None:
        return describe_cluster(read_nodes(path))
    if is_node_counts(header):
        return describe_node_counts(path)
    return {"quotas": read_quotas(path)} if is_quota_file(header) else None


def _write(workload: Workload, target: Path, as_json: bool) -> str:
    write_columnar(workload, target)
    figures = {
        "workload": workload.name,
        "file": str(target),
        "tasks": len(workload),
        "nodes": len(workload.cluster.nodes),
        "bytes": target.stat().st_size,
    }
    if as_json:
        return json.dumps(figures, indent=2) + "\n"
    return "{file}: {tasks} tasks on {nodes} nodes, {bytes} bytes\n".format(**figures)
