"""Administration: who has an account, with which role, and whether it is locked."""

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select

from jwt_auth_kit import (
    AdminDep,
    AuthKit,
    ClientDep,
    InsufficientRole,
    error_responses,
    get_auth,
    require_admin,
)
from jwt_auth_kit.stores.sqlalchemy import User

from .database import Database
from .errors import NO_TEXT, NOT_FOUND, NotFound

router = APIRouter(
    prefix="/api/admin/users",
    tags=["admin"],
    dependencies=[Depends(require_admin)],
    responses=error_responses(InsufficientRole),
)

Kit = Annotated[AuthKit, Depends(get_auth)]


class Account(BaseModel):
    """A user, as administrators see one."""

    model_config = ConfigDict(from_attributes=True)

    user_id: str = Field(validation_alias="id")
    email: str
    display_name: str
    role: str
    is_active: bool


class RoleBody(BaseModel):
    """The new role."""

    role: Literal["user", "admin"]


async def get_user_id(user_id: str, kit: Kit) -> str:
    """Return the id in the path if it is somebody's."""
    if await kit.users.get_by_id(user_id) is None:
        raise NotFound
    return user_id


UserId = Annotated[str, Depends(get_user_id)]


@router.get("", response_model=list[Account])
async def list_users(database: Database) -> Sequence[User]:
    """List all users, oldest first."""
    return (await database.scalars(select(User).order_by(User.created_at, User.id))).all()


# The kit makes the changes, not SQL: it also voids the tokens that would still say otherwise, and
# writes into the audit trail which administrator did it.


@router.patch("/{user_id}", status_code=204, responses=NOT_FOUND | NO_TEXT)
async def change_role(
    user_id: UserId, body: RoleBody, kit: Kit, admin: AdminDep, client: ClientDep
) -> None:
    """Make a user an administrator, or an administrator a user."""
    await kit.set_role(user_id, body.role, actor=admin.id, client=client)


@router.post("/{user_id}/disable", status_code=204, responses=NOT_FOUND)
async def disable_user(user_id: UserId, kit: Kit, admin: AdminDep, client: ClientDep) -> None:
    """Lock an account and end its sessions."""
    await kit.disable_user(user_id, actor=admin.id, client=client)


@router.post("/{user_id}/enable", status_code=204, responses=NOT_FOUND)
async def enable_user(user_id: UserId, kit: Kit, admin: AdminDep, client: ClientDep) -> None:
    """Let a user sign in again."""
    await kit.enable_user(user_id, actor=admin.id, client=client)
