"""RayExecutor: tasks on the nodes of a Ray cluster, each replica exactly where it was placed."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lepton_rl.core.checks import shown
from lepton_rl.core.errors import ConfigError, ExecutorError
from lepton_rl.core.tasks import Task
from lepton_rl.integrations.ray.gang import Gang, completion_of
from lepton_rl.integrations.ray.replica import Replica
from lepton_rl.integrations.ray.settings import RaySettings
from lepton_rl.system.executor import Completion

__all__ = ["RayExecutor"]

_BYTES_PER_GIB = 2**30
_IDLE_S = 0.05
_GONE_S = 10.0


class RayExecutor:
    """Runs the command of each task on the Ray nodes that the scheduler chose; see docs/ray.md.

    Each replica is an actor, pinned to its node (hard node affinity), that asks Ray for the task's
    CPUs, memory and cards. Runs end with this executor: Ray ends the actors of a driver that is
    gone. All methods may be called from several threads.

    Args:
        nodes: Ray's id of each node of our cluster, in its order (`ray.nodes()`, `NodeID`).
        settings: None for the defaults.

    Raises:
        ExecutorError: Ray is not initialised.
        ConfigError: a node is not alive in Ray's cluster.
    """

    def __init__(self, nodes: Sequence[str], settings: RaySettings | None = None) -> None:
        if not ray.is_initialized():
            raise ExecutorError("expected a connection to Ray; call ray.init(address=...) first")
        alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        for node in nodes:
            if node not in alive:
                raise ConfigError(f"expected nodes that are alive in Ray, got {shown(node)}")
        self._nodes = tuple(nodes)
        self._settings = settings if settings is not None else RaySettings()
        self._actor: Any = ray.remote(Replica)
        self._lock = threading.RLock()
        self._serials = itertools.count()
        self._gangs: dict[str, Gang] = {}
        self._over: dict[str, Gang] = {}  # have ended, not told yet
        self._is_closed = False

    def start(self, task: Task, nodes: Sequence[int], now_us: int) -> None:
        """Start all replicas of a task; none runs before all of them have their nodes.

        Args:
            task: what to run.
            nodes: index of the node of each replica.
            now_us: the scheduler's clock.

        Raises:
            ExecutorError: it runs already, its end has not been told, it has no command, or Ray
                does not give it these nodes in time; nothing of it runs then.
        """
        with self._lock:
            self._require_open()
            if task.id in self._gangs or task.id in self._over:
                raise ExecutorError(
                    f"task {task.id!r} still runs, or its end has not been told; start it again"
                    " after its completion"
                )
            if not task.command:
                raise ExecutorError(f"task {task.id!r} cannot be started: it has no command")
            actors = [self._replica(task, m, number) for number, m in enumerate(nodes)]
            self._await_nodes(task, actors)
            runs = [actor.run.remote() for actor in actors]
            self._gangs[task.id] = Gang(task.id, next(self._serials), now_us, actors, runs)

    def stop(self, task_id: str, now_us: int) -> None:
        """Ask a task to end: SIGTERM, and after the grace period SIGKILL, to all its processes.

        Raises:
            ExecutorError: no such task runs.
        """
        with self._lock:
            self._require_open()
            if task_id in self._over:
                return  # it has ended by itself; that will be told
            if task_id not in self._gangs:
                raise ExecutorError(f"expected a running task to stop, got {task_id!r}")
            gang = self._gangs[task_id]
            gang.is_stopped = True
            self._stop_replicas(gang)

    def next_completion_us(self) -> int | None:
        """None: nobody knows when a process will end. Use `wait`."""
        return None

    def completions(self, now_us: int) -> list[Completion]:
        """The tasks that have ended, in the order in which they began; each is told once."""
        with self._lock:
            self._look(0.0)
            over = sorted(self._over.values(), key=lambda gang: gang.serial)
            self._over.clear()
            return [completion_of(gang, now_us) for gang in over]

    def running(self) -> frozenset[str]:
        """Tasks that are alive or whose end has not been told."""
        with self._lock:
            return frozenset(self._gangs) | frozenset(self._over)

    def wait(self, timeout_s: float) -> bool:
        """Block until an end may be ready; False if the time was over before that."""
        deadline = time.monotonic() + timeout_s
        while True:
            with self._lock:
                self._look(0.0)
                if self._over:
                    return True
                runs = [run for gang in self._gangs.values() for run in _open_runs(gang).values()]
            left_s = deadline - time.monotonic()
            if left_s <= 0 or self._is_closed:
                return False
            if runs:
                # In slices, so that tasks which start meanwhile are looked at too.
                ray.wait(runs, num_returns=1, timeout=min(left_s, _IDLE_S))
            else:
                time.sleep(min(left_s, _IDLE_S))

    def close(self, stop_running: bool) -> None:
        """End all tasks and let go of Ray's actors; a second call does nothing.

        Args:
            stop_running: stop them in order (SIGTERM first). Otherwise they are killed: Ray's
                actors cannot outlive the process that started them.
        """
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            gangs = list(self._gangs.values())
            for gang in gangs:
                self._stop_replicas(gang, None if stop_running else 0.0)
            runs = [run for gang in gangs for run in _open_runs(gang).values()]
            if runs:
                ray.wait(runs, num_returns=len(runs), timeout=self._settings.stop_grace_s + _GONE_S)
            for gang in gangs:
                _kill(gang.actors)
            self._gangs.clear()

    def _replica(self, task: Task, m: int, number: int) -> Any:
        """An actor on one node; it may wait there for its resources."""
        affinity = NodeAffinitySchedulingStrategy(self._nodes[m], soft=False)
        demand, names = task.demand, self._settings.device_resources
        devices = {names[kind]: amount for kind, amount in demand.items() if kind in names}
        memory = demand.get("memory", 0.0) if self._settings.limit_memory else 0.0
        environment = {
            **task.environment,
            "LEPTON_TASK_ID": task.id,
            "LEPTON_REPLICA": str(number),
            "LEPTON_NUM_REPLICAS": str(task.num_replicas),
        }
        return self._actor.options(
            scheduling_strategy=affinity,
            max_restarts=0,
            max_concurrency=2,  # `stop` comes while `run` goes on
            num_cpus=demand.get("cpu", 0.0),
            num_gpus=devices.pop("GPU", 0),
            memory=round(memory * _BYTES_PER_GIB) or None,
            resources=devices or None,
        ).remote(task.command, environment, task.working_directory)

    def _await_nodes(self, task: Task, actors: Sequence[Any]) -> None:
        try:
            ray.get([each.node.remote() for each in actors], timeout=self._settings.start_timeout_s)
        except (RayError, GetTimeoutError) as error:
            _kill(actors)
            first = str(error).strip().split("\n", maxsplit=1)[0]
            raise ExecutorError(
                f"task {task.id!r} cannot be started: Ray did not give it its nodes: {first}"
            ) from error

    def _stop_replicas(self, gang: Gang, grace_s: float | None = None) -> None:
        grace_s = self._settings.stop_grace_s if grace_s is None else grace_s
        for replica in _open_runs(gang):
            gang.actors[replica].stop.remote(grace_s)

    def _look(self, timeout_s: float) -> None:
        """See who has ended."""
        where = {
            run: (gang, replica)
            for gang in self._gangs.values()
            for replica, run in _open_runs(gang).items()
        }
        if not where:
            return
        ended, _ = ray.wait(list(where), num_returns=len(where), timeout=timeout_s)
        for run in ended:
            gang, replica = where[run]
            code, why = _result(run)
            if gang.ended(replica, code, why):
                self._stop_replicas(gang)
        for gang in [gang for gang in self._gangs.values() if gang.is_over]:
            _kill(gang.actors)
            del self._gangs[gang.task_id]
            self._over[gang.task_id] = gang

    def _require_open(self) -> None:
        if self._is_closed:
            raise ExecutorError("this executor is closed; make a new one")


def _open_runs(gang: Gang) -> dict[int, Any]:
    """Replica -> promise of its exit code, of those that have not ended."""
    return {i: run for i, run in enumerate(gang.runs) if i not in gang.codes}


def _result(run: Any) -> tuple[int | None, str]:
    """Exit code of a replica that has ended; None and the cause where Ray lost it."""
    try:
        return int(ray.get(run)), ""
    except RayError as error:
        return None, f"its replica was lost: {type(error).__name__}"


def _kill(actors: Sequence[Any]) -> None:
    for actor in actors:
        with suppress(RayError, ValueError):
            ray.kill(actor)
