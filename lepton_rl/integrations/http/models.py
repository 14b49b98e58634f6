"""What goes over the wire."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from lepton_rl.core.nodes import Node
from lepton_rl.core.tasks import Task, TaskState

__all__ = [
    "Choice", "DecideRequest", "DecideResponse", "EventOut", "Health", "ListQuery", "NodeIn",
    "NodeOut", "NodeState", "Overview", "PolicyOut", "Problem", "Ready", "ReloadRequest",
    "RunningIn", "TaskIn", "TaskList", "TaskOut",
]  # fmt: skip

TaskId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,128}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Seconds = Annotated[float, Field(ge=0, le=1e11)]
Amounts = Annotated[dict[Name, Annotated[float, Field(ge=0, le=1e12)]], Field(max_length=64)]
Names = Annotated[list[Name], Field(max_length=1000)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Problem(_Model):
    """Why a request was refused."""

    detail: str


class TaskIn(_Model):
    """A task; docs/cluster.md describes the fields."""

    id: TaskId
    demand: Amounts
    requested_time_s: Annotated[float, Field(gt=0, le=1e11)]
    run_time_s: Annotated[float, Field(gt=0, le=1e11)] | None = None
    submit_time_s: Seconds = 0.0
    num_replicas: Annotated[int, Field(ge=1, le=10_000)] = 1
    urgency: Annotated[float, Field(ge=-1e9, le=1e9)] = 0.0
    critical: bool = False
    required_labels: Names = []
    device_models: Names = []
    exclusive_node: bool = False
    tenant: Annotated[str, StringConstraints(max_length=256)] = ""
    depends_on: Annotated[list[TaskId], Field(max_length=1000)] = []
    max_retries: Annotated[int, Field(ge=0, le=1000)] = 0
    preemptible: bool = False
    checkpoint_interval_s: Annotated[float, Field(gt=0, le=1e11)] | None = None
    command: Annotated[list[Annotated[str, StringConstraints(max_length=65_536)]],
                       Field(max_length=1000)] = []  # fmt: skip
    environment: Annotated[dict[Name, Annotated[str, StringConstraints(max_length=65_536)]],
                           Field(max_length=1000)] = {}  # fmt: skip
    working_directory: Annotated[str, StringConstraints(max_length=4096)] = ""
    deadline_s: Seconds | None = None
    task_class: Annotated[str, StringConstraints(max_length=256)] = ""

    def task(self) -> Task:
        """What the scheduler takes.

        Raises:
            ConfigError: a field that does not go with the others.
        """
        values: dict[str, Any] = self.model_dump()
        for name in ("required_labels", "device_models"):
            values[name] = frozenset(values[name])
        return Task(**values)


class TaskOut(_Model):
    """Where a task is in its life; times are on the scheduler's clock."""

    id: str
    state: str
    reason: str = ""
    submit_s: float | None = None
    start_s: float | None = None
    end_s: float | None = None
    nodes: list[str] = []
    demand: dict[str, float] = {}


class TaskList(_Model):
    """Unfinished tasks and those that ended lately, in order of submission.

    Attributes:
        total: how many there are in all, this page and others.
    """

    tasks: list[TaskOut]
    total: int


class ListQuery(_Model):
    """Which tasks to list."""

    state: TaskState | None = None
    offset: Annotated[int, Field(ge=0, le=2**31)] = 0
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class NodeIn(_Model):
    """A machine; docs/cluster.md describes the fields."""

    name: Name
    capacity: Amounts
    device_model: Annotated[str, StringConstraints(max_length=256)] = ""
    labels: Names = []

    def node(self) -> Node:
        """What the scheduler takes.

        Raises:
            ConfigError: a field that does not go with the others.
        """
        return Node(self.name, self.capacity, self.device_model, frozenset(self.labels))


class NodeOut(_Model):
    """A machine now."""

    name: str
    state: str
    load: float
    capacity: dict[str, float]
    free: dict[str, float]
    device_model: str
    held_for: str | None = None


class NodeState(_Model):
    """What becomes of a node."""

    state: Literal["up", "draining", "down"]


class RunningIn(_Model):
    """A task that holds nodes: one name for each replica."""

    task: TaskIn
    nodes: Annotated[list[Name], Field(min_length=1, max_length=10_000)]
    start_s: Seconds = 0.0


class DecideRequest(_Model):
    """A whole cluster at one moment; nothing of it is kept."""

    nodes: Annotated[list[NodeIn], Field(min_length=1, max_length=10_000)]
    pending: Annotated[list[TaskIn], Field(max_length=10_000)]
    running: Annotated[list[RunningIn], Field(max_length=10_000)] = []
    now_s: Seconds = 0.0
    max_decisions: Annotated[int, Field(ge=1, le=1000)] = 1


class Choice(_Model):
    """One decision."""

    action: Literal["start", "preempt", "wait"]
    task: str | None = None
    nodes: list[str] = []


class DecideResponse(_Model):
    """Decisions in their order, each made after those before it were carried out.

    Attributes:
        fallbacks: what the guard had to replace, by cause; empty if nothing.
    """

    policy: str
    decisions: list[Choice]
    fallbacks: dict[str, int] = {}


class PolicyOut(_Model):
    """Who decides.

    Attributes:
        events: what became of its answers (docs/production.md).
    """

    name: str
    previous: str | None
    fallback: str
    sha256: str | None
    events: dict[str, int]


class ReloadRequest(_Model):
    """A file in the policy folder."""

    file: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}\.onnx$")]


class EventOut(_Model):
    """Something that happened, at `time_s` on the scheduler's clock."""

    time_s: float
    event: str
    task: str | None = None
    nodes: list[str] = []
    detail: str = ""


class Overview(_Model):
    """What the live page shows."""

    now_s: float
    policy: PolicyOut
    tasks: dict[str, int]
    ended: dict[str, int]
    decisions: dict[str, int]
    incidents: dict[str, int]
    allocated: dict[str, float]
    longest_wait_s: float
    mean_wait_s: float
    nodes: list[NodeOut]
    pending: list[TaskOut]
    running: list[TaskOut]
    events: list[EventOut]
    problem: str = ""


class Health(_Model):
    """The process answers."""

    status: Literal["ok"] = "ok"
    version: str


class Ready(_Model):
    """Whether tasks are taken and decided about, and if not, why."""

    ready: bool
    problem: str = ""
