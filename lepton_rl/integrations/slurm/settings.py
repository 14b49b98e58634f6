"""Settings of an attachment to Slurm."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lepton_rl.core.settings import Settings

__all__ = ["SlurmSettings"]


class SlurmSettings(Settings):
    """How we read Slurm's queue, and what we may do to it.

    Attributes:
        mode: `priority` orders pending jobs and Slurm places them; `placement` releases held jobs
            to the nodes that the policy chose.
        interval_s: between two rounds.
        timeout_s: for one Slurm command; they block while slurmctld is down.
        partitions: only jobs of these partitions are touched; none stands for all.
        marker: placement mode touches held jobs whose Comment or AdminComment is this, no others.
        grace_s: a released job that does not run after so long is taken back.
        rest_s: how long it then stays held before it is tried again.
        default_limit_s: requested time of jobs without a time limit.
        device_kinds: name of a GRES -> device kind; other GRES are left to Slurm.
        array_elements: of each pending array, the policy sees at most so many elements
            (placement mode; in priority mode a pending array is one job, as it is for Slurm).
        ranked: priority mode: so many jobs are ranked by the policy, the others follow in the
            order in which they came.
        base_priority: priorities that we give lie above it; it should lie above those of Slurm's
            own multifactor plugin.
        log_mib: a decision log that has grown larger is put aside, and a new one begun.
        log_files: so many of those are kept.
    """

    mode: Literal["priority", "placement"] = "priority"
    interval_s: float = Field(default=2.0, gt=0, le=3600)
    timeout_s: float = Field(default=20.0, gt=0, le=600)
    partitions: tuple[str, ...] = ()
    marker: str = Field(default="lepton-rl", min_length=1)
    grace_s: float = Field(default=30.0, gt=0)
    rest_s: float = Field(default=60.0, ge=0)
    default_limit_s: float = Field(default=86_400.0, gt=0, le=1e9)
    device_kinds: dict[str, str] = Field(default={"gpu": "gpu", "fpga": "fpga"})
    array_elements: int = Field(default=64, ge=1, le=10_000)
    ranked: int = Field(default=256, ge=1, le=4096)
    base_priority: int = Field(default=1_000_000_000, ge=1, le=2_000_000_000)
    log_mib: float = Field(default=32.0, ge=0.001, le=65_536)
    log_files: int = Field(default=4, ge=0, le=1000)
