"""Settings from the environment: JWT_SECRET_KEY, JWT_ACCESS_TTL and the rest."""

import os
from collections.abc import Sequence
from datetime import timedelta
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    GetCoreSchemaHandler,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, DotEnvSettingsSource, NoDecode, SettingsConfigDict

from .errors import ConfigurationError
from .trusted_values import only_instances

MAPPED_IPV4 = IPv6Network("::ffff:0:0/96")

WhenStale = Literal["check", "reject", "allow"]

PREFIX = "JWT_"
UNLIMITED = "unlimited"
DURATION_SYNTAX = "write seconds (900) or an ISO 8601 duration (PT15M)"
BOOLEAN_SYNTAX = "write true or false"
NETWORK_SYNTAX = "write addresses or networks, separated by commas (10.0.0.1, 10.1.0.0/16)"


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


def _limit(value: Any) -> int | None:
    """Read a number, or "unlimited"."""
    if value is None or value == UNLIMITED:
        return None
    try:
        number = int(value)
    except (ValueError, TypeError, OverflowError):
        number = 0
    if number < 1:
        raise PydanticCustomError("limit", "write a number, at least 1, or unlimited")
    return number


def _between(lowest: timedelta, highest: timedelta) -> AfterValidator:
    def check(value: timedelta) -> timedelta:
        if not lowest <= value <= highest:
            limits = {"lowest": str(lowest), "highest": str(highest)}
            raise PydanticCustomError("range", "must be from {lowest} to {highest}", limits)
        return value

    return AfterValidator(check)


def _unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """Return "::ffff:10.0.0.0/104" as 10.0.0.0/8; peers are compared as IPv4 too."""
    if isinstance(network, IPv6Network) and network.subnet_of(MAPPED_IPV4):
        packed = network.network_address.packed[-4:]
        return IPv4Network((packed, network.prefixlen - MAPPED_IPV4.prefixlen))
    return network


