"""Ray for a while: the cluster that the program is connected to, or one that is started here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lepton_rl.core.errors import ConfigError

__all__ = ["ray_session"]

_OBJECT_STORE_BYTES = 256 * 2**20


@contextmanager
def ray_session(cpus: int, option: str) -> Iterator[Any]:
    """The module `ray`, connected; what was started here ends with the context.

    With `RAY_ADDRESS` in the environment Ray connects to the cluster it names.

    Args:
        cpus: that are needed at the same time (>= 1).
        option: what asked for Ray, for errors.

    Raises:
        ConfigError: Ray is not installed, or its cluster has fewer cores.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{option}: ray is missing; install it with: pip install 'lepton-rl[ray]', or go"
            " without"
        ) from error
    ours = not ray.is_initialized()
    if ours:
        local: dict[str, Any] = {"num_cpus": cpus, "object_store_memory": _OBJECT_STORE_BYTES}
        ray.init(
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
            **({} if "RAY_ADDRESS" in os.environ else local),
        )
    try:
        there = int(ray.cluster_resources().get("CPU", 0))
        if there < cpus:
            raise ConfigError(
                f"{option}: {cpus} cores are needed and Ray's cluster has {there}; ask for fewer,"
                " or add machines"
            )
        yield ray
    finally:
        if ours:
            ray.shutdown()
