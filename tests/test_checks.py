"""Start-up checks, and the doctor that prints the same."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount
from starlette.types import ASGIApp

from apps import make_kit
from engines import engine_on
from jwt_auth_kit import (
    Argon2Hasher,
    AuthKit,
    BearerTransport,
    ConfigurationError,
    CookieTransport,
    KeyRing,
    LoginThrottle,
    NewUser,
    PasswordPolicy,
    TokenVerifier,
    Transport,
    auth_router,
    install,
)
from jwt_auth_kit.cli.main import make_secret
from jwt_auth_kit.stores.sqlalchemy import (
    SQLAlchemyTokenStore,
    SQLAlchemyUserStore,
    create_schema,
)
from jwt_auth_kit.web.checks import find_account_problems, find_problems

COOKIES: Sequence[Transport] = [CookieTransport()]
BEARER: Sequence[Transport] = [BearerTransport()]


def make_durable_kit(**options: Any) -> AuthKit:
    engine = create_async_engine("sqlite+aiosqlite:///:memory:")
    stores = {"users": SQLAlchemyUserStore(engine), "tokens": SQLAlchemyTokenStore(engine)}
    good = {"hasher": Argon2Hasher(), "password_policy": PasswordPolicy(min_length=15)}
    settings = {
        "trusted_proxies": ("10.0.0.1",),
        "max_sessions": 100,
        **options.pop("settings", {}),
    }
    return make_kit(**{**stores, **good, **options}, settings=settings)


def make_app(
    kit: AuthKit | None = None,
    transports: Sequence[Transport] = BEARER,
    **cors: Any,
) -> FastAPI:
    app = FastAPI()
    app.include_router(auth_router)
    app.add_middleware(GZipMiddleware)
    if cors:
        app.add_middleware(CORSMiddleware, **cors)
    install(app, kit or make_durable_kit(), transports=transports)
    return app


def found(app: FastAPI) -> list[tuple[str, str]]:
    return [(finding.level, finding.subject) for finding in find_problems(app)]


WILDCARDS = [
    {"allow_origins": ["*"]},
    {"allow_origins": ["https://app.example.com", "*"]},
    {"allow_origins": ["null"]},
    {"allow_origin_regex": ".*"},
    {"allow_origin_regex": "https://.*"},
    {"allow_origin_regex": r"https://.*\.com"},
    {"allow_origin_regex": ".+"},
    {"allow_origin_regex": "^.*$"},
    {"allow_origin_regex": "(?s).*"},
    {"allow_origin_regex": "https?://.*"},
    {"allow_origin_regex": "http://.*"},
    {"allow_origin_regex": r"https?://[\w.-]+(:\d+)?"},
    {"allow_origin_regex": r"https://.*\.vercel\.app"},
    {"allow_origin_regex": "null|https://app.example.com"},
]


class OurCORSMiddleware(CORSMiddleware):
    """What an application may have made of it."""


@pytest.mark.parametrize("origins", WILDCARDS, ids=str)
def test_an_application_that_lets_everybody_use_its_cookies_does_not_start(
    origins: dict[str, Any],
) -> None:
    app = make_app(transports=COOKIES, allow_credentials=True, **origins)

    with pytest.raises(ConfigurationError, match=r"Name\s+the origins"), TestClient(app):
        pass


class GenerousCORSMiddleware(CORSMiddleware):
    """One that decides by itself."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app, allow_origins=["https://app.example.com"], allow_credentials=True)

    def is_allowed_origin(self, origin: str) -> bool:
        return True


def test_a_middleware_that_inherits_from_that_one_is_seen_too() -> None:
    app = make_app(transports=COOKIES)
    app.add_middleware(OurCORSMiddleware, allow_origins=["*"], allow_credentials=True)
    other = make_app(transports=COOKIES)
    other.add_middleware(GenerousCORSMiddleware)

    assert ("error", "cors") in found(app)
    assert ("error", "cors") in found(other)


