"""Who waits for the threads that hash: networks take turns, and logins come before sign-ups."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any

import anyio
import pytest
from fastapi import Depends, FastAPI
from httpx import ASGITransport, AsyncClient, Response

from apps import PASSWORD, make_app, make_kit
from jwt_auth_kit import AuthKit, Busy, LoginThrottle, get_auth
from jwt_auth_kit.passwords.hashers import Passwords

A, B, C = "192.0.2.1", "198.51.100.2", "203.0.113.3"
UNKNOWN = None
PATIENCE = 20.0


class GatedHasher:
    """Hashes wait until the gate is open, and are listed in the order in which they began."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.began: list[str] = []
        self.running = self.most_at_once = 0
        self._lock = threading.Lock()

    def hash(self, password: str) -> str:
        with self._lock:
            self.began.append(password)
            self.running += 1
            self.most_at_once = max(self.most_at_once, self.running)
        is_open = self.gate.wait(PATIENCE)
        self.gate.set()  # if nobody opened it, the test fails once and does not go on waiting
        assert is_open
        with self._lock:
            self.running -= 1
        return f"hash of {password}"

    def verify(self, password: str, password_hash: str) -> bool:
        return self.hash(password) == password_hash

    def needs_rehash(self, password_hash: str) -> bool:
        return False


class Line:
    """A pool of one thread that is taken, and the line before it."""

    def __init__(self, *, queue: int = 100) -> None:
        self.hasher = GatedHasher()
        self.passwords = Passwords(self.hasher, threads=1, queue=queue)
        self.hasher.began.clear()
        self.hasher.gate.clear()
        self.tasks: dict[str, asyncio.Task[Any]] = {}

    async def add(self, *names: str, ip: str | None = A, sign_up: bool = False) -> None:
        """Let a password for each name wait, or be refused."""
        for name in names:
            call: Coroutine[Any, Any, Any] = (
                self.passwords.hash(name, ip=ip, priority="sign_up")
                if sign_up
                else self.passwords.verify(name, "hash", ip=ip)
            )
            self.tasks[name] = asyncio.create_task(call)
            await settle()

    async def finish(self) -> Sequence[str]:
        """Open the gate; return who had a turn, in that order, after the first."""
        self.hasher.gate.set()
        with anyio.fail_after(PATIENCE):
            await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        return self.hasher.began[1:]

    def refused(self) -> set[str]:
        return {
            name
            for name, task in self.tasks.items()
            if task.done() and not task.cancelled() and isinstance(task.exception(), Busy)
        }


async def settle() -> None:
    """Let every task go as far as it gets without a thread."""
    for _ in range(10):
        await asyncio.sleep(0)


async def taken(**options: Any) -> Line:
    """Make a line whose only thread is taken."""
    line = Line(**options)
    await line.add("first", ip="192.0.2.99")
    return line


async def test_networks_take_turns() -> None:
    line = await taken()
    await line.add("a1", "a2", "a3", "a4", ip=A)
    await line.add("b1", "b2", ip=B)
    await line.add("c1", ip=C)

    assert await line.finish() == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


async def test_one_network_uses_all_of_the_pool_while_nobody_else_waits() -> None:
    line = await taken(queue=5)
    names = [f"a{number}" for number in range(5)]
    await line.add(*names, ip=A)

    assert await line.finish() == names
    assert line.refused() == set()


async def test_addresses_of_one_wide_network_share_its_turns() -> None:
    line = await taken()
    await line.add("a1", ip="2001:db8:1:2::1")
    await line.add("a2", ip="2001:db8:1:3::1")
    await line.add("b1", ip="2001:db8:2:2::1")

    assert await line.finish() == ["a1", "b1", "a2"]


async def test_logins_come_before_sign_ups() -> None:
    line = await taken()
    await line.add("new1", "new2", ip=A, sign_up=True)
    await line.add("login1", "login2", ip=A)
    await line.add("login3", ip=B)

    assert await line.finish() == ["login1", "login3", "login2", "new1", "new2"]


async def test_no_flood_of_logins_starves_a_sign_up() -> None:
    line = await taken()
    await line.add("new1", "new2", ip=A, sign_up=True)
    await line.add(*(f"login{number}" for number in range(30)), ip=B)

    order = await line.finish()

    assert [order.index("new1"), order.index("new2")] == [9, 19]


async def test_of_a_full_queue_the_network_that_holds_most_loses_its_newest() -> None:
    line = await taken(queue=4)
    await line.add("b1", ip=B)
    await line.add("a1", "a2", "a3", ip=A)

    await line.add("c1", ip=C)

    assert line.refused() == {"a3"}
    assert await line.finish() == ["b1", "a1", "c1", "a2"]


