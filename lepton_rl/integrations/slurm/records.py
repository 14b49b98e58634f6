"""What Slurm told us in one round, whatever its version."""

from __future__ import annotations

from dataclasses import dataclass

from lepton_rl.integrations.slurm.gres import Gres

__all__ = ["Share", "SlurmJob", "SlurmNode", "Snapshot"]

USER_HOLD = "JobHeldUser"
_UNFINISHED = {
    "PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "STAGE_OUT", "SIGNALING",
    "STOPPED", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESIZING",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Share:
    """What a job holds on one node.

    Attributes:
        node: its name.
        cpus: CPUs, which may be a fraction where a job's CPUs are spread unevenly.
        memory_mib: memory.
        gres: cards.
    """

    node: str
    cpus: float
    memory_mib: int
    gres: tuple[Gres, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmJob:
    """One record of the queue; a pending array is one record.

    Attributes:
        id: job id.
        state: base state, e.g. PENDING.
        reason: why it is pending, e.g. Priority.
        priority: 0 for a held job.
        partitions: where it may run.
        user: who submitted it.
        submit_s: Unix time; so are the others, 0 where unknown.
        eligible_s: before it, it may not start.
        start_s: of the present run.
        limit_s: time limit in s; None if it has none.
        node_count: nodes it asks for at least, or has.
        cpus: CPUs of all nodes together.
        tasks: processes it asks for.
        memory_per_node_mib: None where it was not given.
        memory_per_cpu_mib: None where it was not given.
        gres_per_node: cards on each node.
        gres_per_job: cards of all nodes together.
        gres_per_task: cards of each process.
        is_exclusive: nothing else may run on its nodes.
        features: constraint on the features of its nodes.
        required_nodes: names; it must have all of them.
        excluded_nodes: names.
        dependency: of what it still waits for, "" for nothing.
        reservation: in which it runs.
        comment: Comment and AdminComment.
        restarts: how often it was requeued.
        array_id: of its array; 0 if it is of none.
        element: its number in the array, once it is a job of its own.
        elements: of a pending array: numbers of its pending elements.
        elements_text: the same as Slurm writes it, without the limit; "" if it is none.
        array_limit: elements of the array that may run at once; 0 for any number.
        is_het: part of a heterogeneous job.
        shares: what it holds, if it runs.
    """

    id: int
    state: str
    reason: str = ""
    priority: int = 0
    partitions: tuple[str, ...] = ()
    user: str = ""
    submit_s: float = 0.0
    eligible_s: float = 0.0
    start_s: float = 0.0
    limit_s: float | None = None
    node_count: int = 1
    cpus: int = 1
    tasks: int = 1
    memory_per_node_mib: int | None = None
    memory_per_cpu_mib: int | None = None
    gres_per_node: tuple[Gres, ...] = ()
    gres_per_job: tuple[Gres, ...] = ()
    gres_per_task: tuple[Gres, ...] = ()
    is_exclusive: bool = False
    features: str = ""
    required_nodes: tuple[str, ...] = ()
    excluded_nodes: tuple[str, ...] = ()
    dependency: str = ""
    reservation: str = ""
    comment: frozenset[str] = frozenset()
    restarts: int = 0
    array_id: int = 0
    element: int | None = None
    elements: tuple[int, ...] = ()
    elements_text: str = ""
    array_limit: int = 0
    is_het: bool = False
    shares: tuple[Share, ...] = ()

    @property
    def is_pending(self) -> bool:
        """Whether it waits."""
        return self.state == "PENDING"

    @property
    def holds_nodes(self) -> bool:
        """Whether it runs, or still has nodes though it does not."""
        return bool(self.shares) and self.state in {"RUNNING", "COMPLETING", "CONFIGURING"}

    @property
    def is_over(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.state not in _UNFINISHED

    @property
    def is_held(self) -> bool:
        """Whether somebody holds it."""
        return self.is_pending and self.priority == 0

    @property
    def is_user_held(self) -> bool:
        """Whether it is a user's hold; holds of an administrator are never ours to touch."""
        return self.is_held and self.reason == USER_HOLD

    @property
    def name(self) -> str:
        """As `scontrol` takes it; of a pending array, all elements that are pending."""
        if self.elements_text:
            return f"{self.array_id}_[{self.elements_text}]"
        if self.array_id and self.element is not None:
            return f"{self.array_id}_{self.element}"
        return str(self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmNode:
    """One node.

    Attributes:
        name: unique.
        cpus: CPUs (hardware threads, as Slurm counts them).
        memory_mib: memory.
        gres: cards.
        features: active ones.
        partitions: it is part of.
        is_usable: whether it takes jobs: neither down, drained, failing, nor rebooting.
        is_reserved: whether a reservation holds it now.
    """

    name: str
    cpus: int
    memory_mib: int
    gres: tuple[Gres, ...] = ()
    features: frozenset[str] = frozenset()
    partitions: frozenset[str] = frozenset()
    is_usable: bool = True
    is_reserved: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The queue and the nodes at one moment.

    Attributes:
        jobs: all that Slurm told of, those that have just ended included.
        nodes: by name.
        now_s: Unix time.
        boot: when slurmctld began, as it writes it.
    """

    jobs: tuple[SlurmJob, ...]
    nodes: tuple[SlurmNode, ...]
    now_s: float
    boot: str = ""
