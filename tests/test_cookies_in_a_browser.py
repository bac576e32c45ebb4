"""What Chromium keeps of our cookies, and what it deletes when it is told to."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from apps import EMAIL, PASSWORD, make_kit
from browsers import Visitor
from jwt_auth_kit import AuthKit, ConfigurationError, CookieTransport, auth_router, install
from live import running

HOST = "www.shop.localhost"
ACCOUNT = {"email": EMAIL, "password": PASSWORD}
PLACES = ["Path=/auth", "Path=/auth/", f"Domain={HOST}", "Domain=shop.localhost"]

CALL = """
async ([method, path, body]) => {
  const answer = await fetch(path, {
    method, body: body && JSON.stringify(body),
    headers: body ? {"Content-Type": "application/json"} : {},
  });
  return answer.status;
}
"""


@contextmanager
def serve(kit: AuthKit, transport: CookieTransport) -> Iterator[str]:
    app = FastAPI()
    app.include_router(auth_router)
    install(app, kit, transports=[transport])

    @app.get("/", response_class=HTMLResponse)
    async def page() -> str:
        return "<!doctype html><link rel=icon href='data:,'><title>Shop</title>"

    with running(app) as (_, port):
        yield f"http://{HOST}:{port}"


def call(page: Any, method: str, path: str, body: Any = None) -> int:
    return int(page.evaluate(CALL, [method, path, body]))


def names_in(visitor: Visitor) -> list[str]:
    return sorted(
        f"{each.get('domain')}{each.get('path')} {each.get('name')}"
        for each in visitor.context.cookies()
    )


@pytest.mark.parametrize("place", PLACES)
def test_an_old_cookie_is_deleted_and_the_next_refresh_works(visitor: Visitor, place: str) -> None:
    with serve(make_kit(), CookieTransport(secure=False)) as origin:
        page = visitor.open(origin)
        page.evaluate("text => { document.cookie = text }", f"refresh_token=old; {place}")
        assert len(names_in(visitor)) == 1
        assert call(page, "POST", "/auth/register", ACCOUNT) == 201
        assert len(names_in(visitor)) == 3

        statuses = [call(page, "POST", "/auth/refresh") for _ in range(2)]

        assert statuses == [401, 200]
        assert names_in(visitor) == [f"{HOST}/ access_token", f"{HOST}/ refresh_token"]


@pytest.mark.parametrize("place", PLACES)
def test_a_logout_leaves_no_cookie(visitor: Visitor, place: str) -> None:
    with serve(make_kit(), CookieTransport(secure=False)) as origin:
        page = visitor.open(origin)
        page.evaluate("text => { document.cookie = text }", f"refresh_token=old; {place}")
        call(page, "POST", "/auth/register", ACCOUNT)

        assert call(page, "POST", "/auth/logout") == 204
        assert names_in(visitor) == []


def test_it_keeps_the_longest_access_token_that_is_made(visitor: Visitor) -> None:
    scopes: list[str] = []
    kit = make_kit(scopes=lambda user: scopes)
    transport = CookieTransport()
    most = transport.carrier.max_length

    def fits(size: int) -> bool:
        scopes[:] = ["x" * size]
        try:
            kit.jwt.create_access_token(
                {"user_id": "0" * 36, "email": EMAIL, "display_name": "ada", "scope": scopes[0]},
                carrier=transport.carrier,
            )
        except ConfigurationError:
            return False
        return True

    # What a session adds is the same for each size.
    size = next(size for size in range(most, 0, -1) if fits(size))
    with serve(kit, transport) as origin:
        page = visitor.open(origin)
        status = 500
        while status == 500:
            scopes[:] = ["x" * size]
            status = call(page, "POST", "/auth/register", ACCOUNT)
            size -= 1

        kept = {each.get("name"): str(each.get("value")) for each in visitor.context.cookies()}

    assert status == 201
    assert 4096 - 3 <= len("__Host-access_token") + len(kept["__Host-access_token"]) <= 4096
