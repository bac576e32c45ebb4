"""A WebSocket: how many projects the user has, asked as often as the page likes."""

from typing import Annotated

from fastapi import APIRouter, Depends, WebSocket
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from jwt_auth_kit import UserDep, accept_while_signed_in

from .projects import Project

router = APIRouter()


async def get_engine(websocket: WebSocket) -> AsyncEngine:
    """Return the engine; a session of its own would be open as long as the WebSocket."""
    engine: AsyncEngine = websocket.app.state.engine
    return engine


@router.websocket("/api/live")
async def count_projects(
    websocket: WebSocket, user: UserDep, engine: Annotated[AsyncEngine, Depends(get_engine)]
) -> None:
    """Answer each message with a number, until the user signs out or leaves."""
    query = select(func.count()).select_from(Project).where(Project.owner_id == user.id)
    async with accept_while_signed_in(websocket, user):
        async for _ in websocket.iter_text():
            async with AsyncSession(engine) as database:
                await websocket.send_json({"projects": await database.scalar(query)})
