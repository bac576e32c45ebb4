"""Mistakes of a host application, which mypy, pyright and ty find.

Each has a comment that silences them, and each of the three tells of a comment that is not needed.
"""

from dataclasses import dataclass

from fastapi import FastAPI

from jwt_auth_kit import AuthKit, CurrentUser, NewUser, UserDep, install, require_role


@dataclass
class Numbered:
    """A user class whose role is a number."""

    id: int
    email: str
    display_name: str
    role: int
    is_active: bool
    password_hash: str | None


class NumberedStore:
    async def get_by_id(self, user_id: str) -> Numbered | None: ...

    async def get_by_email(self, email: str) -> Numbered | None: ...

    async def create(self, user: NewUser) -> Numbered:
        raise NotImplementedError

    async def set_password_hash(self, user_id: str, new: str, *, expected: str | None) -> bool:
        return False

    async def set_role(self, user_id: str, role: str) -> bool:
        return False

    async def set_active(self, user_id: str, *, active: bool) -> bool:
        return False


class Unfinished:
    """A store without most of its methods."""

    async def get_by_id(self, user_id: str) -> None: ...


AuthKit(users=NumberedStore())  # type: ignore[arg-type]  # ty: ignore[invalid-argument-type]
AuthKit(users=Unfinished())  # type: ignore[arg-type]  # ty: ignore[invalid-argument-type]
AuthKit(tokens=NumberedStore())  # type: ignore[arg-type]  # ty: ignore[invalid-argument-type]

kit = install(FastAPI(), AuthKit())
install(FastAPI(), object())  # type: ignore[type-var]  # ty: ignore[invalid-argument-type]
require_role(["admin", "editor"])  # type: ignore[arg-type]  # ty: ignore[invalid-argument-type]


async def become_admin(user: UserDep) -> None:
    user.role = "admin"  # type: ignore[misc]  # ty: ignore[invalid-assignment]
    CurrentUser(id=1)  # type: ignore[arg-type]  # ty: ignore[invalid-argument-type]
    print(user.is_admin)  # type: ignore[attr-defined]  # ty: ignore[missing-attribute]
    await kit.end_session(user.session_id, user.id)  # type: ignore[arg-type]  # ty: ignore[invalid-argument-type]
    await kit.set_role(user.id)  # type: ignore[call-arg]  # ty: ignore[missing-argument]
