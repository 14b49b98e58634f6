"""`/v1/tasks`: submit, cancel, look."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from lepton_rl.integrations.http.answers import task_out
from lepton_rl.integrations.http.models import ListQuery, TaskId, TaskIn, TaskList, TaskOut
from lepton_rl.integrations.http.service import Service
from lepton_rl.system.status import list_tasks, task_status

__all__ = ["tasks_router"]

InPath = Annotated[TaskId, Path()]


def tasks_router(service: Service) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/v1/tasks", tags=["tasks"])

    @router.post("", status_code=201)
    def submit(task: TaskIn, response: Response) -> TaskOut:
        """Take in a task; it is safe with the answer."""
        scheduler = service.working_scheduler
        scheduler.submit(task.task())
        response.headers["Location"] = f"/v1/tasks/{task.id}"
        return task_out(task_status(scheduler, task.id))

    @router.get("")
    def list_(wanted: Annotated[ListQuery, Query()]) -> TaskList:
        """Unfinished tasks, and the latest of those that have ended."""
        found, total = list_tasks(
            service.working_scheduler, wanted.state, wanted.offset, wanted.limit
        )
        return TaskList(tasks=[task_out(status) for status in found], total=total)

    @router.get("/{task_id}")
    def get(task_id: InPath) -> TaskOut:
        """Where a task is in its life."""
        return task_out(task_status(service.working_scheduler, task_id))

    @router.delete("/{task_id}", status_code=202)
    def cancel(task_id: InPath) -> TaskOut:
        """See that a task does not run any more; one that has ended stays as it is."""
        scheduler = service.working_scheduler
        scheduler.cancel(task_id)
        return task_out(task_status(scheduler, task_id))

    return router