def test_origins_without_their_keyword_are_seen_too() -> None:
    app = make_app(transports=COOKIES)
    app.add_middleware(CORSMiddleware, ["*"], ["GET"], [], True)

    assert ("error", "cors") in found(app)


OPEN: dict[str, Any] = {"allow_origins": ["*"], "allow_credentials": True}


def inside_starlette(app: FastAPI) -> ASGIApp:
    return Starlette(routes=[Mount("/", app)], middleware=[Middleware(CORSMiddleware, **OPEN)])


def inside_fastapi(app: FastAPI) -> ASGIApp:
    outer = FastAPI()
    outer.add_middleware(CORSMiddleware, **OPEN)
    outer.mount("/", GZipMiddleware(app))
    return outer


WRAPPINGS: list[Callable[[FastAPI], ASGIApp]] = [
    lambda app: CORSMiddleware(app, **OPEN),
    lambda app: OurCORSMiddleware(app, **OPEN),
    lambda app: GenerousCORSMiddleware(GZipMiddleware(app)),
    lambda app: GZipMiddleware(
        CORSMiddleware(app, allow_origin_regex=".*", allow_credentials=True)
    ),
    inside_starlette,
    inside_fastapi,
]


@pytest.mark.parametrize("wrap", WRAPPINGS)
def test_cors_that_is_wrapped_around_an_application_is_seen_too(
    wrap: Callable[[FastAPI], ASGIApp],
) -> None:
    app = make_app(transports=COOKIES)
    outer = wrap(app)

    with pytest.raises(ConfigurationError, match=r"Name\s+the origins"):
        TestClient(outer).get("/auth/session")


@pytest.mark.parametrize("wrap", WRAPPINGS[:4])
def test_cors_that_is_wrapped_around_an_application_keeps_it_from_starting(
    wrap: Callable[[FastAPI], ASGIApp],
) -> None:
    outer = wrap(make_app(transports=COOKIES))

    with pytest.raises(ConfigurationError, match=r"Name\s+the origins"), TestClient(outer):
        pass


def test_an_application_that_only_verifies_is_checked_without_the_router() -> None:
    app = FastAPI()
    app.add_middleware(CORSMiddleware, **OPEN)
    keys = KeyRing.random()
    install(app, TokenVerifier(keys=keys, issuer="i", audience="a"), transports=COOKIES)

    with pytest.raises(ConfigurationError, match=r"Name\s+the origins"), TestClient(app):
        pass


def test_cors_around_another_application_is_not_the_business_of_this_one() -> None:
    app, other = make_app(transports=COOKIES), make_app()
    outer = [CORSMiddleware(other, **OPEN), CORSMiddleware(lambda *_: None, **OPEN)]  # type: ignore[arg-type]

    assert ("error", "cors") not in found(app)
    assert TestClient(app).get("/auth/session").status_code == 200
    assert len(outer) == 2


@pytest.mark.parametrize(
    ("transports", "cors"),
    [
        (COOKIES, {"allow_origins": ["*"]}),
        (BEARER, {"allow_origins": ["*"], "allow_credentials": True}),
        (COOKIES, {"allow_origin_regex": r"https://\w+\.example\.com", "allow_credentials": True}),
    ],
)
def test_other_cors_settings_are_fine(
    transports: Sequence[Transport], cors: dict[str, Any]
) -> None:
    app = make_app(transports=transports, **cors)

    with TestClient(app):
        assert ("error", "cors") not in found(app)


def test_an_origin_of_cors_that_the_guard_refuses_is_a_warning() -> None:
    cors: dict[str, Any] = {
        "allow_origins": ["https://app.example.com"],
        "allow_credentials": True,
    }
    trusted = [CookieTransport(trusted_origins=["https://app.example.com"])]

    assert ("warning", "cors") in found(make_app(transports=COOKIES, **cors))
    assert ("warning", "cors") not in found(make_app(transports=trusted, **cors))


