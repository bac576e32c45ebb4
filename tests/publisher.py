"""A web server that answers as a test tells it: with a JWK Set, or with something worse."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from ssl import SSLContext
from typing import Any

from jwt_auth_kit import Key

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Publisher:
    """Answers every request the same way, and counts them."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests = 0
        self.url = ""
        self._answering = set[asyncio.Task[None]]()

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def stop(self) -> None:
        for task in self._answering:
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            self.requests += 1
            await self.answer(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def publishing(
    answer: Answer, *, tls: SSLContext | None = None, port: int = 0
) -> AsyncIterator[Publisher]:
    """Serve *answer* on a loopback port, a free one by default."""
    publisher = Publisher(answer)
    server = await asyncio.start_server(publisher.serve, "127.0.0.1", port, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    publisher.url = f"{'https' if tls else 'http'}://localhost:{port}/jwks.json"
    try:
        yield publisher
    finally:
        server.close()
        await publisher.stop()
        await asyncio.sleep(0)  # handshakes that failed leave by now


def key_set(*keys: Key, cache_control: str = "") -> Answer:
    """Answer with a JWK Set of the public parts of *keys*."""
    return document({"keys": [key.public_jwk() for key in keys]}, cache_control=cache_control)


def document(content: Any, *, cache_control: str = "") -> Answer:
    """Answer with *content* as JSON."""
    headers = [f"Cache-Control: {cache_control}"] if cache_control else []
    return raw(200, json.dumps(content).encode(), *headers)


def raw(status: int, body: bytes, *headers: str) -> Answer:
    """Answer with *status*, *headers* and *body*."""

    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write(_head(status, f"Content-Length: {len(body)}", *headers) + body)
        await writer.drain()

    return send


async def silence(writer: asyncio.StreamWriter) -> None:
    """Take the request and say nothing for a minute."""
    await asyncio.sleep(60)


async def drip(writer: asyncio.StreamWriter) -> None:
    """Send a byte now and then, so that no single wait is long."""
    writer.write(_head(200, "Content-Length: 1000"))
    for _ in range(600):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


async def flood(writer: asyncio.StreamWriter) -> None:
    """Send a gigabyte."""
    writer.write(_head(200, f"Content-Length: {2**30}"))
    for _ in range(2**14):
        writer.write(b" " * 2**16)
        await writer.drain()


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """End the connection without an answer."""


def _head(status: int, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Something", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode()
