"""Projects: everybody sees and changes their own."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ForeignKey, String, Text, select
from sqlalchemy.orm import Mapped, mapped_column

from jwt_auth_kit import UserDep
from jwt_auth_kit.stores.sqlalchemy import User

from .database import Base, Database, PlainText, RowId
from .errors import NO_TEXT, NOT_FOUND, NotFound

router = APIRouter(prefix="/api/projects", tags=["projects"])


class Project(Base):
    """A row of the table ``projects``."""

    __tablename__ = "projects"

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    description: Mapped[str] = mapped_column(Text)


class ProjectBody(BaseModel):
    """What the owner may choose."""

    name: PlainText = Field(min_length=1, max_length=100)
    description: PlainText = Field(default="", max_length=2000)


class ProjectView(BaseModel):
    """What the owner sees."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    description: str


async def get_own_project(project_id: RowId, user: UserDep, database: Database) -> Project:
    """Find a project of the caller."""
    # Another user's project is a 404 too: a 403 would tell that it exists.
    query = select(Project).where(Project.id == project_id, Project.owner_id == user.id)
    project = await database.scalar(query)
    if project is None:
        raise NotFound
    return project


OwnProject = Annotated[Project, Depends(get_own_project)]


@router.get("", response_model=list[ProjectView])
async def list_projects(user: UserDep, database: Database) -> Sequence[Project]:
    """List the caller's projects, oldest first."""
    query = select(Project).where(Project.owner_id == user.id).order_by(Project.id)
    return (await database.scalars(query)).all()


@router.post("", status_code=201, response_model=ProjectView, responses=NO_TEXT)
async def create_project(body: ProjectBody, user: UserDep, database: Database) -> Project:
    """Make a project of the caller's own."""
    project = Project(owner_id=user.id, name=body.name, description=body.description)
    database.add(project)
    await database.commit()
    return project


@router.get("/{project_id}", response_model=ProjectView, responses=NOT_FOUND)
async def get_project(project: OwnProject) -> Project:
    """Show a project."""
    return project


@router.put("/{project_id}", response_model=ProjectView, responses=NOT_FOUND | NO_TEXT)
async def update_project(project: OwnProject, body: ProjectBody, database: Database) -> Project:
    """Replace the name and the description."""
    project.name = body.name
    project.description = body.description
    await database.commit()
    return project


@router.delete("/{project_id}", status_code=204, responses=NOT_FOUND)
async def delete_project(project: OwnProject, database: Database) -> None:
    """Delete a project."""
    await database.delete(project)
    await database.commit()
