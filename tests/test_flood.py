"""Guesses that arrive at once, at two worker processes that share Redis, are counted exactly."""

import asyncio
import itertools
import os
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI, Response
from httpx import AsyncClient
from httpx import Response as Received
from redis import Redis
from sqlalchemy.ext.asyncio import create_async_engine

import servers
from apps import PASSWORD, bearer
from jwt_auth_kit import AuthKit, LoginThrottle, auth_router, install
from jwt_auth_kit.stores.sqlalchemy import SQLAlchemyTokenStore, SQLAlchemyUserStore
from live import live_server
from processes import Answer, lines_to, make_tables

WORKERS = 2
GUESSES = 50
DAY = 86_400

# A day each, so that no window ends during a test.
ON_ACCOUNT_FROM_NETWORK, ON_ACCOUNT, FROM_NETWORK = 10, 20, 30

WRONG = "another horse battery"

_addresses = (f"10.0.{number >> 8}.{number & 255}" for number in itertools.count())


def new_network() -> str:
    """Return the address of somebody who was never here before."""
    return next(_addresses)


def new_email() -> str:
    """Return an address that has no account."""
    return f"{secrets.token_hex(8)}@example.com"


def make_app() -> FastAPI:
    """Make what uvicorn serves in each worker, with the real argon2."""
    app = FastAPI(lifespan=lifespan)
    app.include_router(auth_router)

    @app.get("/health")
    async def health(response: Response) -> str:
        response.headers["X-Worker"] = str(os.getpid())
        return "ok"

    return app


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    engine = create_async_engine(os.environ["DATABASE_URL"])
    throttle = LoginThrottle(
        os.environ["THROTTLE"],
        per_account_and_network=f"{ON_ACCOUNT_FROM_NETWORK}/day",
        per_account=f"{ON_ACCOUNT}/day",
        per_network=f"{FROM_NETWORK}/day",
    )
    users, tokens = SQLAlchemyUserStore(engine), SQLAlchemyTokenStore(engine)
    install(app, AuthKit(users=users, tokens=tokens, throttle=throttle))
    yield
    await engine.dispose()


@pytest.fixture(scope="module")
def shared(
    redis_server: servers.RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, str]:
    """What the workers have in common: a SQLite file, and an empty Redis."""
    database = f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('flood') / 'db'}"
    make_tables(database)
    with Redis.from_url(redis_server.url) as redis:
        redis.flushdb()
    return {"DATABASE_URL": database, "THROTTLE": redis_server.url}


def serve(shared: Mapping[str, str], **environment: str) -> AbstractContextManager[str]:
    """Run the workers; give the URL."""
    return live_server(
        f"{Path(__file__).stem}:make_app",
        app_dir=Path(__file__).parent,
        UVICORN_FACTORY="true",
        UVICORN_WORKERS=str(WORKERS),
        UVICORN_TIMEOUT_KEEP_ALIVE="60",  # a busy machine takes its time to open all lines
        **shared,
        **environment,
    )


@pytest.fixture(scope="module")
def behind_proxy(shared: Mapping[str, str]) -> Iterator[str]:
    """A site whose proxy is the test: X-Forwarded-For says where a request comes from."""
    proxy = {"UVICORN_PROXY_HEADERS": "false", "JWT_TRUSTED_PROXIES": "127.0.0.1"}
    with serve(shared, **proxy) as url:
        yield url


@pytest.fixture(params=["true", "false"], ids=["uvicorn-believes", "uvicorn-does-not"])
def without_proxy(request: pytest.FixtureRequest, shared: Mapping[str, str]) -> Iterator[str]:
    """A site that trusts no proxy; uvicorn by itself believes any that is on its machine."""
    with serve(shared, UVICORN_PROXY_HEADERS=request.param) as url:
        yield url


@pytest.fixture
async def client(behind_proxy: str) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(base_url=behind_proxy, timeout=30, trust_env=False) as client:
        yield client


