"""The layer picture: imports go down only, and a foreign package has one place where it enters."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import jwt_auth_kit

ROOT = Path(jwt_auth_kit.__file__).parent

LAYERS = [
    {"emails", "errors", "event_loops", "networks", "redis_failures"},
    {"encoding", "throttle", "trusted_values"},
    {"events", "passwords", "sessions", "settings"},
    {"current_user", "keys", "stores"},
    {"tokens"},
    {"kit"},
    {"web"},
    {"cli", "testing", "__init__"},
    {"__main__"},
]
"""From the bottom up: folders, and the modules beside them. Each imports from the rows below its
own, and from no other; within a folder no two modules import each other."""

HTTP = {"errors", "web", "cli.password_checks", "cli.doctor", "testing.routes", "testing.users"}
"""What knows that there is a web."""

WRAPPERS = {
    "fastapi": HTTP,
    "starlette": HTTP,
    "jwt": {"keys.key"},
    "cryptography": {"keys.key"},
    "argon2": {"passwords.hashers"},
    "passlib": {"passwords.old_hashes"},
    "limits": {"throttle.limits", "throttle.redis", "throttle.open_logs"},
    "httpx": {"keys.remote"},
    "email_validator": {"emails"},
    "sqlalchemy": {"stores.engines", "stores.ids", "stores.rows", "stores.sqlalchemy"},
    "redis": {"stores.redis"},
    "pytest": {"testing"}
    | {f"testing.{name}" for name in ("failure_stores", "token_stores", "user_stores")},
}
"""Foreign packages, each with the modules and folders that may import it."""


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


SOURCES = {module_name(path): ast.parse(path.read_text()) for path in sorted(ROOT.rglob("*.py"))}
PACKAGES = {module_name(path.parent / "__init__.py") for path in ROOT.rglob("*/__init__.py")}


def own_imports(name: str) -> Iterator[str]:
    """The modules of the library that *name* imports, lazy imports included."""
    parts = name.split(".")
    package = ["jwt_auth_kit", *(parts if name in PACKAGES else parts[:-1])]
    for node in ast.walk(SOURCES[name]):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            target = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            names = [target, *(f"{target}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for full_name in names:
            module = full_name.removeprefix("jwt_auth_kit.")
            if module in SOURCES or full_name == "jwt_auth_kit":
                yield "__init__" if full_name == "jwt_auth_kit" else module


def foreign_imports(name: str) -> Iterator[str]:
    """The top-level packages that *name* imports from elsewhere."""
    for node in ast.walk(SOURCES[name]):
        if isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").split(".")[0]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)


def folder_of(name: str) -> str:
    """The folder of a module, or the module itself where it stands beside them."""
    return name.split(".", maxsplit=1)[0]


def layer_of(name: str) -> int:
    return next(number for number, row in enumerate(LAYERS) if folder_of(name) in row)


def test_the_test_sees_the_imports() -> None:
    assert {"errors", "keys.key", "sessions"} <= set(own_imports("tokens.manager"))
    assert {"errors", "sessions", "stores.base"} <= set(own_imports("stores.sqlalchemy"))
    assert "passlib" in set(foreign_imports("passwords.old_hashes"))
    assert {"web.router", "kit", "tokens"} <= set(own_imports("__init__"))
    assert {"testing.token_stores", "testing.user_stores"} <= set(own_imports("testing"))


def test_every_module_has_its_place_in_the_picture() -> None:
    assert {folder_of(name) for name in SOURCES} == set().union(*LAYERS)


@pytest.mark.parametrize("name", SOURCES)
def test_imports_go_down_only(name: str) -> None:
    others = [other for other in own_imports(name) if folder_of(other) != folder_of(name)]

    assert [other for other in others if layer_of(other) >= layer_of(name)] == []


def test_no_two_modules_import_each_other() -> None:
    graph = {name: {other for other in own_imports(name) if other != name} for name in SOURCES}

    assert len(list(TopologicalSorter(graph).static_order())) == len(SOURCES)  # or a CycleError


@pytest.mark.parametrize("package", WRAPPERS)
def test_a_foreign_package_is_imported_only_where_it_is_wrapped(package: str) -> None:
    users = {name for name in SOURCES if package in foreign_imports(name)}
    allowed = WRAPPERS[package]

    assert {name for name in users if not {name, folder_of(name)} & allowed} == set()


@pytest.mark.parametrize("name", ["web.router", "web.dependencies"])
def test_annotations_that_fastapi_reads_are_real_ones(name: str) -> None:
    # Under postponed annotations a body model local to a factory becomes a query parameter.
    assert "__future__" not in set(foreign_imports(name))


def test_no_module_is_called_utils() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "misc", "base_classes"}

    assert not {part for name in SOURCES for part in name.split(".")} & vague


@pytest.mark.parametrize(
    "package", ["sqlalchemy", "redis", "passlib", "httpx", "aiosqlite", "pytest"]
)
def test_the_library_alone_loads_no_optional_package(package: str) -> None:
    program = f"import sys, jwt_auth_kit; sys.exit({package!r} in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