async def test_of_a_full_queue_the_network_that_holds_most_gets_no_more() -> None:
    line = await taken(queue=4)
    await line.add("b1", ip=B)
    await line.add("a1", "a2", "a3", ip=A)

    await line.add("a4", ip=A)

    assert line.refused() == {"a4"}


async def test_where_nobody_holds_more_than_the_others_the_newcomer_is_refused() -> None:
    line = await taken(queue=2)
    await line.add("a1", ip=A)
    await line.add("b1", ip=B)

    await line.add("c1", ip=C)

    assert line.refused() == {"c1"}


async def test_of_a_full_queue_sign_ups_give_way_to_logins() -> None:
    line = await taken(queue=3)
    await line.add("new-b", ip=B, sign_up=True)
    await line.add("new-a1", "new-a2", ip=A, sign_up=True)

    await line.add("login-a", ip=A)
    await line.add("login-c", ip=C)

    assert line.refused() == {"new-a1", "new-a2"}
    assert await line.finish() == ["login-a", "login-c", "new-b"]


async def test_a_sign_up_takes_no_place_of_a_login() -> None:
    line = await taken(queue=3)
    await line.add("login1", "login2", "login3", ip=A)

    await line.add("new", ip=B, sign_up=True)

    assert line.refused() == {"new"}


async def test_callers_without_an_address_have_every_other_turn() -> None:
    line = await taken()
    await line.add("u1", "u2", "u3", ip=UNKNOWN)
    await line.add("a1", "a2", ip=A)
    await line.add("b1", ip=B)

    assert await line.finish() == ["a1", "u1", "b1", "u2", "a2", "u3"]


async def test_one_network_does_not_keep_out_callers_without_an_address() -> None:
    line = await taken(queue=6)
    await line.add(*(f"a{number}" for number in range(6)), ip=A)

    await line.add("u1", "u2", "u3", "u4", ip=UNKNOWN)

    assert line.refused() == {"a3", "a4", "a5", "u4"}


async def test_callers_without_an_address_do_not_keep_out_networks() -> None:
    line = await taken(queue=6)
    await line.add(*(f"u{number}" for number in range(6)), ip=UNKNOWN)

    await line.add("a1", "a2", "a3", ip=A)
    await line.add("u6", ip=UNKNOWN)

    assert line.refused() == {"u3", "u4", "u5", "u6"}
    assert await line.finish() == ["a1", "u0", "a2", "u1", "a3", "u2"]


async def test_sign_ups_without_an_address_give_way_to_logins_too() -> None:
    line = await taken(queue=3)
    await line.add("new-u1", "new-u2", ip=UNKNOWN, sign_up=True)
    await line.add("new-a", ip=A, sign_up=True)

    await line.add("login", ip=B)

    assert line.refused() == {"new-u2"}


async def test_who_leaves_the_line_gives_the_place_to_others() -> None:
    line = await taken(queue=2)
    await line.add("a1", ip=A)
    await line.add("u1", ip=UNKNOWN)

    line.tasks["a1"].cancel()
    line.tasks["u1"].cancel()
    await settle()
    await line.add("b1", "b2", ip=B)

    assert line.refused() == set()
    assert await line.finish() == ["b1", "b2"]


async def test_who_leaves_at_the_moment_of_the_turn_passes_the_thread_on() -> None:
    line = Line()

    async def first_and_then_cancel() -> None:
        await line.passwords.hash("first")
        line.tasks["second"].cancel()  # it has the thread, and does not know it yet

    line.tasks["first"] = asyncio.create_task(first_and_then_cancel())
    await settle()
    await line.add("second", "third", ip=A)

    assert await line.finish() == ["third"]
    assert await line.passwords.hash("later") == "hash of later"


async def test_who_leaves_while_the_thread_hashes_keeps_it_from_others_until_it_is_free() -> None:
    line = await taken()
    await run_until(lambda: line.hasher.running == 1)

    line.tasks["first"].cancel()
    await settle()
    await line.add("second", ip=A)

    assert line.tasks["first"].cancelled()
    assert await line.finish() == ["second"]
    assert line.hasher.most_at_once == 1


async def test_who_leaves_before_the_thread_begins_leaves_it_free() -> None:
    line = Line()
    leaving = asyncio.create_task(line.passwords.hash("first"))
    await asyncio.sleep(0)  # it has the thread, and is on its way there

    leaving.cancel()
    await settle()
    line.hasher.gate.set()

    assert await line.passwords.hash("second") == "hash of second"
    assert line.hasher.most_at_once == 1


