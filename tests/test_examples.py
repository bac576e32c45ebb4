"""The examples do what they show."""

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import ValidationError

from apps import EMAIL, PASSWORD, bearer, code, refresh, register
from examples import quickstart
from examples.fullstack import main
from jwt_auth_kit import ConfigurationError
from jwt_auth_kit.cli.main import make_secret

ADMIN_EMAIL = "root@example.com"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An empty working directory, so no .env and a new SQLite file, and a secret."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("JWT_SECRET_KEY", make_secret())
    monkeypatch.setenv("ADMIN_EMAIL", ADMIN_EMAIL)
    monkeypatch.setenv("ADMIN_PASSWORD", PASSWORD)
    return monkeypatch


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(main.app, base_url="https://testserver") as client:
        yield client


def log_in(client: TestClient, email: str) -> dict[str, str]:
    """Sign in and return the header that carries the access token."""
    answer = client.post("/auth/login", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return bearer(answer.json())


def test_quickstart_fits_on_one_screen() -> None:
    lines = Path(quickstart.__file__).read_text().splitlines()

    assert len(lines) <= 30


def test_quickstart_answers_a_user() -> None:
    with TestClient(quickstart.app) as client:
        user = bearer(register(client, "one@example.com"))

        answer = client.get("/projects", headers=user)

    assert (answer.status_code, answer.json()) == (200, ["A project of one@example.com"])


def test_quickstart_keeps_the_admin_route_from_users() -> None:
    with TestClient(quickstart.app) as client:
        user = bearer(register(client, "two@example.com"))

        answer = client.get("/admin/projects", headers=user)

    assert (answer.status_code, code(answer)) == (403, "insufficient_role")


@pytest.mark.parametrize("path", ["/projects", "/admin/projects"])
def test_quickstart_refuses_a_stranger(path: str) -> None:
    with TestClient(quickstart.app) as client:
        answer = client.get(path)

    assert (answer.status_code, code(answer)) == (401, "not_authenticated")


def test_without_a_secret_the_start_fails_and_says_how_to_make_one(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.delenv("JWT_SECRET_KEY")

    with (
        pytest.raises(ConfigurationError, match="python -m jwt_auth_kit secret"),
        TestClient(main.app),
    ):
        pass


def test_short_admin_password_is_refused_and_not_repeated(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ADMIN_PASSWORD", "hunter2")

    with pytest.raises(ValidationError, match="admin_password") as caught, TestClient(main.app):
        pass

    assert "hunter2" not in str(caught.value)


def test_there_is_no_account_that_nobody_asked_for(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("ADMIN_EMAIL")

    with TestClient(main.app) as client:
        credentials = {"email": ADMIN_EMAIL, "password": PASSWORD}
        answer = client.post("/auth/login", json=credentials)

    assert answer.status_code == 401


def test_who_signed_up_with_the_admin_address_stays_a_user(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("ADMIN_EMAIL")
    with TestClient(main.app) as client:
        register(client, ADMIN_EMAIL)
    environment.setenv("ADMIN_EMAIL", ADMIN_EMAIL)

    with TestClient(main.app) as client:
        answer = client.get("/api/admin/users", headers=log_in(client, ADMIN_EMAIL))

    assert (answer.status_code, code(answer)) == (403, "insufficient_role")


def test_accounts_and_sessions_outlive_a_restart() -> None:
    with TestClient(main.app) as client:
        signed_in = register(client)

    with TestClient(main.app) as client:
        answers = [refresh(client, signed_in), client.get("/health")]

    assert [answer.status_code for answer in answers] == [200, 200]


async def test_workers_may_start_at_once_on_one_database() -> None:
    async def start() -> None:
        async with main.lifespan(FastAPI()):
            pass

    await asyncio.gather(*(start() for _ in range(8)))

    with TestClient(main.app) as client:
        users = client.get("/api/admin/users", headers=log_in(client, ADMIN_EMAIL))
    assert [user["email"] for user in users.json()] == [ADMIN_EMAIL]


def test_owner_creates_lists_shows_updates_and_deletes_a_project(client: TestClient) -> None:
    user = bearer(register(client))

    created = client.post("/api/projects", headers=user, json={"name": "Engine"})
    path = f"/api/projects/{created.json()['id']}"
    renamed = {"name": "Analytical Engine", "description": "Weaves algebra"}
    updated = client.put(path, headers=user, json=renamed)
    shown = client.get(path, headers=user)
    listed = client.get("/api/projects", headers=user)
    deleted = client.delete(path, headers=user)
    gone = client.get(path, headers=user)

    assert created.status_code == 201
    assert (updated.status_code, updated.json()) == (200, {**created.json(), **renamed})
    assert (shown.status_code, shown.json()) == (200, updated.json())
    assert (listed.status_code, listed.json()) == (200, [updated.json()])
    assert deleted.status_code == 204
    assert gone.status_code == 404


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_project_of_another_user_is_not_found(client: TestClient, method: str) -> None:
    owner = bearer(register(client))
    other = bearer(register(client, "eve@example.com"))
    project = client.post("/api/projects", headers=owner, json={"name": "Engine"}).json()
    path = f"/api/projects/{project['id']}"

    answer = client.request(method, path, headers=other, json={"name": "Mine"})

    assert answer.status_code == 404
    assert client.get(path, headers=owner).json() == project


def test_projects_of_others_are_not_listed(client: TestClient) -> None:
    owner = bearer(register(client))
    other = bearer(register(client, "eve@example.com"))
    client.post("/api/projects", headers=owner, json={"name": "Engine"})

    answer = client.get("/api/projects", headers=other)

    assert (answer.status_code, answer.json()) == (200, [])


@pytest.mark.parametrize("project_id", ["0", "2147483648", "9" * 30, "one"])
def test_impossible_project_id_is_422(client: TestClient, project_id: str) -> None:
    user = bearer(register(client))

    answer = client.get(f"/api/projects/{project_id}", headers=user)

    assert answer.status_code == 422


def test_projects_refuse_a_stranger(client: TestClient) -> None:
    answer = client.get("/api/projects")

    assert (answer.status_code, code(answer)) == (401, "not_authenticated")


def test_owner_creates_lists_shows_completes_and_deletes_a_task(client: TestClient) -> None:
    signed_in = register(client)
    user, tasks = bearer(signed_in), f"/api/{signed_in['user_id']}/tasks"

    created = client.post(tasks, headers=user, json={"title": "Write it down"})
    path = f"{tasks}/{created.json()['id']}"
    completed = client.patch(f"{path}/complete", headers=user)
    shown = client.get(path, headers=user)
    listed = client.get(tasks, headers=user)
    deleted = client.delete(path, headers=user)
    gone = client.get(path, headers=user)

    assert (created.status_code, created.json()["completed"]) == (201, False)
    assert completed.status_code == 200
    assert completed.json() == {**created.json(), "completed": True}
    assert (shown.status_code, shown.json()) == (200, completed.json())
    assert (listed.status_code, listed.json()) == (200, [completed.json()])
    assert deleted.status_code == 204
    assert gone.status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("POST", ""),
        ("GET", "/1"),
        ("PATCH", "/1/complete"),
        ("DELETE", "/1"),
    ],
)
def test_another_users_tasks_are_refused(client: TestClient, method: str, path: str) -> None:
    owner = register(client)
    other = bearer(register(client, "eve@example.com"))
    tasks = f"/api/{owner['user_id']}/tasks"
    client.post(tasks, headers=bearer(owner), json={"title": "Write it down"})

    answer = client.request(method, tasks + path, headers=other, json={"title": "Mine"})

    assert (answer.status_code, code(answer)) == (403, "not_owner")


def test_task_of_another_user_is_not_found_under_ones_own_path(client: TestClient) -> None:
    owner, other = register(client), register(client, "eve@example.com")
    task = client.post(
        f"/api/{owner['user_id']}/tasks",
        headers=bearer(owner),
        json={"title": "Write it down"},
    ).json()

    answer = client.get(f"/api/{other['user_id']}/tasks/{task['id']}", headers=bearer(other))

    assert answer.status_code == 404


def test_user_list_is_for_administrators(client: TestClient) -> None:
    user, admin = bearer(register(client)), log_in(client, ADMIN_EMAIL)

    refused = client.get("/api/admin/users", headers=user)
    answer = client.get("/api/admin/users", headers=admin)

    assert (refused.status_code, code(refused)) == (403, "insufficient_role")
    assert answer.status_code == 200
    assert [(user["email"], user["role"], user["is_active"]) for user in answer.json()] == [
        (ADMIN_EMAIL, "admin", True),
        (EMAIL, "user", True),
    ]


def test_disabled_user_is_out_at_once_and_everywhere(client: TestClient) -> None:
    signed_in, admin = register(client), log_in(client, ADMIN_EMAIL)
    account = f"/api/admin/users/{signed_in['user_id']}"

    disabled = client.post(f"{account}/disable", headers=admin)

    login = client.post("/auth/login", json={"email": EMAIL, "password": PASSWORD})
    refreshed = refresh(client, signed_in)
    shown = client.get("/auth/me", headers=bearer(signed_in))
    assert disabled.status_code == 204
    assert (login.status_code, code(login)) == (401, "invalid_credentials")
    assert (refreshed.status_code, code(refreshed)) == (401, "session_revoked")
    assert (shown.status_code, code(shown)) == (401, "token_revoked")


def test_the_audit_trail_names_the_administrator(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="jwt_auth_kit")
    signed_in, admin = register(client), log_in(client, ADMIN_EMAIL)
    admin_id = client.get("/auth/me", headers=admin).json()["user_id"]
    account = f"/api/admin/users/{signed_in['user_id']}"
    caplog.clear()

    client.patch(account, headers=admin, json={"role": "admin"})
    client.post(f"{account}/disable", headers=admin)
    client.post(f"{account}/enable", headers=admin)

    records = [json.loads(record.getMessage()) for record in caplog.records]
    done = [record["event"] for record in records if "actor" in record]
    assert done == ["role_changed", "user_disabled", "user_enabled"]
    assert {(record["actor"], record["ip"]) for record in records} == {(admin_id, "testclient")}


def test_enabled_user_signs_in_again(client: TestClient) -> None:
    signed_in, admin = register(client), log_in(client, ADMIN_EMAIL)
    account = f"/api/admin/users/{signed_in['user_id']}"
    client.post(f"{account}/disable", headers=admin)

    enabled = client.post(f"{account}/enable", headers=admin)

    assert enabled.status_code == 204
    assert client.get("/auth/me", headers=log_in(client, EMAIL)).status_code == 200


def test_new_role_comes_with_the_next_access_token(client: TestClient) -> None:
    signed_in, admin = register(client), log_in(client, ADMIN_EMAIL)
    account = f"/api/admin/users/{signed_in['user_id']}"

    changed = client.patch(account, headers=admin, json={"role": "admin"})

    old = client.get("/api/admin/users", headers=bearer(signed_in))
    new = client.get("/api/admin/users", headers=bearer(refresh(client, signed_in).json()))
    assert changed.status_code == 204
    assert (old.status_code, code(old)) == (401, "token_revoked")
    assert new.status_code == 200


@pytest.mark.parametrize(
    ("method", "path"), [("PATCH", ""), ("POST", "/disable"), ("POST", "/enable")]
)
def test_administrator_is_told_that_a_user_is_unknown(
    client: TestClient, method: str, path: str
) -> None:
    admin = log_in(client, ADMIN_EMAIL)

    answer = client.request(
        method, f"/api/admin/users/nobody{path}", headers=admin, json={"role": "user"}
    )

    assert answer.status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [
        ("get", "/api/projects", {"200", "401", "503"}),
        ("put", "/api/projects/{project_id}", {"200", "400", "401", "404", "422", "503"}),
        ("get", "/api/{user_id}/tasks", {"200", "401", "403", "422", "503"}),
        ("get", "/api/{user_id}/tasks/{task_id}", {"200", "401", "403", "404", "422", "503"}),
        ("patch", "/api/admin/users/{user_id}", {"204", "400", "401", "403", "404", "422", "503"}),
        ("get", "/health", {"200"}),
    ],
)
def test_routes_document_what_they_answer(
    client: TestClient, method: str, path: str, statuses: set[str]
) -> None:
    document = client.get("/openapi.json").json()

    assert document["paths"][path][method]["responses"].keys() == statuses
