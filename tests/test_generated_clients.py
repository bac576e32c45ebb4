"""Clients are generated from ``app.openapi()`` and sign in; Redocly's linter finds no error."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from apps import PASSWORD, make_app, make_kit
from examples.fullstack.main import app as fullstack
from jwt_auth_kit import (
    BearerTransport,
    CookieTransport,
    auth_router,
    create_auth_router,
    create_jwks_router,
    deny_by_default,
    install,
    public,
)
from live import ROOT, live_server
from test_docs import read_blocks

GENERATORS = ROOT / "tests/generators"
GUIDE = ROOT / "docs/guides/generate-clients.md"
TOOLS = GENERATORS / "node_modules/.bin"
QUIET = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}

SIGNED_IN_AND_OUT = {
    "statuses": [201, 200, 200, 200, 200, 204, 401],
    "email": "ada@example.com",
    "code": "token_revoked",
}


@pytest.fixture
def server() -> Iterator[str]:
    with live_server() as url:
        yield url


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **QUIET, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run_tool(name: str, *arguments: str | Path, cwd: Path) -> str:
    assert TOOLS.exists(), "Install the generators: scripts/npm-ci tests/generators"
    return run(ROOT / "scripts/node", "node", TOOLS / name, *arguments, cwd=cwd)


def run_typescript(name: str, *arguments: str, cwd: Path) -> str:
    """Compile a script, which checks its types, and run it."""
    options = ["--strict", "--target", "es2022", "--module", "commonjs"]
    run_tool("tsc", *options, "--moduleResolution", "bundler", f"{name}.ts", cwd=cwd)
    return run(ROOT / "scripts/node", "node", f"{name}.js", *arguments, cwd=cwd)


def save(app: FastAPI, folder: Path) -> Path:
    path = folder / "openapi.json"
    path.write_text(json.dumps(app.openapi()))
    return path


def test_a_client_of_openapi_ts_signs_in_refreshes_and_signs_out(
    server: str, tmp_path: Path
) -> None:
    document = save(fullstack, tmp_path)
    run_tool("openapi-ts", "-i", document, "-o", tmp_path / "generated", cwd=tmp_path)
    shutil.copy(GENERATORS / "flow.ts", tmp_path)

    printed = run_typescript("flow", server, "ada@example.com", PASSWORD, cwd=tmp_path)

    assert json.loads(printed) == SIGNED_IN_AND_OUT


def test_the_typescript_of_the_guide_signs_in_and_out(server: str, tmp_path: Path) -> None:
    save(fullstack, tmp_path)
    blocks = {block.kind: block.text for block in read_blocks(GUIDE)}
    (tmp_path / "node_modules").symlink_to(GENERATORS / "node_modules")
    (tmp_path / "sign-in.ts").write_text(blocks["ts"].replace("http://localhost:8000", server))
    ada = {"email": "ada@example.com", "password": "correct horse battery staple"}
    registered = httpx.post(f"{server}/auth/register", json=ada)
    commands = [line for line in blocks["sh"].splitlines() if not line.startswith("npm install")]

    run(ROOT / "scripts/node", "bash", "-euc", "\n".join(commands), cwd=tmp_path)
    printed = run_typescript("sign-in", cwd=tmp_path)

    assert registered.status_code == 201
    assert printed == "ada@example.com\n204\n"


def test_a_client_of_openapi_python_client_signs_in_refreshes_and_signs_out(
    server: str, tmp_path: Path
) -> None:
    document = save(fullstack, tmp_path)
    bin_folder = str(Path(sys.executable).parent)  # it formats with ruff
    run(
        *(sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"),
        *("--path", str(document), "--output-path", str(tmp_path / "generated")),
        cwd=tmp_path,
        PATH=f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
    )

    printed = run(
        *(sys.executable, "-W", "error", str(GENERATORS / "flow.py")),
        *(server, "ada@example.com", PASSWORD),
        cwd=tmp_path,
        PYTHONPATH=str(tmp_path),
    )

    assert json.loads(printed) == SIGNED_IN_AND_OUT


def in_a_script() -> FastAPI:
    app = FastAPI()
    app.include_router(auth_router)
    app.include_router(create_jwks_router())

    @app.get("/health")
    async def health() -> str:
        return "well"

    return app


def twice() -> FastAPI:
    app, version = FastAPI(), APIRouter(prefix="/v2")
    bearer = BearerTransport()
    version.include_router(create_auth_router(transport=bearer))
    app.include_router(auth_router)
    app.include_router(version, prefix="/api")
    install(app, make_kit(), transports=[CookieTransport(), bearer])
    return app


def denied_by_default() -> FastAPI:
    app = FastAPI()
    deny_by_default(app)
    app.include_router(auth_router)
    install(app, make_kit(), transports=[CookieTransport()])

    @app.get("/health")
    @public
    async def health() -> str:
        return "well"

    return app


def full_stack() -> FastAPI:
    return fullstack


@pytest.mark.parametrize("make", [in_a_script, twice, denied_by_default, make_app, full_stack])
def test_redocly_finds_no_error_by_its_recommended_rules(
    make: Callable[[], FastAPI], tmp_path: Path
) -> None:
    document = save(make(), tmp_path)

    printed = run_tool(
        *("redocly", "lint", document, "--extends", "recommended", "--format", "json"),
        cwd=tmp_path,
    )

    findings: dict[str, Any] = json.loads(printed)
    errors = [found["ruleId"] for found in findings["problems"] if found["severity"] == "error"]
    assert (errors, findings["totals"]["errors"]) == ([], 0)
