"""The public names: frozen here, so that none comes or goes by accident."""

import ast
import importlib
from pathlib import Path

import pytest

import jwt_auth_kit

PUBLIC_NAMES = [
    "AdminDep",
    "Argon2Hasher",
    "AuthError",
    "AuthEvent",
    "AuthKit",
    "AuthSettings",
    "BearerTransport",
    "BodyTooLarge",
    "Busy",
    "Claims",
    "Client",
    "ClientDep",
    "ConfigurationError",
    "CookieTransport",
    "CrossSiteRequest",
    "CurrentUser",
    "EmailTaken",
    "EventHook",
    "ExpiredToken",
    "FailureStore",
    "Forbidden",
    "HashReader",
    "InsufficientRole",
    "InsufficientScope",
    "InvalidCredentials",
    "InvalidEmail",
    "InvalidToken",
    "JWTManager",
    "Key",
    "KeyDirectory",
    "KeyFile",
    "KeyRing",
    "KeySet",
    "KeySource",
    "KeysUnavailable",
    "LoginThrottle",
    "MemoryTokenStore",
    "MemoryUserStore",
    "NewUser",
    "NotAuthenticated",
    "NotJSON",
    "NotOwner",
    "PasslibHasher",
    "PasswordHasher",
    "PasswordPolicy",
    "RecentLoginRequired",
    "RefreshReused",
    "RevokedToken",
    "RingKey",
    "ServiceUnavailable",
    "Session",
    "SessionDep",
    "SessionExpired",
    "SessionNotFound",
    "SessionRevoked",
    "SignedIn",
    "StoreUnavailable",
    "TokenFormat",
    "TokenPair",
    "TokenStore",
    "TokenVerifier",
    "TooManyAttempts",
    "Transport",
    "Unauthorized",
    "User",
    "UserDep",
    "UserNotFound",
    "UserStore",
    "WeakPassword",
    "WrongTokenType",
    "accept_while_signed_in",
    "auth_router",
    "create_auth_router",
    "create_jwks_router",
    "deny_by_default",
    "error_responses",
    "get_auth",
    "get_client",
    "get_current_user",
    "get_optional_user",
    "install",
    "log_event",
    "public",
    "require_admin",
    "require_owner",
    "require_recent_login",
    "require_role",
    "require_scopes",
    "require_session",
    "require_user",
]

ROOT = Path(jwt_auth_kit.__file__).parent


def test_the_public_names_are_these() -> None:
    assert jwt_auth_kit.__all__ == PUBLIC_NAMES


def test_the_public_names_are_sorted_and_named_once() -> None:
    assert jwt_auth_kit.__all__ == sorted(set(jwt_auth_kit.__all__))


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_a_public_name_can_be_imported(name: str) -> None:
    assert getattr(jwt_auth_kit, name) is not None


def test_nothing_else_is_public() -> None:
    modules = {path.stem for path in ROOT.iterdir()}

    visible = {name for name in vars(jwt_auth_kit) if not name.startswith("_")}

    assert visible - modules == set(PUBLIC_NAMES)


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_a_public_name_says_what_it_is_in_one_line(name: str) -> None:
    docstring = docstrings()[name]

    first_line = docstring.splitlines()[0]
    assert first_line.endswith((".", ":"))
    assert len(first_line) > 15


@pytest.mark.parametrize(
    "module", ["stores.sqlalchemy", "stores.memory", "stores.base", "passwords", "sessions"]
)
def test_modules_people_import_from_say_what_they_are_for(module: str) -> None:
    assert importlib.import_module(f"jwt_auth_kit.{module}").__doc__


@pytest.mark.parametrize("class_name", [name for name in PUBLIC_NAMES if name[0].isupper()])
def test_public_methods_say_what_they_do(class_name: str) -> None:
    value = getattr(jwt_auth_kit, class_name)
    own = vars(value) if isinstance(value, type) else {}

    silent = [
        name
        for name, member in own.items()
        if not name.startswith("_") and callable(member) and not member.__doc__
    ]

    assert silent in ([], ["response_headers"])  # its base says it


def docstrings() -> dict[str, str]:
    """Every documented top-level name; an assigned one is documented by the text below it."""
    found: dict[str, str] = {}
    for path in ROOT.rglob("*.py"):
        body = ast.parse(path.read_text()).body
        for node, following in zip(body, [*body[1:], None], strict=True):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found.setdefault(node.name, ast.get_docstring(node) or "")
            elif (
                (name := assigned_name(node))
                and isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
            ):
                found.setdefault(name, str(following.value.value))
    return found


def assigned_name(node: ast.stmt) -> str | None:
    match node:
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
    return None