async def test_a_cancelled_scope_drops_the_result_and_the_next_has_its_turn() -> None:
    line = Line()

    async def leave() -> None:
        with anyio.CancelScope() as scope:
            line.tasks["watch"] = asyncio.create_task(open_when_running(line, scope))
            await line.passwords.hash("first")

    line.tasks["first"] = asyncio.create_task(leave())
    await settle()
    await line.add("second", ip=A)
    await asyncio.gather(*line.tasks.values())

    assert line.hasher.began == ["first", "second"]


async def open_when_running(line: Line, scope: anyio.CancelScope) -> None:
    await run_until(lambda: line.hasher.running == 1)
    scope.cancel()
    line.hasher.gate.set()


async def run_until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110  a thread decides when
            await anyio.sleep(0.001)


async def test_a_hasher_that_fails_gives_its_thread_back() -> None:
    class Failing(GatedHasher):
        def verify(self, password: str, password_hash: str) -> bool:
            raise RuntimeError("no memory")

    passwords = Passwords(Failing(), threads=1, queue=0)

    with pytest.raises(RuntimeError, match="no memory"):
        await passwords.verify("first", "hash")

    assert await passwords.hash("second") == "hash of second"


def test_a_loop_that_ended_while_a_thread_hashed_is_followed_by_another() -> None:
    line = Line()

    async def leave_while_it_hashes() -> None:
        await line.add("first")
        await run_until(lambda: line.hasher.running == 1)

    asyncio.run(leave_while_it_hashes())  # cancels what is left
    line.hasher.gate.set()

    assert asyncio.run(line.passwords.hash("second")) == "hash of second"


PROXY = "10.0.0.5"
FLOOD, LOGINS, THREADS, QUEUE = 150, 20, 2, 100


def make_flooded_app(hasher: GatedHasher) -> FastAPI:
    """Make an application behind a trusted proxy; /own-login tells the kit no address."""
    kit = make_kit(
        hasher=hasher,
        throttle=LoginThrottle.unlimited(),
        settings={"trusted_proxies": [PROXY]},
        on_event=lambda event: None,
    )
    kit.passwords = Passwords(hasher, threads=THREADS, queue=QUEUE)
    app = make_app(kit)

    @app.post("/own-login")
    async def own_login(email: str, kit: Annotated[AuthKit, Depends(get_auth)]) -> str:
        return (await kit.login(email, PASSWORD)).session_id

    return app


async def sign_up(client: AsyncClient, number: int, ip: str) -> Response:
    body = {"email": f"user{number}@example.com", "password": PASSWORD}
    return await client.post("/auth/register", json=body, headers={"X-Forwarded-For": ip})


async def log_in(client: AsyncClient, number: int) -> Response:
    body = {"email": f"user{number}@example.com", "password": PASSWORD}
    return await client.post("/auth/login", json=body, headers={"X-Forwarded-For": B})


async def log_in_without_address(client: AsyncClient, number: int) -> Response:
    email = f"user{number}@example.com"
    return await client.post("/own-login", params={"email": email})


@pytest.mark.parametrize("login", [log_in, log_in_without_address])
async def test_a_network_that_floods_sign_ups_refuses_no_login_of_others(
    login: Callable[[AsyncClient, int], Coroutine[Any, Any, Response]],
) -> None:
    hasher = GatedHasher()
    transport = ASGITransport(make_flooded_app(hasher), client=(PROXY, 51234))
    async with (
        asyncio.timeout(2 * PATIENCE),
        AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        for number in range(LOGINS):
            assert (await sign_up(client, number, B)).status_code == 201
        hasher.gate.clear()
        flood = [asyncio.create_task(sign_up(client, 1000 + n, A)) for n in range(FLOOD)]
        refused = FLOOD - THREADS - QUEUE
        await run_until(lambda: sum(task.done() for task in flood) == refused)

        logins = [asyncio.create_task(login(client, number)) for number in range(LOGINS)]
        await run_until(lambda: sum(task.done() for task in [*flood, *logins]) == refused + LOGINS)
        hasher.gate.set()
        answers = await asyncio.gather(*logins)
        of_flood = Counter(answer.status_code for answer in await asyncio.gather(*flood))

    assert [answer.status_code for answer in answers] == [200] * LOGINS
    assert of_flood == {201: THREADS + QUEUE - LOGINS, 503: refused + LOGINS}
