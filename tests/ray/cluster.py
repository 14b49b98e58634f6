"""Three small Ray nodes on the loopback interface, with bounded memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

OBJECT_STORE_BYTES = 100 * 2**20
NODES = ({"num_cpus": 8}, {"num_cpus": 8, "num_gpus": 2}, {"num_cpus": 8, "fpga": 2})


def set_environment(folder: str) -> None:
    """Before Ray is imported: no reports to anybody, one machine, its files in `folder`."""
    os.environ |= {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_TMPDIR": folder,
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_DISABLE_IMPORT_WARNING": "1",
    }


@contextmanager
def ray_nodes() -> Iterator[list[str]]:
    """Start the nodes; gives Ray's ids of them, and stops them at the end."""
    with tempfile.TemporaryDirectory(prefix="r") as folder:
        set_environment(folder)
        import ray
        from ray.cluster_utils import Cluster

        usual = {"object_store_memory": OBJECT_STORE_BYTES, "node_ip_address": "127.0.0.1"}
        cluster = Cluster(
            initialize_head=True, head_node_args={**usual, **NODES[0], "include_dashboard": False}
        )
        try:
            ids = [cluster.head_node.node_id]
            for node in NODES[1:]:
                custom = {k: v for k, v in node.items() if not k.startswith("num_")}
                sizes = {k: v for k, v in node.items() if k.startswith("num_")}
                ids.append(cluster.add_node(**usual, **sizes, resources=custom).node_id)
            ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
            yield ids
        finally:
            ray.shutdown()
            cluster.shutdown()
