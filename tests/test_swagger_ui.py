"""The Authorize button of the API docs signs in, in a real browser against a real server."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, Route

from browsers import Visitor, visit
from live import live_server

EMAIL = "ada@example.com"
PASSWORD = "correct horse battery"
WRONG = "wrong horse battery"

SWAGGER_UI = Path(__file__).parent / "browser/node_modules/swagger-ui-dist"
ON_THE_WEB = re.compile(r"^https://.*/(swagger-ui\.css|swagger-ui-bundle\.js|favicon\.png)$")
FILES = {"favicon.png": "favicon-32x32.png"}

PLAIN = """
from fastapi import FastAPI
from jwt_auth_kit import auth_router

app = FastAPI()
app.include_router(auth_router)
"""

PREFIXED = """
from fastapi import FastAPI
from jwt_auth_kit import auth_router

app = FastAPI()
app.include_router(auth_router, prefix="/api/v1")
"""

MOUNTED = """
from fastapi import FastAPI
from jwt_auth_kit import AuthKit, auth_router, install

inner = FastAPI()
inner.include_router(auth_router)
install(inner, AuthKit())
app = FastAPI()
app.mount("/inner", inner)
"""

WITH_COOKIES = """
from fastapi import FastAPI
from jwt_auth_kit import AuthKit, BearerTransport, CookieTransport, auth_router, install

app = FastAPI()
app.include_router(auth_router)
install(app, AuthKit(), transports=[CookieTransport(), BearerTransport()])
"""


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Visitor]:
    assert SWAGGER_UI.exists(), "Swagger UI is missing: (cd tests/browser && npm ci)"
    with visit(browser) as visitor:
        visitor.context.route(ON_THE_WEB, serve_from_npm)
        yield visitor


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(PLAIN, "/auth", app_dir=tmp_path_factory.mktemp("plain")) as url:
        yield url


@contextmanager
def serve(source: str, auth: str, *, app_dir: Path) -> Iterator[str]:
    """Serve the application in *source*, with one account; yield its base URL."""
    (app_dir / "documented.py").write_text(source)
    with live_server("documented:app", app_dir=app_dir) as url:
        body = {"email": EMAIL, "password": PASSWORD, "display_name": "Ada"}
        httpx.post(f"{url}{auth}/register", json=body).raise_for_status()
        yield url


def serve_from_npm(route: Route) -> None:
    """Answer what the docs page loads from the web."""
    name = route.request.url.rpartition("/")[2]
    route.fulfill(path=SWAGGER_UI / FILES.get(name, name))


def authorize(page: Page, password: str) -> Locator:
    """Fill in the form behind the Authorize button; return the form."""
    page.get_by_role("button", name="Authorize", exact=True).click()
    form = page.locator(".auth-container", has_text="OAuth2PasswordBearer")
    form.locator("#oauth_username").fill(EMAIL)
    form.locator("#oauth_password").fill(password)
    form.get_by_role("button", name="Apply given OAuth2 credentials").click()
    return form


def execute_me(page: Page) -> tuple[int, dict[str, Any]]:
    """Try GET me out; return the status and the body on show."""
    operation = page.locator(".opblock-get", has=page.locator("[data-path$='/me']"))
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    response = operation.locator(".live-responses-table .response")
    status = response.locator(".response-col_status").inner_text()
    body = response.locator(".response-col_description code").first.inner_text()
    return int(status.split()[0]), dict(json.loads(body))


@pytest.mark.parametrize(
    ("source", "docs", "auth"),
    [
        (PLAIN, "/docs", "/auth"),
        (PREFIXED, "/docs", "/api/v1/auth"),
        (MOUNTED, "/inner/docs", "/inner/auth"),
        (WITH_COOKIES, "/docs", "/auth"),
    ],
    ids=["plain", "prefixed", "mounted", "with cookies"],
)
def test_authorize_signs_in_and_executed_requests_are_the_users(
    source: str, docs: str, auth: str, visitor: Visitor, tmp_path: Path
) -> None:
    with serve(source, auth, app_dir=tmp_path) as url:
        page = visitor.open(url + docs)

        form = authorize(page, PASSWORD)
        form.get_by_role("button", name="Remove authorization").wait_for()
        form.get_by_role("button", name="Close").click()
        status, body = execute_me(page)

    assert (status, body["email"], body["display_name"]) == (200, EMAIL, "Ada")
    assert visitor.problems == []


def test_without_authorize_executed_requests_are_nobodys(plain: str, visitor: Visitor) -> None:
    page = visitor.open(f"{plain}/docs")

    status, body = execute_me(page)

    assert (status, body["detail"]["code"]) == (401, "not_authenticated")


def test_authorize_shows_that_a_password_is_wrong(plain: str, visitor: Visitor) -> None:
    page = visitor.open(f"{plain}/docs")

    form = authorize(page, WRONG)

    assert "invalid_grant" in form.locator(".errors").inner_text()
