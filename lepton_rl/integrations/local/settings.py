"""Settings of the local executor."""

from __future__ import annotations

from pydantic import Field

from lepton_rl.core.settings import Settings

__all__ = ["LocalSettings"]

_DEVICE_VARIABLES: dict[str, tuple[str, ...]] = {"gpu": ("CUDA_VISIBLE_DEVICES",)}


class LocalSettings(Settings):
    """How tasks run on this machine.

    Attributes:
        time_limit_factor: a task is stopped after this multiple of its requested time (> 0); None
            for no limit.
        stop_grace_s: from the request to end (SIGTERM) to the end by force (SIGKILL), >= 0.
        output_limit_mib: what is kept of each output stream of a replica, half of it from the
            beginning and half from the end (> 0); up to twice as much is used for a while.
        limit_memory: cap the address space of each process at the task's demand for memory. Never
            done to tasks that use cards, because CUDA reserves far more addresses than memory.
        cpus_of_node: node index -> the CPUs of this machine that its tasks may use; nodes that are
            not named use any.
        device_variables: device kind -> environment variables that get the numbers of a replica's
            cards.
        cards_of_node: node index -> device kind -> what this machine calls the node's cards, in
            their order; for several nodes that are parts of one machine. Cards of nodes and kinds
            that are not named are called by their index.
    """

    time_limit_factor: float | None = Field(None, gt=0)
    stop_grace_s: float = Field(5.0, ge=0)
    output_limit_mib: float = Field(64.0, gt=0)
    limit_memory: bool = True
    cpus_of_node: dict[int, tuple[int, ...]] = Field(default_factory=dict)
    device_variables: dict[str, tuple[str, ...]] = Field(
        default_factory=lambda: dict(_DEVICE_VARIABLES)
    )
    cards_of_node: dict[int, dict[str, tuple[int, ...]]] = Field(default_factory=dict)
