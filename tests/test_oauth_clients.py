"""OAuth2 client libraries sign in at the token endpoint of a real server (RFC 6749)."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client, OAuth2Client
from authlib.integrations.requests_client import OAuth2Session
from oauthlib.oauth2 import InvalidGrantError, LegacyApplicationClient
from requests_oauthlib import OAuth2Session as RequestsOAuth2Session

from live import live_server

USERNAME = "ada@example.com"
PASSWORD = "correct horse battery"
WRONG = "wrong horse battery"

PREFIXED = """
from fastapi import FastAPI
from jwt_auth_kit import auth_router

app = FastAPI()
app.include_router(auth_router, prefix="/api/v1")
"""


@pytest.fixture(scope="module")
def example() -> Iterator[str]:
    """Base URL of the example's authentication routes, with one account."""
    with live_server() as url:
        sign_up(f"{url}/auth")
        yield f"{url}/auth"


@pytest.fixture(scope="module")
def prefixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same of an application that has them under a prefix."""
    app_dir: Path = tmp_path_factory.mktemp("app")
    (app_dir / "prefixed.py").write_text(PREFIXED)
    with live_server("prefixed:app", app_dir=app_dir) as url:
        sign_up(f"{url}/api/v1/auth")
        yield f"{url}/api/v1/auth"


@pytest.fixture(params=["example", "prefixed"])
def auth(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


@pytest.fixture(autouse=True)
def plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let oauthlib send tokens over http, to loopback."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")


def sign_up(auth: str) -> None:
    body = {"email": USERNAME, "password": PASSWORD, "display_name": "Ada"}
    httpx.post(f"{auth}/register", json=body).raise_for_status()


def test_authlib_on_requests_signs_in_and_refreshes(auth: str) -> None:
    with OAuth2Session(token_endpoint=f"{auth}/token") as client:
        first = client.fetch_token(username=USERNAME, password=PASSWORD)
        second = client.refresh_token()
        answer = client.get(f"{auth}/me")

    assert second["access_token"] != first["access_token"]
    assert (answer.status_code, answer.json()["email"]) == (200, USERNAME)


def test_authlib_on_httpx_signs_in_and_refreshes(auth: str) -> None:
    with OAuth2Client(token_endpoint=f"{auth}/token") as client:
        first = client.fetch_token(username=USERNAME, password=PASSWORD)
        second = client.refresh_token()
        answer = client.get(f"{auth}/me")

    assert second["access_token"] != first["access_token"]
    assert (answer.status_code, answer.json()["email"]) == (200, USERNAME)


async def test_authlib_on_async_httpx_signs_in_and_refreshes(auth: str) -> None:
    async with AsyncOAuth2Client(token_endpoint=f"{auth}/token") as client:
        first = await client.fetch_token(username=USERNAME, password=PASSWORD)
        second = await client.refresh_token()
        answer = await client.get(f"{auth}/me")

    assert second["access_token"] != first["access_token"]
    assert (answer.status_code, answer.json()["email"]) == (200, USERNAME)


def test_requests_oauthlib_signs_in_and_refreshes(auth: str) -> None:
    with RequestsOAuth2Session(client=LegacyApplicationClient(client_id="notebook")) as client:
        first = client.fetch_token(f"{auth}/token", username=USERNAME, password=PASSWORD)
        second = client.refresh_token(f"{auth}/token")
        answer = client.get(f"{auth}/me")

    assert second["access_token"] != first["access_token"]
    assert (answer.status_code, answer.json()["email"]) == (200, USERNAME)


def test_authlib_knows_the_refusal_of_a_wrong_password(auth: str) -> None:
    with (
        OAuth2Session(token_endpoint=f"{auth}/token") as client,
        pytest.raises(OAuthError) as caught,
    ):
        client.fetch_token(username=USERNAME, password=WRONG)

    assert caught.value.error == "invalid_grant"


def test_requests_oauthlib_knows_the_refusal_of_a_wrong_password(auth: str) -> None:
    with (
        RequestsOAuth2Session(client=LegacyApplicationClient(client_id="notebook")) as client,
        pytest.raises(InvalidGrantError),
    ):
        client.fetch_token(f"{auth}/token", username=USERNAME, password=WRONG)


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "password", "username": USERNAME, "password": WRONG}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "nonsense"}, "invalid_grant"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": "password", "username": USERNAME}, "invalid_request"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"username": USERNAME}, "invalid_request"),
        ({}, "invalid_request"),
    ],
)
def test_refusal_has_the_error_body_of_rfc_6749(
    auth: str, form: dict[str, str], error: str
) -> None:
    answer = httpx.post(f"{auth}/token", data=form)

    body = answer.json()
    assert (answer.status_code, body["error"]) == (400, error)
    assert body.keys() <= {"error", "error_description", "error_uri"}
    assert answer.headers["Cache-Control"] == "no-store"
