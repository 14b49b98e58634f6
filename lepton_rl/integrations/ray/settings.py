"""Settings of the Ray executor."""

from __future__ import annotations

from pydantic import Field

from lepton_rl.core.settings import Settings

__all__ = ["RaySettings"]


class RaySettings(Settings):
    """How tasks run on a Ray cluster.

    Attributes:
        stop_grace_s: from the request to end (SIGTERM) to the end by force (SIGKILL), >= 0.
        start_timeout_s: so long a gang may take until all its replicas are there; after it, its
            start has failed (> 0).
        device_resources: device kind -> Ray's name of that resource; `GPU` is Ray's own, others are
            custom resources of the nodes (`ray start --resources='{"fpga": 2}'`).
        limit_memory: ask Ray for a task's memory too. Ray counts it, and stops nobody who takes
            more.
    """

    stop_grace_s: float = Field(default=5.0, ge=0)
    start_timeout_s: float = Field(default=60.0, gt=0)
    device_resources: dict[str, str] = Field(default={"gpu": "GPU", "fpga": "fpga"})
    limit_memory: bool = True
