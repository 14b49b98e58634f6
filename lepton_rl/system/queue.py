"""TaskQueue: everything that was submitted, and where each task is in its life."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from lepton_rl.core.errors import ConfigError, NotFoundError, StateError
from lepton_rl.core.intake import Intake
from lepton_rl.core.naming import did_you_mean
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.rules.queueing import arrive, enter_queue, enter_run, leave_queue, leave_run
from lepton_rl.core.tables import Ints, Records
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.system.arrivals import Arrivals
from lepton_rl.system.ended import EndedTasks, Ending
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
        keep_ended: of how many tasks that have ended, the latest, it keeps why and with which exit
            code; None for all. Their final states are always known, unfinished tasks always whole.

    Attributes:
        on_arrival: told of each task that is about to be pending for the first time; it may change
            the entry's record.
        ended: how tasks ended.
    """

    def __init__(
        self,
        cluster: Cluster,
        tables: Tables,
        on_move: Callable[[Ints], None] | None = None,
        on_end: Callable[[Entry, int], None] | None = None,
        keep_ended: int | None = None,
    ) -> None:
        self._intake, self._tables = Intake(cluster), tables
        self._on_move, self._on_end = on_move, on_end
        self.on_arrival: Callable[[Entry], None] = lambda entry: None
        self.ended = EndedTasks(keep_ended)
        self._entries: dict[str, Entry] = {}  # of unfinished tasks, in order of submission
        self._arrivals = Arrivals()
        self._present: list[Entry] = []  # by local index
        self._dependents: dict[str, dict[str, Entry]] = {}  # of unfinished tasks, likewise
        self._resting: list[Entry] = []
        self._serial = 0

    def __len__(self) -> int:
        """Tasks taken in."""
        return self._serial

    @property
    def num_unfinished(self) -> int:
        """Tasks that have not reached a final state."""
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
        return iter(self._entries.values())

    def check(self, tasks: Sequence[Task], together: Collection[str] = ()) -> list[Records]:
        """What the rules will see of each task, `(1,)`; see `submit` for what it raises."""
        for task in tasks:
            self._require_known(task, together)
        table = self._intake.table(tasks)
        return [table[row : row + 1].copy() for row in range(len(tasks))]

    def _require_known(self, task: Task, together: Collection[str]) -> None:
        """A new task must have an id of its own, and depend on tasks that there are."""
        entry = self._entries.get(task.id)
        state = entry.state if entry is not None else self.ended.state_here(task.id)
        if state is not None:
            raise StateError(
                f"task {task.id!r} was submitted before and is {state.value};"
                " give each task its own id"
            )
        for name in task.depends_on:
            is_here = name in self._entries or name in together
            if not is_here and self.ended.state_of(name) is None:
                hint = did_you_mean(name, [*together, *self._entries])
                raise ConfigError(
                    f"task {task.id!r}: depends_on: no task {name!r} was submitted; submit it"
                    f" before or together with this one ({hint})"
                )

    def submit(
        self, task: Task, together: Collection[str] = (), record: Records | None = None
    ) -> None:
        """Take in a task. Its submit time may lie ahead, or behind: then it arrives at once.

        Args:
            task: arrives when its submit time has come and all it depends on has completed.
            together: ids of tasks that are submitted in one go with it.
            record: what `check` said of it just before; None checks it here.

        Raises:
            StateError: a task of this id was submitted before.
            InfeasibleTaskError: the cluster can never hold it.
            ConfigError: a demand is not an amount of its kind, or it depends on an unknown task.
        """
        if record is None:
            (record,) = self.check([task], together)
        entry = Entry(task, self._serial, int(record["submit_us"][0]), record)
        self._entries[task.id] = entry
        self._serial += 1
        for name in task.depends_on:
            final = self._final_state_of(name)
            if final is not TaskState.COMPLETED:
                entry.needs.add(name)
            if final is None:
                self._dependents.setdefault(name, {})[task.id] = entry
        if not entry.needs:
            self._arrivals.add(entry)

    def cancel_if_doomed(self, task_id: str, now_us: int) -> None:
        """Cancel a task just submitted if something it depends on can never complete."""
        entry = self._entries.get(task_id)
        for name in sorted(entry.needs) if entry is not None else ():
            state = self._final_state_of(name)
            if state is not None:
                self.end(task_id, TaskState.CANCELLED, _doom(name, state), now_us)
                return

    def next_arrival_us(self) -> int | None:
        """The earliest submit time ahead, None if there is none."""
        return self._arrivals.next_us()

    def receive(self, now_us: int) -> Task | None:
        """Let the next task whose time has come be pending; None if there is none."""
        next_us = self._arrivals.next_us()
        if next_us is None or next_us > now_us:
            return None
        entry = self._arrivals.pop()
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
        arrive(self._tables.handle, 0, entry.local)
        if entry.kept_us:
            self._tables.view.spans["kept_us"][0, entry.local] = entry.kept_us
        entry.state = TaskState.PENDING

    def start(self, local: int, nodes: tuple[int, ...] = ()) -> None:
        """A pending task, whose nodes have been allocated, runs from now on.

        Args:
            local: its local index.
            nodes: index of the node of each replica.
        """
        view, entry = self._tables.view, self._present[local]
        enter_run(self._tables.handle, 0, local)
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
        leave_run(self._tables.handle, 0, entry.local)
        entry.stopping, entry.stop_detail, entry.kept_us = None, "", kept_us
        self._tables.view.spans["kept_us"][0, entry.local] = kept_us
        enter_queue(self._tables.handle, 0, entry.local)
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

        Where it has not completed, tasks that depend on it are cancelled, and so forth. Nothing
        happens to one that has ended already.
        """
        if self.state_of(task_id).is_final:
            return
        ending = [(self._entries[task_id], state, reason)]
        while ending:
            entry, final, why = ending.pop()
            if entry.state.is_final:
                continue
            self._leave(entry)
            entry.state, entry.reason, entry.stopping = final, why, None
            self._forget(entry)
            if self._on_end is not None:
                self._on_end(entry, end_us)
            for dependent in self._dependents.pop(entry.task.id, {}).values():
                if final is TaskState.COMPLETED:
                    self._satisfy(dependent, entry.task.id)
                else:
                    ending.append((dependent, TaskState.CANCELLED, _doom(entry.task.id, final)))

    def withhold(self, entry: Entry) -> None:
        """Take a pending task out of the policies' sight."""
        leave_queue(self._tables.handle, 0, entry.local)
        entry.withheld = True

    def offer(self, entry: Entry) -> None:
        """Let policies see a withheld task again."""
        enter_queue(self._tables.handle, 0, entry.local)
        entry.withheld = False

    def redescribe(self, intake: Intake) -> None:
        """The cluster has changed: describe all unfinished tasks anew (labels, models, classes)."""
        self._intake = intake
        for entry in self.unfinished():
            intake.mark(entry.record, 0, entry.task)
            if entry.local != NO_ROW:
                for name in ("labels", "models", "task_class"):
                    self._tables.view.tasks[name][entry.local] = entry.record[name][0]

    def find(self, task_id: str) -> Entry | None:
        """What is known of an unfinished task; None if it is none."""
        return self._entries.get(task_id)

    def entry(self, task_id: str) -> Entry:
        """What is known of an unfinished task.

        Raises:
            StateError: no such task was submitted, or it has ended.
        """
        entry = self._entries.get(task_id)
        if entry is None:
            state = self.state_of(task_id).value
            raise StateError(f"expected an unfinished task, got {task_id!r}: {state}")
        return entry

    def entry_at(self, local: int) -> Entry | None:
        """What is known of the pending or running task of a local index; any integer will do."""
        if not 0 <= local < len(self._present) or self._present[local].local != local:
            return None
        return self._present[local]

    def state_of(self, task_id: str) -> TaskState:
        """Where a task is in its life.

        Raises:
            NotFoundError: no such task was submitted.
        """
        entry = self._entries.get(task_id)
        state = entry.state if entry is not None else self.ended.state_of(task_id)
        if state is None:
            raise NotFoundError(f"no task {task_id!r} was submitted")
        return state

    def reason_of(self, task_id: str) -> str:
        """Why a task is in its final state, "" where there is nothing to say; see `state_of`."""
        ending = None if task_id in self._entries else self.ended.get(task_id)
        if ending is not None:
            return ending.reason
        return self.entry(task_id).reason

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
        entry = self._entries.get(task_id)
        if entry is None or entry.local == NO_ROW:
            state = self.state_of(task_id).value
            raise StateError(f"expected a pending or running task, got {task_id!r}: {state}")
        return entry.local

    def _final_state_of(self, task_id: str) -> TaskState | None:
        """How a task ended; None if it has not, or is about to be submitted."""
        return None if task_id in self._entries else self.ended.state_of(task_id)

    def _satisfy(self, dependent: Entry, task_id: str) -> None:
        dependent.needs.discard(task_id)
        if not dependent.needs and not dependent.state.is_final:
            self._arrivals.add(dependent)

    def _forget(self, entry: Entry) -> None:
        """Keep of a task that has ended only how it ended."""
        self.ended.add(entry.task.id, Ending.of(entry))
        del self._entries[entry.task.id]
        for name in entry.needs:
            self._dependents.get(name, {}).pop(entry.task.id, None)
        self._arrivals.tidy(len(self._entries))

    def _leave(self, entry: Entry) -> None:
        """Take a task out of wherever it is in the tables."""
        if entry.local == NO_ROW:
            return
        if entry.state.is_on_nodes:
            leave_run(self._tables.handle, 0, entry.local)
        elif not entry.withheld:
            leave_queue(self._tables.handle, 0, entry.local)
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