@pytest.mark.parametrize(
    ("kit", "finding"),
    [
        ({"hasher": Argon2Hasher.weak_for_tests()}, ("warning", "passwords")),
        ({"settings": {"when_stale": "allow"}}, ("warning", "revocation")),
        ({"settings": {"reuse_window": 0}}, ("warning", "sessions")),
        ({"settings": {"access_ttl": 901}}, ("advice", "tokens")),
        ({"password_policy": PasswordPolicy()}, ("advice", "passwords")),
        ({"settings": {"max_sessions": None}}, ("advice", "sessions")),
        ({"settings": {"trusted_proxies": ()}}, ("advice", "proxies")),
    ],
)
def test_what_is_unwise_is_found(kit: dict[str, Any], finding: tuple[str, str]) -> None:
    kit["settings"] = kit.get("settings", {})

    assert finding in found(make_app(make_durable_kit_with(kit)))
    assert finding not in found(make_app())


def make_durable_kit_with(options: dict[str, Any]) -> AuthKit:
    return make_durable_kit(**options)


def test_memory_is_a_warning_and_counting_in_each_process_an_advice() -> None:
    shared = LoginThrottle("redis://127.0.0.1:1")

    assert ("warning", "memory") in found(make_app(make_kit()))
    assert ("advice", "throttle") in found(make_app())
    assert ("advice", "throttle") not in found(make_app(make_durable_kit(throttle=shared)))


