"""Settings from the environment: JWT_SECRET_KEY, JWT_ACCESS_TTL and the rest."""

from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from annotated_types import Ge, Le
from pydantic import BeforeValidator, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from .errors import ConfigurationError

WhenStale = Literal["check", "reject", "allow"]


def _seconds(value: Any) -> Any:
    """Let the environment say plain seconds ("900") beside ISO 8601 ("PT15M")."""
    if not isinstance(value, str):
        return value
    try:
        return timedelta(seconds=float(value))
    except (ValueError, OverflowError):
        return value


def _split(value: Any) -> Any:
    """Let the environment say "10.0.0.1, 10.1.0.0/16"."""
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]


Network = IPv4Network | IPv6Network
Span = Annotated[timedelta, BeforeValidator(_seconds)]
Life = Annotated[Span, Ge(timedelta(seconds=1)), Le(timedelta(days=3650))]


class AuthSettings(BaseSettings):
    """What the ``JWT_*`` variables choose; read from the environment and ``.env`` when made.

    Spans are given in seconds (``JWT_ACCESS_TTL=900``) or ISO 8601 (``PT15M``).

    Raises:
        ConfigurationError: a value is impossible; the message names the variable.
    """

    model_config = SettingsConfigDict(
        env_prefix="JWT_",
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",  # a shared .env holds other services' keys
        frozen=True,
        hide_input_in_errors=True,
    )

    secret_key: SecretStr | None = None
    """Base64 of at least 32 random bytes; signs every token."""

    keys: SecretStr | None = None
    """A JWK Set as JSON, in the place of the secret: its first private key signs."""

    keys_file: Path | None = None
    """A file that holds a JWK Set, in the place of the secret; read again when it changes."""

    keys_dir: Path | None = None
    """A directory of PEM and JWK files, in the place of the secret; read again when one changes."""

    jwks_url: str | None = None
    """Where another service publishes the keys of its tokens, for an application that only
    verifies them."""

    access_ttl: Annotated[Life, Le(timedelta(hours=12))] = timedelta(minutes=15)
    """Life of an access token, never past the end of its session."""

    refresh_ttl: Life = timedelta(days=7)
    """A session ends after this long without a refresh."""

    session_ttl: Life = timedelta(days=30)
    """A session ends this long after the login, however often it is refreshed."""

    reuse_window: Annotated[Span, Ge(timedelta(0)), Le(timedelta(minutes=5))] = timedelta(
        seconds=30
    )
    """How long a refresh token that was just replaced gets the same successor again."""

    max_sessions: Annotated[int, Ge(1)] | None = None
    """Sessions a user may have at once; a login beyond it ends the oldest."""

    revocation_interval: Annotated[Span, Ge(timedelta(0)), Le(timedelta(minutes=5))] = timedelta(
        seconds=4
    )
    """How long a revocation in one process may stay unknown in another."""

    when_stale: WhenStale = "check"
    """What happens to access tokens while revocations cannot be read from the store:
    ``check`` asks the store about each, ``reject`` answers 503, ``allow`` lets them pass."""

    issuer: str | None = None
    """``iss`` of our tokens; when set, tokens of another issuer are refused."""

    audience: str | None = None
    """``aud`` of our tokens; when set, tokens for others are refused."""

    leeway: Annotated[Span, Ge(timedelta(0)), Le(timedelta(minutes=5))] = timedelta(0)
    """Extra time granted to ``exp``, for clocks that differ between machines."""

    trusted_proxies: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_split)] = ()
    """Addresses or networks of the proxies in front of the application, separated by commas;
    only from them X-Forwarded-For is believed."""

    def __init__(self, **values: Any) -> None:
        unknown = {name for name in values if not name.startswith("_")} - type(
            self
        ).model_fields.keys()
        if unknown:
            raise ConfigurationError(f"AuthSettings has no {', '.join(sorted(unknown))}.")
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigurationError(_explain(error)) from None

    @model_validator(mode="after")
    def _lives_fit_into_each_other(self) -> Self:
        if not self.access_ttl <= self.refresh_ttl <= self.session_ttl:
            raise ConfigurationError(
                "JWT_ACCESS_TTL <= JWT_REFRESH_TTL <= JWT_SESSION_TTL must hold, "
                f"but they are {self.access_ttl}, {self.refresh_ttl} and {self.session_ttl}."
            )
        return self

    @model_validator(mode="after")
    def _nobody_else_is_a_proxy(self) -> Self:
        if any(network.prefixlen == 0 for network in self.trusted_proxies):
            raise ConfigurationError(
                "JWT_TRUSTED_PROXIES holds every address there is, so clients could choose "
                "theirs; name the proxies."
            )
        return self


def _explain(error: ValidationError) -> str:
    problems = [
        f"JWT_{'_'.join(map(str, problem['loc'][:1])).upper()}: {problem['msg']}"
        for problem in error.errors(include_input=False, include_url=False, include_context=False)
    ]
    return "; ".join(problems)