async def guess_at_once(url: str, guesses: Sequence[tuple[str, str]]) -> Sequence[Answer]:
    """Guess the password of each account from each network, half of them at each worker."""
    port = urlsplit(url).port or 0
    async with lines_to(port, workers=WORKERS, each=len(guesses) // WORKERS) as lines:
        return await asyncio.gather(
            *(
                line.post(
                    "/auth/login",
                    {"email": email, "password": WRONG},
                    **{"X-Forwarded-For": forwarded_for},
                )
                for line, (email, forwarded_for) in zip(lines, guesses, strict=True)
            )
        )


def count(answers: Sequence[Answer]) -> Counter[tuple[int, str]]:
    """Count statuses with their codes."""
    return Counter((answer.status, answer.body["detail"]["code"]) for answer in answers)


def of_which_pass(limit: int) -> Mapping[tuple[int, str], int]:
    """Say what comes of all guesses where *limit* of them may be looked at."""
    return {(401, "invalid_credentials"): limit, (429, "too_many_attempts"): GUESSES - limit}


async def register(client: AsyncClient) -> tuple[str, dict[str, str]]:
    """Make an account; return its address and the header of who is signed in to it."""
    email = new_email()
    answer = await client.post("/auth/register", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 201, answer.text
    return email, bearer(answer.json())


async def log_in(client: AsyncClient, email: str, network: str, password: str = PASSWORD) -> int:
    """Return the status."""
    return (await try_login(client, email, network, password)).status_code


async def try_login(client: AsyncClient, email: str, network: str, password: str) -> Received:
    body = {"email": email, "password": password}
    return await client.post("/auth/login", json=body, headers={"X-Forwarded-For": network})


async def test_parallel_guesses_on_one_account_from_one_network_are_counted_exactly(
    behind_proxy: str, client: AsyncClient
) -> None:
    email, _ = await register(client)

    answers = await guess_at_once(behind_proxy, [(email, new_network())] * GUESSES)

    assert count(answers) == of_which_pass(ON_ACCOUNT_FROM_NETWORK)


async def test_parallel_guesses_on_one_account_from_many_networks_are_counted_exactly(
    behind_proxy: str, client: AsyncClient
) -> None:
    email, _ = await register(client)

    answers = await guess_at_once(behind_proxy, [(email, new_network()) for _ in range(GUESSES)])

    assert count(answers) == of_which_pass(ON_ACCOUNT)


async def test_parallel_guesses_on_many_accounts_from_one_network_are_counted_exactly(
    behind_proxy: str,
) -> None:
    network = new_network()

    answers = await guess_at_once(behind_proxy, [(new_email(), network) for _ in range(GUESSES)])

    assert count(answers) == of_which_pass(FROM_NETWORK)


async def test_each_refusal_says_when_to_come_again(behind_proxy: str) -> None:
    answers = await guess_at_once(behind_proxy, [(new_email(), new_network())] * GUESSES)

    waits = [int(answer.headers["retry-after"]) for answer in answers if answer.status == 429]
    assert len(waits) == GUESSES - ON_ACCOUNT_FROM_NETWORK
    assert all(DAY - 60 < wait <= DAY for wait in waits)


async def test_victim_signs_in_from_another_network_than_the_attackers(
    behind_proxy: str, client: AsyncClient
) -> None:
    email, _ = await register(client)
    attacker = new_network()

    await guess_at_once(behind_proxy, [(email, attacker)] * GUESSES)

    assert await log_in(client, email, attacker) == 429
    assert await log_in(client, email, new_network()) == 200


async def test_victim_of_many_networks_signs_in_from_where_she_did_before(
    behind_proxy: str, client: AsyncClient
) -> None:
    email, _ = await register(client)
    home = new_network()
    await log_in(client, email, home)

    await guess_at_once(behind_proxy, [(email, new_network()) for _ in range(GUESSES)])

    assert await log_in(client, email, new_network()) == 429
    assert await log_in(client, email, home) == 200


async def test_what_a_client_writes_before_the_proxy_does_makes_no_other_network(
    behind_proxy: str,
) -> None:
    email, network = new_email(), new_network()

    answers = await guess_at_once(
        behind_proxy, [(email, f"{new_network()}, {network}") for _ in range(GUESSES)]
    )

    assert count(answers) == of_which_pass(ON_ACCOUNT_FROM_NETWORK)


async def test_without_trusted_proxies_forwarded_addresses_make_no_other_network(
    without_proxy: str,
) -> None:
    email = new_email()

    answers = await guess_at_once(without_proxy, [(email, new_network()) for _ in range(GUESSES)])

    assert count(answers) == of_which_pass(ON_ACCOUNT_FROM_NETWORK)


async def test_unknown_account_is_refused_as_a_known_one_step_by_step(
    client: AsyncClient,
) -> None:
    email, _ = await register(client)
    tries = ON_ACCOUNT_FROM_NETWORK + 3
    networks = new_network(), new_network()

    known, unknown = [
        [await try_login(client, address, network, WRONG) for _ in range(tries)]
        for address, network in zip((email, new_email()), networks, strict=True)
    ]

    assert [answer.status_code for answer in known] == [401] * ON_ACCOUNT_FROM_NETWORK + [429] * 3
    assert [visible(answer) for answer in known] == [visible(answer) for answer in unknown]


def visible(answer: Received) -> object:
    """Return all that a client sees; of moments, whether they are the usual ones."""
    headers = dict(answer.headers)
    del headers["date"]
    if "retry-after" in headers:
        assert DAY - 60 < int(headers.pop("retry-after")) <= DAY
        headers["retry-after"] = "a day"
    return answer.status_code, headers, answer.content


Send = Callable[[AsyncClient, str, dict[str, str]], Awaitable[Received]]
"""Guesses the password of an account; the headers hold network and access token."""


async def by_login(client: AsyncClient, email: str, headers: dict[str, str]) -> Received:
    body = {"email": email, "password": WRONG}
    return await client.post("/auth/login", json=body, headers=headers)


async def by_token(client: AsyncClient, email: str, headers: dict[str, str]) -> Received:
    form = {"grant_type": "password", "username": email, "password": WRONG}
    return await client.post("/auth/token", data=form, headers=headers)


async def by_password(client: AsyncClient, email: str, headers: dict[str, str]) -> Received:
    body = {"current_password": WRONG, "new_password": "yet another horse battery"}
    return await client.post("/auth/password", json=body, headers=headers)


ROUTES = (by_login, by_token, by_password)


@pytest.mark.parametrize(
    ("route", "refusal"),
    [(by_login, 401), (by_token, 400), (by_password, 401)],  # 400: RFC 6749 section 5.2
)
async def test_guesses_by_one_route_use_up_those_of_all_three(
    client: AsyncClient, route: Send, refusal: int
) -> None:
    email, access = await register(client)
    headers = access | {"X-Forwarded-For": new_network()}

    looked_at = await asyncio.gather(
        *(route(client, email, headers) for _ in range(ON_ACCOUNT_FROM_NETWORK))
    )
    refused = [await route(client, email, headers) for route in ROUTES]

    assert {answer.status_code for answer in looked_at} == {refusal}
    assert [answer.status_code for answer in refused] == [429] * len(ROUTES)


async def test_parallel_guesses_by_all_three_routes_are_counted_together(
    client: AsyncClient,
) -> None:
    email, access = await register(client)
    headers = access | {"X-Forwarded-For": new_network()}

    answers = await asyncio.gather(*(route(client, email, headers) for route in ROUTES * 10))

    assert sum(answer.status_code in {400, 401} for answer in answers) == ON_ACCOUNT_FROM_NETWORK
    assert sum(answer.status_code == 429 for answer in answers) == 30 - ON_ACCOUNT_FROM_NETWORK
