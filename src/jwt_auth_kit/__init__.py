"""Sign up, in, on and out for FastAPI."""

from .dependencies import (
    AdminDep,
    UserDep,
    get_auth,
    get_current_user,
    get_optional_user,
    install,
    require_admin,
    require_owner,
    require_role,
    require_user,
)
from .errors import (
    AuthError,
    Busy,
    ConfigurationError,
    EmailTaken,
    ExpiredToken,
    Forbidden,
    InsufficientRole,
    InvalidCredentials,
    InvalidToken,
    NotAuthenticated,
    NotOwner,
    RefreshReused,
    RevokedToken,
    ServiceUnavailable,
    SessionExpired,
    SessionRevoked,
    StoreUnavailable,
    Unauthorized,
    WrongTokenType,
    error_responses,
)
from .events import AuthEvent, Client, EventHook, log_event
from .keys import Key, KeyRing
from .kit import AuthKit, CurrentUser
from .passwords import Argon2Hasher, PasslibHasher, PasswordHasher
from .router import auth_router, create_auth_router
from .session_manager import SignedIn
from .sessions import Session
from .settings import AuthSettings
from .stores.base import NewUser, TokenStore, User, UserStore
from .stores.memory import MemoryTokenStore, MemoryUserStore
from .tokens import Claims, JWTManager, TokenPair
from .transports import BearerTransport, Transport

__all__ = [
    "AdminDep",
    "Argon2Hasher",
    "AuthError",
    "AuthEvent",
    "AuthKit",
    "AuthSettings",
    "BearerTransport",
    "Busy",
    "Claims",
    "Client",
    "ConfigurationError",
    "CurrentUser",
    "EmailTaken",
    "EventHook",
    "ExpiredToken",
    "Forbidden",
    "InsufficientRole",
    "InvalidCredentials",
    "InvalidToken",
    "JWTManager",
    "Key",
    "KeyRing",
    "MemoryTokenStore",
    "MemoryUserStore",
    "NewUser",
    "NotAuthenticated",
    "NotOwner",
    "PasslibHasher",
    "PasswordHasher",
    "RefreshReused",
    "RevokedToken",
    "ServiceUnavailable",
    "Session",
    "SessionExpired",
    "SessionRevoked",
    "SignedIn",
    "StoreUnavailable",
    "TokenPair",
    "TokenStore",
    "Transport",
    "Unauthorized",
    "User",
    "UserDep",
    "UserStore",
    "WrongTokenType",
    "auth_router",
    "create_auth_router",
    "error_responses",
    "get_auth",
    "get_current_user",
    "get_optional_user",
    "install",
    "log_event",
    "require_admin",
    "require_owner",
    "require_role",
    "require_user",
]