def _contain_everything(networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Tell whether *networks* leave out no IPv4 or no IPv6 address, in one piece or in several."""
    ipv4 = collapse_addresses(each for each in networks if isinstance(each, IPv4Network))
    ipv6 = collapse_addresses(each for each in networks if isinstance(each, IPv6Network))
    return any(each.prefixlen == 0 for each in ipv4) or any(each.prefixlen == 0 for each in ipv6)


Network = IPv4Network | IPv6Network
Span = Annotated[timedelta, BeforeValidator(_seconds)]
Life = Annotated[Span, _between(timedelta(seconds=1), timedelta(days=3650))]
Pause = Annotated[Span, _between(timedelta(0), timedelta(minutes=5))]


class AuthSettings(BaseSettings):
    """What the ``JWT_*`` variables choose; read from the environment and ``.env`` when made.

    Spans are given in seconds (``JWT_ACCESS_TTL=900``) or ISO 8601 (``PT15M``).

    Raises:
        ConfigurationError: a value is impossible; the message names the variable.
    """

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_file_encoding="utf-8-sig",  # some editors begin a file with a byte order mark
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

    access_ttl: Annotated[Span, _between(timedelta(seconds=1), timedelta(hours=12))] = timedelta(
        minutes=15
    )
    """Life of an access token, never past the end of its session."""

    refresh_ttl: Life = timedelta(days=7)
    """A session ends after this long without a refresh."""

    session_ttl: Life = timedelta(days=30)
    """A session ends this long after the login, however often it is refreshed."""

    reuse_window: Pause = timedelta(seconds=30)
    """How long a refresh token that was just replaced gets the same successor again."""

    max_sessions: Annotated[int | None, BeforeValidator(_limit)] = 100
    """Sessions a user may have at once; a login beyond it ends the oldest. None, in the
    environment ``unlimited``, sets no limit."""

    revocation_interval: Pause = timedelta(seconds=4)
    """How long a revocation in one process may stay unknown in another."""

    when_stale: WhenStale = "check"
    """What happens to access tokens while revocations cannot be read from the store:
    ``check`` asks the store about each, ``reject`` answers 503, ``allow`` lets them pass."""

    confirm_in_request: bool = False
    """Whether the first request with a new access token waits for the write which notes that
    its client has it, as is needed where a process is stopped between two requests."""

    issuer: str | None = None
    """``iss`` of our tokens; when set, tokens of another issuer are refused."""

    audience: str | None = None
    """``aud`` of our tokens; when set, tokens for others are refused."""

    leeway: Pause = timedelta(0)
    """Extra time granted to ``exp``, for clocks that differ between machines."""

    trusted_proxies: Annotated[
        tuple[Annotated[Network, AfterValidator(_unmapped)], ...],
        NoDecode,
        BeforeValidator(_split),
    ] = ()
    """Addresses or networks of the proxies in front of the application, separated by commas;
    only from them X-Forwarded-For is believed."""

    def __init__(self, **values: Any) -> None:
        unknown = {name for name in values if not name.startswith("_")} - type(
            self
        ).model_fields.keys()
        if unknown:
            raise ConfigurationError(f"AuthSettings has no {', '.join(sorted(unknown))}.")
        for file in _env_files(values.get("_env_file", self.model_config["env_file"])):
            _check_encoding(file)
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigurationError(_explain(error)) from None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        # The class is filled from the environment. A field of this type is not: a route would
        # take it from the request.
        is_built = cls.__pydantic_complete__ and "__pydantic_core_schema__" in cls.__dict__
        return only_instances(cls, schema) if is_built else schema

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
        if _contain_everything(self.trusted_proxies):
            raise ConfigurationError(
                "JWT_TRUSTED_PROXIES contains every address there is, so clients could choose "
                "theirs; name the proxies."
            )
        return self


def unknown_variables() -> dict[str, str | None]:
    """Return each ``JWT_*`` variable that is no setting, with the setting it may be meant for.

    The environment and ``.env`` are searched; a name may belong to the application itself.
    """
    known = [name.upper() for name in AuthSettings.model_fields]
    found = (name.upper() for name in {*os.environ, *DotEnvSettingsSource(AuthSettings).env_vars})
    unknown = {name.removeprefix(PREFIX) for name in found if name.startswith(PREFIX)} - {*known}
    nearest = {name: get_close_matches(name, known, n=1, cutoff=0.75) for name in sorted(unknown)}
    return {PREFIX + name: PREFIX + near[0] if near else None for name, near in nearest.items()}


def _env_files(files: Any) -> list[Path]:
    """Return the files that pydantic-settings is going to read."""
    several = files if isinstance(files, list | tuple) else [files]
    paths = [Path(file).expanduser() for file in several if file]
    return [path for path in paths if path.is_file()]


def _check_encoding(file: Path) -> None:
    """Refuse a file that would be misread; some editors on Windows write UTF-16 or cp1252."""
    try:
        content = file.read_bytes()
        is_text = "\x00" not in content.decode()
    except UnicodeDecodeError:
        is_text = False
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}.") from None
    if not is_text:
        raise ConfigurationError(f"{file} is not encoded as UTF-8. Save it as UTF-8.")


def _explain(error: ValidationError) -> str:
    details = error.errors(include_input=False, include_url=False)
    # A union reports a problem for each of its members; one sentence about a variable is enough.
    return "; ".join(
        {_variable(each): f"{_variable(each)}: {_cure(each)}" for each in details}.values()
    )


def _variable(problem: ErrorDetails) -> str:
    return f"{PREFIX}{'_'.join(map(str, problem['loc'][:1])).upper()}"


def _cure(problem: ErrorDetails) -> str:
    kind = problem["type"]
    if kind.startswith("time_delta"):
        return DURATION_SYNTAX
    if kind.startswith("ip_v"):
        return NETWORK_SYNTAX
    if kind.startswith("bool"):
        return BOOLEAN_SYNTAX
    return problem["msg"]
