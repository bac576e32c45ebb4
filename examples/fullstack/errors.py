"""The errors of this application that are not about who is asking."""

from typing import Any, Literal

from fastapi import HTTPException
from pydantic import BaseModel


class NotFound(HTTPException):
    """404: there is no such thing, or none the caller may know of."""

    def __init__(self) -> None:
        super().__init__(404, "Not found")


class NotFoundBody(BaseModel):
    """Body of every NotFound."""

    detail: Literal["Not found"]


NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": NotFoundBody}}
"""Documents NotFound on a route: ``responses=NOT_FOUND``."""


class NoTextBody(BaseModel):
    """Body of FastAPI's answer to bytes that are no text."""

    detail: str


NO_TEXT: dict[int | str, dict[str, Any]] = {400: {"model": NoTextBody}}
"""Documents it on a route that reads JSON, which FastAPI does not do by itself."""
