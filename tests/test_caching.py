"""No shared cache stores an answer that a cookie was needed for."""

from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, HTTPException, Response
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from fastapi.testclient import TestClient

from apps import bearer, make_kit, register
from jwt_auth_kit import BearerTransport, CookieTransport, UserDep, auth_router, install


def make_app() -> FastAPI:
    """An application that answers in every way there is, signed in and not."""
    app, sub = FastAPI(), FastAPI()
    routes = APIRouter(prefix="/mine")

    @routes.get("/dict")
    async def as_dict(user: UserDep) -> dict[str, str]:
        return {"id": user.id}

    @routes.get("/json")
    async def as_json(user: UserDep) -> Response:
        return JSONResponse({"id": user.id})

    @routes.get("/file")
    async def as_file(user: UserDep) -> Response:
        return FileResponse(Path(__file__))

    @routes.get("/stream")
    async def as_stream(user: UserDep) -> Response:
        return StreamingResponse(iter([user.id]))

    @routes.get("/error")
    async def as_error(user: UserDep) -> None:
        raise HTTPException(418)

    @routes.get("/own")
    async def with_own_header(user: UserDep, response: Response) -> None:
        response.headers["Cache-Control"] = "max-age=60"
        response.headers["Vary"] = "Accept-Language, Origin"

    @routes.get("/vary")
    async def with_vary(user: UserDep) -> Response:
        return Response(headers={"Vary": "Origin, cookie"})

    @app.get("/open")
    async def without_user() -> None: ...

    @sub.get("/mounted")
    async def mounted(user: UserDep) -> None: ...

    app.include_router(auth_router)
    app.include_router(routes)
    app.mount("/sub", sub)
    install(app, make_kit(), transports=[CookieTransport(), BearerTransport()])
    return app


def caching(answer: Any) -> tuple[str | None, str | None]:
    return answer.headers.get("cache-control"), answer.headers.get("vary")


@pytest.fixture
def signed_in() -> Any:
    with TestClient(make_app(), base_url="https://testserver") as client:
        register(client)
        yield client


@pytest.mark.parametrize(
    ("path", "status"),
    [
        *(("/mine/dict", 200), ("/mine/json", 200), ("/mine/file", 200), ("/mine/stream", 200)),
        *(("/mine/error", 418), ("/sub/mounted", 200)),
    ],
)
def test_an_answer_that_a_cookie_was_needed_for_is_private(
    path: str, status: int, signed_in: TestClient
) -> None:
    answer = signed_in.get(path)

    assert answer.status_code == status
    assert caching(answer) == ("private", "Cookie")


def test_a_refused_cookie_makes_no_answer_for_others() -> None:
    with TestClient(make_app(), base_url="https://testserver") as client:
        client.cookies.set("__Host-access_token", "a.b.c")

        answer = client.get("/mine/dict")

    assert answer.status_code == 401
    assert caching(answer) == ("private", "Cookie")


def test_what_the_host_sets_stays_and_nothing_is_doubled(signed_in: TestClient) -> None:
    assert caching(signed_in.get("/mine/own")) == ("max-age=60", "Accept-Language, Origin, Cookie")
    assert caching(signed_in.get("/mine/vary")) == ("private", "Origin, cookie")


def test_an_answer_that_needs_nobody_may_be_kept(signed_in: TestClient) -> None:
    assert caching(signed_in.get("/open")) == (None, None)


def test_a_bearer_gets_no_such_headers() -> None:
    app = FastAPI()
    app.include_router(auth_router)
    install(app, make_kit(), transports=[BearerTransport(), CookieTransport()])

    @app.get("/mine")
    async def mine(user: UserDep) -> None: ...

    with TestClient(app, base_url="https://testserver") as client:
        header = bearer(register(client))
        answers = [
            client.get("/mine", headers=header),
            client.get("/mine", headers=header | {"Cookie": "theme=dark"}),
        ]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert [caching(answer) for answer in answers] == [(None, None)] * 2
