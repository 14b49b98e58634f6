"""TaskQueue: everything that was submitted, and where each task is in its life."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator

from lepton_rl.core.clock import to_us
from lepton_rl.core.errors import ConfigError, StateError
from lepton_rl.core.intake import Intake
from lepton_rl.core.naming import did_you_mean
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.rules.queueing import arrive, enter_queue, enter_run, leave_queue, leave_run
from lepton_rl.core.tables import Ints, Records
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.system.life import NO_ROW, Entry, StopReason
from lepton_rl.system.state import Tables

__all__ = ["TaskQueue"]


class TaskQueue:
    """Tasks from submission to their end; docs/system.md has their states.

    Rules and policies know a task by its local index in the tables, which it gets when it arrives.

    Args:
        cluster: the tasks are checked against it.
        tables: where pending and running tasks have their rows.
        on_move: told the new local index of each old one whenever rows move.
        on_end: told of each task that has reached a final state, and when (us).

    Attributes:
        num_unfinished: tasks that have not reached a final state.
        find_ended: a task that ended before this queue began, and how, by its id; None if there
            was none.
        on_arrival: told of each task that is about to be pending for the first time; it may change
            the entry's record.
    """

    def __init__(
        self,
        cluster: Cluster,
        tables: Tables,
        on_move: Callable[[Ints], None] | None = None,
        on_end: Callable[[Entry, int], None] | None = None,
    ) -> None:
        self._intake, self._tables = Intake(cluster), tables
        self._on_move, self._on_end = on_move, on_end
        self.find_ended: Callable[[str], tuple[Task, TaskState] | None] = lambda task_id: None
        self.on_arrival: Callable[[Entry], None] = lambda entry: None
        self._ended_before: dict[str, TaskState] = {}
        self._entries: dict[str, Entry] = {}
        self._arriving: list[tuple[int, int, Entry]] = []  # heap of (submit_us, serial, entry)
        self._present: list[Entry] = []  # by local index
        self._dependents: dict[str, list[Entry]] = {}  # of tasks that have not ended
        self._resting: list[Entry] = []
        self.num_unfinished = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def tenants(self) -> dict[str, int]:
        """Tenant -> number, of all that have submitted a task."""
        return self._intake.tenants

    @property
    def num_pending(self) -> int:
        """Tasks that wait for nodes and that policies see."""
        return int(self._tables.view.status["num_pending"][0])

    @property
    def pending(self) -> tuple[Task, ...]:
        """The tasks that wait for nodes, in order of their submit times."""
        listed = self._tables.view.pending[0, : self.num_pending]
        return tuple(self._present[local].task for local in listed)

    @property
    def running(self) -> tuple[Task, ...]:
        """The tasks that hold nodes, in order of their expected ends."""
        return tuple(entry.task for entry in self.on_nodes())

    def on_nodes(self) -> list[Entry]:
        """The tasks that hold nodes, in order of their expected ends."""
        view = self._tables.view
        return [self._present[local] for local in view.running[0, : view.status["num_running"][0]]]

    def waiting(self) -> list[Entry]:
        """The tasks that wait for nodes, withheld ones included, in order of arrival."""
        return [entry for entry in self._present if entry.state is TaskState.PENDING]

    def unfinished(self) -> Iterator[Entry]:
        """Tasks that have not reached a final state, in order of submission."""
        return (entry for entry in self._entries.values() if not entry.state.is_final)

    def check(self, task: Task, together: Collection[str] = ()) -> Records:
        """What the rules will see of a task, `(1,)`; see `submit` for what it raises."""
        if task.id in self._entries:
            state = self._entries[task.id].state.value
            raise StateError(
                f"task {task.id!r} was submitted before and is {state}; give each task its own id"
            )
        for name in task.depends_on:
            if name not in self._entries and name not in together and not self._ended(name):
                hint = did_you_mean(name, [*together, *self._entries])
                raise ConfigError(
                    f"task {task.id!r}: depends_on: no task {name!r} was submitted; submit it"
                    f" before or together with this one ({hint})"
                )
        return self._intake.table([task])

    def submit(self, task: Task, together: Collection[str] = ()) -> None:
        """Take in a task. Its submit time may lie ahead, or behind: then it arrives at once.

        Args:
            task: arrives when its submit time has come and all it depends on has completed.
            together: ids of tasks that are submitted in one go with it.

        Raises:
            StateError: a task of this id was submitted before.
            InfeasibleTaskError: the cluster can never hold it.
            ConfigError: a demand is not an amount of its kind, or it depends on an unknown task.
        """
        record = self.check(task, together)
        entry = Entry(task, len(self), int(to_us(task.submit_time_s)), record)
        self._entries[task.id] = entry
        self.num_unfinished += 1
        entry.needs.update(
            name
            for name in task.depends_on
            if self._final_state_of(name) is not TaskState.COMPLETED
        )
        for name in entry.needs:
            self._dependents.setdefault(name, []).append(entry)
        if not entry.needs:
            self._await(entry)

    def cancel_if_doomed(self, task_id: str, now_us: int) -> None:
        """Cancel a task just submitted if something it depends on can never complete."""
        entry = self._entries[task_id]
        for name in sorted(entry.needs):
            state = self._final_state_of(name)
            if state is not None and not entry.state.is_final:
                self.end(task_id, TaskState.CANCELLED, _doom(name, state), now_us)

    def next_arrival_us(self) -> int | None:
        """The earliest submit time ahead, None if there is none."""
        while self._arriving and self._arriving[0][2].state is not TaskState.SUBMITTED:
            heapq.heappop(self._arriving)
        return self._arriving[0][0] if self._arriving else None

    def receive(self, now_us: int) -> Task | None:
        """Let the next task whose time has come be pending; None if there is none."""
        next_us = self.next_arrival_us()
        if next_us is None or next_us > now_us:
            return None
        entry = heapq.heappop(self._arriving)[2]
        self.admit(entry)
        return entry.task

    def admit(self, entry: Entry) -> None:
        """A task that was submitted is pending from now on, whatever its submit time."""
        self.on_arrival(entry)
        moved = self._tables.make_room(entry.task.num_replicas)
        if moved is not None:
            self._follow(moved)
        self._tables.make_tenants(len(self.tenants))
        entry.local = self._tables.add(entry.record)
        self._present.append(entry)
        arrive(self._tables.view, 0, entry.local)
        self._tables.view.spans["kept_us"][0, entry.local] = entry.kept_us
        entry.state = TaskState.PENDING

    def start(self, local: int, nodes: tuple[int, ...] = ()) -> None:
        """A pending task, whose nodes have been allocated, runs from now on.

        Args:
            local: its local index.
            nodes: index of the node of each replica.
        """
        view, entry = self._tables.view, self._present[local]
        enter_run(view, 0, local)
        entry.state, entry.nodes = TaskState.RUNNING, nodes
        entry.speed = float(view.spans["speed"][0, local])
        entry.started_us = int(view.status["now_us"][0])

    def stop(self, entry: Entry, why: StopReason, detail: str = "") -> None:
        """A running task is being stopped; it holds its nodes until it has.

        A task that is being cancelled stays so, whatever else happens to it.
        """
        if entry.stopping is StopReason.CANCEL:
            return
        entry.stopping, entry.stop_detail = why, detail
        self._tables.view.spans["stopping"][0, entry.local] = True
        entry.state = TaskState.RUNNING if why is StopReason.CANCEL else TaskState.PREEMPTED

    def finish(self, task_id: str) -> None:
        """A running task has completed; its nodes are free again.

        Raises:
            StateError: it is not running.
        """
        self.require_running(task_id)
        self.end(task_id, TaskState.COMPLETED)

    def require_running(self, task_id: str) -> Entry:
        """What is known of a task that holds nodes.

        Raises:
            StateError: it does not.
        """
        entry = self._present[self.local_of(task_id)]
        if not entry.state.is_on_nodes:
            raise StateError(
                f"expected the end of a running task, got {task_id!r}, which is {entry.state.value}"
            )
        return entry

    def requeue(self, task_id: str, kept_us: int = 0, *, resting: bool = False) -> None:
        """A task that held nodes has given them back and is pending again.

        Args:
            task_id: which.
            kept_us: work it keeps, in us of its run time.
            resting: keep it from the policies' sight until `wake`.
        """
        entry = self.require_running(task_id)
        leave_run(self._tables.view, 0, entry.local)
        entry.stopping, entry.stop_detail, entry.kept_us = None, "", kept_us
        self._tables.view.spans["kept_us"][0, entry.local] = kept_us
        enter_queue(self._tables.view, 0, entry.local)
        entry.state = TaskState.PENDING
        if resting:
            self.rest(entry)

    def rest(self, entry: Entry) -> None:
        """Keep a pending task from the policies' sight until `wake`."""
        self.withhold(entry)
        entry.resting = True
        self._resting.append(entry)

    @property
    def has_resting(self) -> bool:
        """Whether there is anything to `wake`."""
        return bool(self._resting)

    def wake(self) -> None:
        """Let policies see all tasks that rest."""
        for entry in self._resting:
            if entry.resting and entry.state is TaskState.PENDING:
                self.offer(entry)
            entry.resting = False
        self._resting.clear()

    def end(self, task_id: str, state: TaskState, reason: str = "", end_us: int = 0) -> None:
        """A task has reached a final state; its nodes are free, and what depends on it goes on.

        Where it has not completed, tasks that depend on it are cancelled, and so forth.
        """
        ending = [(self.entry(task_id), state, reason)]
        while ending:
            entry, final, why = ending.pop()
            if entry.state.is_final:
                continue
            self._leave(entry)
            entry.state, entry.reason, entry.stopping = final, why, None
            self.num_unfinished -= 1
            if self._on_end is not None:
                self._on_end(entry, end_us)
            for dependent in self._dependents.pop(entry.task.id, ()):
                if final is TaskState.COMPLETED:
                    self._satisfy(dependent, entry.task.id)
                else:
                    ending.append((dependent, TaskState.CANCELLED, _doom(entry.task.id, final)))

    def withhold(self, entry: Entry) -> None:
        """Take a pending task out of the policies' sight."""
        leave_queue(self._tables.view, 0, entry.local)
        entry.withheld = True

    def offer(self, entry: Entry) -> None:
        """Let policies see a withheld task again."""
        enter_queue(self._tables.view, 0, entry.local)
        entry.withheld = False

    def redescribe(self, intake: Intake) -> None:
        """The cluster has changed: describe all unfinished tasks anew (labels, models, classes)."""
        self._intake = intake
        for entry in self.unfinished():
            intake.mark(entry.record, 0, entry.task)
            if entry.local != NO_ROW:
                for name in ("labels", "models", "task_class"):
                    self._tables.view.tasks[name][entry.local] = entry.record[name][0]

    def entry(self, task_id: str) -> Entry:
        """What is known of a task.

        Raises:
            StateError: no such task was submitted.
        """
        if task_id not in self._entries:
            raise StateError(f"no task {task_id!r} was submitted")
        return self._entries[task_id]

    def entry_at(self, local: int) -> Entry | None:
        """What is known of the pending or running task of a local index; any integer will do."""
        if not 0 <= local < len(self._present) or self._present[local].local != local:
            return None
        return self._present[local]

    def state_of(self, task_id: str) -> TaskState:
        """Where a task is in its life; raises as `entry` does."""
        return self.entry(task_id).state

    def is_pending(self, local: int) -> bool:
        """Whether a policy may start the task of this local index; any integer may be asked for."""
        entry = self.entry_at(local)
        return entry is not None and entry.state is TaskState.PENDING and not entry.withheld

    def task_at(self, local: int) -> Task:
        """The task of a local index."""
        return self._present[local].task

    def local_of(self, task_id: str) -> int:
        """Local index of a pending or running task.

        Raises:
            StateError: it is neither.
        """
        entry = self.entry(task_id)
        if entry.local == NO_ROW:
            state = entry.state.value
            raise StateError(f"expected a pending or running task, got {task_id!r}: {state}")
        return entry.local

    def _final_state_of(self, task_id: str) -> TaskState | None:
        """How a task ended, now or before this queue began; None if it has not."""
        entry = self._entries.get(task_id)
        if entry is None:
            return self._ended_before.get(task_id)
        return entry.state if entry.state.is_final else None

    def _ended(self, task_id: str) -> bool:
        """Whether a task ended before this queue began."""
        if task_id not in self._ended_before:
            found = self.find_ended(task_id)
            if found is not None:
                self._ended_before[task_id] = found[1]
        return task_id in self._ended_before

    def _satisfy(self, dependent: Entry, task_id: str) -> None:
        dependent.needs.discard(task_id)
        if not dependent.needs and not dependent.state.is_final:
            self._await(dependent)

    def _await(self, entry: Entry) -> None:
        heapq.heappush(self._arriving, (entry.submit_us, entry.serial, entry))

    def _leave(self, entry: Entry) -> None:
        """Take a task out of wherever it is in the tables."""
        if entry.local == NO_ROW:
            return
        if entry.state.is_on_nodes:
            leave_run(self._tables.view, 0, entry.local)
        elif not entry.withheld:
            leave_queue(self._tables.view, 0, entry.local)
        self._tables.drop(entry.local)
        entry.local = NO_ROW

    def _follow(self, moved: Ints) -> None:
        kept = zip(self._present, moved.tolist(), strict=True)
        self._present = [entry for entry, local in kept if local >= 0]
        for local, entry in enumerate(self._present):
            entry.local = local
        if self._on_move is not None:
            self._on_move(moved)


def _doom(task_id: str, state: TaskState) -> str:
    return f"it depends on task {task_id!r}, which is {state.value}"
