"""A client of the service; needs httpx (`pip install 'lepton-rl[serve]'`)."""

from __future__ import annotations

import importlib
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from lepton_rl.core.errors import ConfigError, LeptonError, NotFoundError, StateError
from lepton_rl.core.tasks import Task, TaskState

if TYPE_CHECKING:
    import httpx

__all__ = ["Client", "ServiceError"]

_POLL_S = 0.1
_LONGEST_POLL_S = 2.0


class ServiceError(LeptonError, RuntimeError):
    """The service did not do what it was asked to.

    Attributes:
        status: of HTTP; 0 where there was no answer. With 503 or 0 nobody knows whether a task was
            taken in: submit it again, an id is taken in once only.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """Talks to `lepton-rl serve`.

    Args:
        url: e.g. `http://127.0.0.1:8470`.
        token: of the service.
        timeout_s: for one request.
        transport: for tests; None for the network.

    Raises:
        ConfigError: httpx is not installed.
    """

    def __init__(
        self,
        url: str,
        token: str,
        timeout_s: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        library: Any = _library()
        self._errors = library.HTTPError
        self._http: httpx.Client = library.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=timeout_s,
            transport=transport,
        )

    def submit(self, task: Task) -> dict[str, Any]:
        """Hand in a task; when this returns, the service will not lose it.

        Raises:
            ConfigError: the service cannot take such a task.
            StateError: its id was used before.
            ServiceError: the service cannot take tasks now.
        """
        return dict(self._call("POST", "/v1/tasks", json=_plain(task)))

    def task(self, task_id: str) -> dict[str, Any]:
        """Where a task is in its life.

        Raises:
            NotFoundError: no such task was submitted.
            ServiceError: no answer.
        """
        return dict(self._call("GET", f"/v1/tasks/{quote(task_id, safe='')}"))

    def tasks(
        self, state: TaskState | None = None, offset: int = 0, limit: int = 100
    ) -> list[dict[str, Any]]:
        """Unfinished tasks and those that ended lately, in order of submission.

        Raises:
            ServiceError: no answer.
        """
        wanted: dict[str, Any] = {"offset": offset, "limit": limit}
        if state is not None:
            wanted["state"] = state.value
        return list(self._call("GET", "/v1/tasks", params=wanted)["tasks"])

    def cancel(self, task_id: str) -> dict[str, Any]:
        """See that a task does not run any more; raises as `task` does."""
        return dict(self._call("DELETE", f"/v1/tasks/{quote(task_id, safe='')}"))

    def wait(self, task_id: str, timeout_s: float | None = None) -> TaskState:
        """Wait until a task has ended.

        Returns:
            Its final state, or the one it is in when the time is over.

        Raises:
            NotFoundError: no such task was submitted.
            ServiceError: no answer.
        """
        over_s = None if timeout_s is None else time.monotonic() + timeout_s
        pause_s = _POLL_S
        while True:
            state = TaskState(self.task(task_id)["state"])
            if state.is_final or (over_s is not None and time.monotonic() >= over_s):
                return state
            time.sleep(pause_s)
            pause_s = min(_LONGEST_POLL_S, 1.5 * pause_s)

    def decide(self, **request: Any) -> dict[str, Any]:
        """Decisions about a described cluster; docs/serve.md has the fields.

        Raises:
            ConfigError: the description is not as it should be.
            ServiceError: no answer.
        """
        return dict(self._call("POST", "/v1/decide", json=request))

    def nodes(self) -> list[dict[str, Any]]:
        """All nodes of the service.

        Raises:
            ServiceError: no answer.
        """
        return list(self._call("GET", "/v1/nodes"))

    def is_ready(self) -> bool:
        """Whether the service takes tasks now."""
        try:
            return bool(self._http.get("/readyz").status_code == 200)
        except self._errors:
            return False

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _call(self, method: str, path: str, **more: Any) -> Any:
        try:
            answer = self._http.request(method, path, **more)
        except self._errors as error:
            raise ServiceError(f"no answer from the service: {error}", 0) from error
        if answer.is_success:
            return answer.json()
        detail = _detail(answer)
        kinds = {404: NotFoundError, 409: StateError, 422: ConfigError}
        if answer.status_code in kinds:
            raise kinds[answer.status_code](detail)
        raise ServiceError(detail, answer.status_code)


def _plain(task: Task) -> dict[str, Any]:
    """The fields of a task that are not as they are by default."""
    usual = Task("default", {"cpu": 1}, 1.0)
    found: dict[str, Any] = {}
    for name in Task.__dataclass_fields__:
        value = getattr(task, name)
        if name in ("id", "demand", "requested_time_s") or value != getattr(usual, name):
            found[name] = _jsonable(value)
    return found


def _jsonable(value: Any) -> Any:
    if isinstance(value, tuple | frozenset):
        return sorted(value) if isinstance(value, frozenset) else list(value)
    return dict(value) if hasattr(value, "items") else value


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"the service answered with status {answer.status_code}"


def _library() -> Any:
    try:
        return importlib.import_module("httpx")
    except ModuleNotFoundError as error:
        raise ConfigError(
            "the client needs httpx; install it with: pip install 'lepton-rl[serve]'"
        ) from error
