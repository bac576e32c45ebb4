"""Sign up, in, on and out for FastAPI."""

from .current_user import CurrentUser
from .dependencies import (
    AdminDep,
    ClientDep,
    SessionDep,
    UserDep,
    get_auth,
    get_client,
    get_current_user,
    get_optional_user,
    require_admin,
    require_owner,
    require_recent_login,
    require_role,
    require_session,
    require_user,
)
from .errors import (
    AuthError,
    BodyTooLarge,
    Busy,
    ConfigurationError,
    CrossSiteRequest,
    EmailTaken,
    ExpiredToken,
    Forbidden,
    InsufficientRole,
    InsufficientScope,
    InvalidCredentials,
    InvalidToken,
    KeysUnavailable,
    NotAuthenticated,
    NotJSON,
    NotOwner,
    RecentLoginRequired,
    RefreshReused,
    RevokedToken,
    ServiceUnavailable,
    SessionExpired,
    SessionNotFound,
    SessionRevoked,
    StoreUnavailable,
    TooManyAttempts,
    Unauthorized,
    WrongTokenType,
    error_responses,
)
from .events import AuthEvent, Client, EventHook, log_event
from .installation import install
from .jwks import create_jwks_router
from .key_ring import KeyRing, KeySource, RingKey
from .key_sources import KeyDirectory, KeyFile, KeySet
from .keys import Key
from .kit import AuthKit
from .password_policy import PasswordPolicy, WeakPassword
from .passwords import Argon2Hasher, PasslibHasher, PasswordHasher
from .protection import deny_by_default, public
from .router import auth_router, create_auth_router
from .session_manager import SignedIn
from .sessions import Session
from .settings import AuthSettings
from .stores.base import NewUser, TokenStore, User, UserStore
from .stores.memory import MemoryTokenStore, MemoryUserStore
from .throttle import LoginThrottle
from .tokens import Claims, JWTManager, TokenPair
from .transports import BearerTransport, CookieTransport, Transport
from .verifier import TokenFormat, TokenVerifier
from .websockets import accept_while_signed_in

__all__ = [
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
    "Forbidden",
    "InsufficientRole",
    "InsufficientScope",
    "InvalidCredentials",
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
    "require_session",
    "require_user",
]