@pytest.mark.parametrize(
    ("environment", "sign"),
    [
        ({"DYNO": "web.1"}, "Heroku puts a proxy in front"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "Kubernetes puts"),
        ({"FORWARDED_ALLOW_IPS": "*"}, "FORWARDED_ALLOW_IPS is set"),
        ({"UVICORN_UDS": "/run/app.sock"}, "UVICORN_UDS is set"),
        ({"GUNICORN_CMD_ARGS": "--bind unix:/run/app.sock"}, "listens at a socket file"),
    ],
    ids=str,
)
def test_a_proxy_that_nobody_named_is_a_warning(
    environment: dict[str, str], sign: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    unnamed, named = make_durable_kit(settings={"trusted_proxies": ()}), make_durable_kit()

    (finding,) = [each for each in find_problems(make_app(unnamed)) if each.subject == "proxies"]

    assert finding.level == "warning"
    assert sign in finding.message
    assert "sign-ups of the whole application" in finding.message
    assert not [each for each in find_problems(make_app(named)) if each.subject == "proxies"]


@pytest.mark.parametrize("option", ["--uds=/run/app.sock", "unix:/run/app.sock"])
def test_a_socket_file_on_the_command_line_is_seen(
    option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["uvicorn", "main:app", option])

    assert ("warning", "proxies") in found(
        make_app(make_durable_kit(settings={"trusted_proxies": ()}))
    )


def test_cookies_that_are_less_than_safe_are_found() -> None:
    insecure = make_app(transports=[CookieTransport(secure=False)])
    cross_site = make_app(transports=[CookieTransport(access_samesite="none")])

    assert ("warning", "cookies") in found(insecure)
    assert ("advice", "cookies") in found(cross_site)
    assert not {("warning", "cookies"), ("advice", "cookies")} & set(found(make_app()))


def test_debug_is_a_warning() -> None:
    app = make_app()
    app.debug = True

    assert ("warning", "debug") in found(app)


def test_the_worst_comes_first() -> None:
    app = make_app(make_kit(), transports=COOKIES, allow_origins=["*"], allow_credentials=True)

    levels = [level for level, _ in found(app)]

    assert levels == sorted(levels, key=["error", "warning", "advice"].index)
    assert {"error", "warning", "advice"} == set(levels)


def test_warnings_are_logged_at_the_start_and_advice_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = make_app(make_durable_kit(settings={"when_stale": "allow"}, password_policy=None))
    caplog.set_level(logging.DEBUG, logger="jwt_auth_kit")

    with TestClient(app):
        pass

    assert "JWT_WHEN_STALE=allow" in caplog.text
    assert "PasswordPolicy" not in caplog.text


PROGRAM = """
from contextlib import asynccontextmanager
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from jwt_auth_kit import AuthKit, BearerTransport, CookieTransport, auth_router, install

app = FastAPI()
app.include_router(auth_router)

wrapped = CORSMiddleware(FastAPI(), allow_origin_regex=".*", allow_credentials=True)
install(wrapped.app, AuthKit(), transports=[CookieTransport()])

open_to_all = FastAPI()
open_to_all.add_middleware(CORSMiddleware, allow_origins=["*"], allow_credentials=True)
install(open_to_all, AuthKit(), transports=[CookieTransport()])
open_to_all.include_router(auth_router)

def make():
    return app

nothing = 3

@asynccontextmanager
async def fail(app):
    raise KeyError("a secret")
    yield

broken = FastAPI(lifespan=fail)
"""


def doctor(folder: Path, target: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "program.py").write_text(PROGRAM)
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "jwt_auth_kit", "doctor", f"program:{target}"],
        cwd=folder,
        env={
            "PYTHONPATH": os.pathsep.join(sys.path),
            "JWT_SECRET_KEY": make_secret(),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("target", ["app", "make"])
def test_the_doctor_prints_a_table(target: str, tmp_path: Path) -> None:
    done = doctor(tmp_path, target)

    lines = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    assert lines[0] == ["level", "about", "what to do"]
    assert [line[:2] for line in lines[1:]] == [
        ["warning", "memory"],
        ["advice", "passwords"],
        ["advice", "proxies"],
    ]
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("target", "environment", "cure"),
    [
        ("broken", {}, "The application does not start: KeyError"),
        ("open_to_all", {}, "Name the origins"),
        ("wrapped", {}, "Name the origins"),
        ("app", {"JWT_SECRET_KEY": ""}, "python -m jwt_auth_kit secret"),
        ("app", {"JWT_SECRET_KEY": "c2hvcnQ="}, "32"),
        ("app", {"JWT_REFRESH_TTL": "60"}, "JWT_ACCESS_TTL <= JWT_REFRESH_TTL"),
        ("missing", {}, "cannot be loaded"),
        ("nothing", {}, "is no FastAPI"),
    ],
)
def test_the_doctor_finds_what_keeps_an_application_from_running(
    target: str, environment: dict[str, str], cure: str, tmp_path: Path
) -> None:
    done = doctor(tmp_path, target, **environment)

    assert done.returncode == 1
    assert cure in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_misspelt_variable_is_told_with_the_right_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_COOKIE", "1")
    monkeypatch.setenv("JWT_REFRESH_TLL", "60")

    findings = find_problems(make_app())

    told = [(each.level, each.message) for each in findings if each.subject == "settings"]
    assert told == [
        (
            "warning",
            "JWT_REFRESH_TLL is not a setting of jwt-auth-kit. Did you mean JWT_REFRESH_TTL?",
        ),
        ("advice", "JWT_COOKIE is not a setting of jwt-auth-kit."),
    ]


async def test_the_doctor_counts_addresses_that_differ_in_capitals_only(tmp_path: Path) -> None:
    async with engine_on(tmp_path / "app.db") as engine:
        await create_schema(engine)
        kit = make_kit(users=SQLAlchemyUserStore(engine))
        app = FastAPI()
        install(app, kit)
        for email in ("ann@example.com", "bob@example.com", "Bob@example.com", "BOB@example.com"):
            await kit.users.create(NewUser(email=email, display_name="B", password_hash="x"))

        (found,) = await find_account_problems(app)

    assert (found.level, found.subject) == ("warning", "users")
    assert found.message.startswith("1 address ")
    assert "lower(email)" in found.message


async def test_the_doctor_says_nothing_of_addresses_that_differ(tmp_path: Path) -> None:
    async with engine_on(tmp_path / "app.db") as engine:
        await create_schema(engine)
        kit = make_kit(users=SQLAlchemyUserStore(engine))
        app = FastAPI()
        install(app, kit)
        await kit.users.create(NewUser(email="ann@example.com", display_name="A", password_hash=""))

        assert await find_account_problems(app) == []
