"""SQLite engines that leave nothing behind."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from anyio.to_thread import run_sync
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine


@asynccontextmanager
async def engine_on(path: Path) -> AsyncIterator[AsyncEngine]:
    """An engine on a SQLite file; at the end every connection's thread has ended."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    yield engine
    await engine.dispose()
    for thread in threading.enumerate():  # a connection that failed leaves its thread to end
        if "_connection_worker_thread" in thread.name:
            await run_sync(thread.join, 5)
