"""Tasks under the user's own path: ``/api/{user_id}/tasks``."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ForeignKey, String, select
from sqlalchemy.orm import Mapped, mapped_column

from jwt_auth_kit import error_responses, require_owner
from jwt_auth_kit.errors import NotOwner
from jwt_auth_kit.stores.sqlalchemy import User

from .database import Base, Database, PlainText, RowId
from .errors import NO_TEXT, NOT_FOUND, NotFound

# The check stands at the router, so no route can forget it: behind it, user_id is the caller.
router = APIRouter(
    prefix="/api/{user_id}/tasks",
    tags=["tasks"],
    dependencies=[Depends(require_owner("user_id"))],
    responses=error_responses(NotOwner),
)


class Task(Base):
    """A row of the table ``tasks``."""

    __tablename__ = "tasks"

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"), index=True)
    title: Mapped[str] = mapped_column(String(200))
    completed: Mapped[bool] = mapped_column(default=False)


class TaskBody(BaseModel):
    """What the owner may choose."""

    title: PlainText = Field(min_length=1, max_length=200)


class TaskView(BaseModel):
    """What the owner sees."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    title: str
    completed: bool


async def get_own_task(user_id: str, task_id: RowId, database: Database) -> Task:
    """Find a task of the caller."""
    query = select(Task).where(Task.id == task_id, Task.owner_id == user_id)
    task = await database.scalar(query)
    if task is None:
        raise NotFound
    return task


OwnTask = Annotated[Task, Depends(get_own_task)]


@router.get("", response_model=list[TaskView])
async def list_tasks(user_id: str, database: Database) -> Sequence[Task]:
    """List the caller's tasks, oldest first."""
    query = select(Task).where(Task.owner_id == user_id).order_by(Task.id)
    return (await database.scalars(query)).all()


@router.post("", status_code=201, response_model=TaskView, responses=NO_TEXT)
async def create_task(user_id: str, body: TaskBody, database: Database) -> Task:
    """Make a task."""
    task = Task(owner_id=user_id, title=body.title)
    database.add(task)
    await database.commit()
    return task


@router.get("/{task_id}", response_model=TaskView, responses=NOT_FOUND)
async def get_task(task: OwnTask) -> Task:
    """Show a task."""
    return task


@router.patch("/{task_id}/complete", response_model=TaskView, responses=NOT_FOUND)
async def complete_task(task: OwnTask, database: Database) -> Task:
    """Mark a task as done; done twice, it stays done."""
    task.completed = True
    await database.commit()
    return task


@router.delete("/{task_id}", status_code=204, responses=NOT_FOUND)
async def delete_task(task: OwnTask, database: Database) -> None:
    """Delete a task."""
    await database.delete(task)
    await database.commit()
