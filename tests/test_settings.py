"""AuthSettings: where each setting comes from, what it changes, and which values are refused."""

import base64
import hashlib
import subprocess
import sys
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from jwt_auth_kit import (
    AuthKit,
    AuthSettings,
    ConfigurationError,
    ExpiredToken,
    InvalidToken,
    JWTManager,
    KeyRing,
    MemoryTokenStore,
    MemoryUserStore,
    RefreshReused,
    RevokedToken,
    SessionExpired,
    SessionRevoked,
    SignedIn,
    StoreUnavailable,
)
from jwt_auth_kit.passwords.hashers import Argon2Hasher
from jwt_auth_kit.settings import unknown_variables
from jwt_auth_kit.stores.base import Revocations

START = datetime(2030, 1, 1, 12, tzinfo=UTC)
SECRET = base64.b64encode(hashlib.sha256(b"ours").digest()).decode()


class Clock:
    """Tells a moment that tests move."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def move(self, **span: float) -> None:
        self.now += timedelta(**span)


def kit_with(
    clock: Clock | None = None, tokens: MemoryTokenStore | None = None, **values: Any
) -> AuthKit:
    return AuthKit(
        settings=AuthSettings(**{"secret_key": SECRET, **values}),
        users=MemoryUserStore(),
        tokens=tokens or MemoryTokenStore(),
        hasher=Argon2Hasher.weak_for_tests(),
        clock=clock or Clock(),
    )


async def register(kit: AuthKit) -> SignedIn:
    return await kit.register("ann@example.com", "a good password")


class TestWhatEachSettingChanges:
    async def test_secret_key_signs(self) -> None:
        kit = kit_with()

        token = (await register(kit)).tokens.access_token

        reader = JWTManager(KeyRing.from_secret(SECRET), clock=lambda: START)
        assert reader.verify_access_token(token)["email"] == "ann@example.com"

    async def test_without_a_secret_key_there_is_no_kit(self) -> None:
        with pytest.raises(ConfigurationError, match="python -m jwt_auth_kit secret"):
            kit_with(secret_key=None)

    async def test_access_ttl_ends_an_access_token(self) -> None:
        clock = Clock()
        kit = kit_with(clock, access_ttl=timedelta(seconds=60))

        tokens = (await register(kit)).tokens

        assert tokens.expires_in == 60
        clock.move(seconds=59)
        assert (await kit.authenticate(tokens.access_token)).email == "ann@example.com"
        clock.move(seconds=1)
        with pytest.raises(ExpiredToken):
            await kit.authenticate(tokens.access_token)
        await kit.aclose()

    async def test_refresh_ttl_ends_a_session_nobody_uses(self) -> None:
        clock = Clock()
        kit = kit_with(clock, refresh_ttl=timedelta(hours=1))
        first = (await register(kit)).tokens.refresh_token

        clock.move(minutes=59)
        second = (await kit.refresh(first)).tokens.refresh_token
        clock.move(minutes=59)
        third = (await kit.refresh(second)).tokens.refresh_token
        clock.move(minutes=60)

        with pytest.raises((ExpiredToken, SessionExpired)):
            await kit.refresh(third)

    async def test_session_ttl_ends_a_session_however_often_it_is_used(self) -> None:
        clock = Clock()
        kit = kit_with(clock, session_ttl=timedelta(hours=2), refresh_ttl=timedelta(hours=1))
        token = (await register(kit)).tokens.refresh_token

        for _ in range(3):
            clock.move(minutes=35)
            token = (await kit.refresh(token)).tokens.refresh_token
        clock.move(minutes=15)

        with pytest.raises((ExpiredToken, SessionExpired)):
            await kit.refresh(token)

    async def test_session_ttl_bounds_the_last_access_token(self) -> None:
        clock = Clock()
        kit = kit_with(clock, session_ttl=timedelta(hours=1), refresh_ttl=timedelta(hours=1))
        token = (await register(kit)).tokens.refresh_token

        clock.move(minutes=50)
        tokens = (await kit.refresh(token)).tokens

        assert tokens.expires_in == 600
        clock.move(minutes=10)
        with pytest.raises(ExpiredToken):
            await kit.authenticate(tokens.access_token)

    async def test_a_session_past_its_end_says_that_it_expired(self) -> None:
        clock = Clock()
        kit = kit_with(clock, refresh_ttl=timedelta(hours=1))
        token = (await register(kit)).tokens.refresh_token

        clock.move(hours=1)

        with pytest.raises(SessionExpired):
            await kit.refresh(token)

    @pytest.mark.parametrize("seconds", [5, 60])
    async def test_reuse_window_repeats_the_same_successor(self, seconds: int) -> None:
        clock = Clock()
        kit = kit_with(clock, reuse_window=timedelta(seconds=seconds))
        old = (await register(kit)).tokens.refresh_token
        clock.move(minutes=10)
        new = (await kit.refresh(old)).tokens.refresh_token

        clock.move(seconds=seconds)
        again = (await kit.refresh(old)).tokens.refresh_token

        assert old != new
        assert again == new

    @pytest.mark.parametrize("seconds", [5, 60])
    async def test_after_the_reuse_window_a_spent_token_ends_the_session(
        self, seconds: int
    ) -> None:
        clock = Clock()
        kit = kit_with(clock, reuse_window=timedelta(seconds=seconds))
        old = (await register(kit)).tokens.refresh_token
        clock.move(minutes=10)
        new = (await kit.refresh(old)).tokens.refresh_token
        await kit.refresh(new)

        clock.move(seconds=seconds + 1)

        with pytest.raises(RefreshReused):
            await kit.refresh(old)

    async def test_issuer_is_written_and_asked_for(self) -> None:
        ours, theirs = kit_with(issuer="https://a.example"), kit_with(issuer="https://b.example")

        token = (await register(ours)).tokens.access_token

        claims = (await ours.authenticate(token)).claims
        assert claims is not None
        assert claims["iss"] == "https://a.example"
        with pytest.raises(InvalidToken):
            await theirs.authenticate(token)
        await ours.aclose()

    async def test_audience_is_written_and_asked_for(self) -> None:
        ours, theirs = kit_with(audience="shop"), kit_with(audience="bank")

        token = (await register(ours)).tokens.access_token

        claims = (await ours.authenticate(token)).claims
        assert claims is not None
        assert claims["aud"] == "shop"
        with pytest.raises(InvalidToken):
            await theirs.authenticate(token)
        await ours.aclose()

    async def test_leeway_grants_a_token_more_time(self) -> None:
        clock = Clock()
        exact, kind = kit_with(clock), kit_with(clock, leeway=timedelta(seconds=20))
        token = (await register(exact)).tokens.access_token

        clock.move(minutes=15, seconds=19)

        assert (await kind.authenticate(token)).role == "user"
        with pytest.raises(ExpiredToken):
            await exact.authenticate(token)
        await kind.aclose()

    async def test_max_sessions_ends_the_oldest_login(self) -> None:
        clock = Clock()
        kit = kit_with(clock, max_sessions=2)
        logins = [await register(kit)]
        for _ in range(2):
            clock.move(minutes=1)
            logins.append(await kit.login("ann@example.com", "a good password"))

        with pytest.raises(SessionRevoked):
            await kit.refresh(logins[0].tokens.refresh_token)

        for login in logins[1:]:
            assert (await kit.refresh(login.tokens.refresh_token)).session_id == login.session_id

    @pytest.mark.parametrize(("interval", "is_known"), [(timedelta(0), True), (300, False)])
    async def test_revocation_interval_is_how_long_another_process_may_not_know(
        self, interval: object, is_known: bool
    ) -> None:
        shared = MemoryTokenStore()
        here = kit_with(tokens=shared)
        there = kit_with(tokens=shared, revocation_interval=interval)
        token = (await register(here)).tokens.access_token
        await there.authenticate(token)

        await here.logout(token, "access")

        assert await is_accepted(there, token) is not is_known

    @pytest.mark.parametrize(
        ("when_stale", "live", "revoked"),
        [
            ("check", True, False),
            ("reject", StoreUnavailable, StoreUnavailable),
            ("allow", True, True),
        ],
    )
    async def test_when_stale_decides_while_revocations_cannot_be_read(
        self, when_stale: str, live: object, revoked: object
    ) -> None:
        shared = DeafTokenStore()
        here, there = kit_with(tokens=shared), kit_with(tokens=shared, when_stale=when_stale)
        kept = (await register(here)).tokens.access_token
        ended = (await here.login("ann@example.com", "a good password")).tokens.access_token
        await here.logout(ended, "access")

        assert await answer_of(there, kept) == live
        assert await answer_of(there, ended) == revoked


class DeafTokenStore(MemoryTokenStore):
    """A store whose feed of revocations cannot be read."""

    async def revoked_since(
        self, cursor: str | None, now: datetime, *, keep: timedelta
    ) -> Revocations:
        raise StoreUnavailable


async def is_accepted(kit: AuthKit, token: str) -> bool:
    try:
        await kit.authenticate(token)
    except RevokedToken:
        return False
    finally:
        await kit.aclose()
    return True


async def answer_of(kit: AuthKit, token: str) -> object:
    try:
        return await is_accepted(kit, token)
    except StoreUnavailable:
        return StoreUnavailable


class TestWhereSettingsComeFrom:
    def test_nothing_set_gives_the_documented_lives(self) -> None:
        settings = AuthSettings()

        assert settings.model_dump() == {
            "secret_key": None,
            "keys": None,
            "keys_file": None,
            "keys_dir": None,
            "jwks_url": None,
            "access_ttl": timedelta(minutes=15),
            "refresh_ttl": timedelta(days=7),
            "session_ttl": timedelta(days=30),
            "reuse_window": timedelta(seconds=30),
            "max_sessions": 100,
            "revocation_interval": timedelta(seconds=4),
            "when_stale": "check",
            "confirm_in_request": False,
            "issuer": None,
            "audience": None,
            "leeway": timedelta(0),
            "trusted_proxies": (),
        }

    def test_the_environment_is_read_when_settings_are_made(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = AuthSettings()
        monkeypatch.setenv("JWT_ACCESS_TTL", "60")

        after = AuthSettings()

        assert before.access_ttl == timedelta(minutes=15)
        assert after.access_ttl == timedelta(seconds=60)

    def test_importing_the_library_reads_nothing(self) -> None:
        done = subprocess.run(
            [sys.executable, "-c", "import jwt_auth_kit"],
            env={"JWT_ACCESS_TTL": "impossible", "JWT_SECRET_KEY": "weak"},
            capture_output=True,
            text=True,
            check=False,
        )

        assert (done.returncode, done.stderr) == (0, "")

    @pytest.mark.parametrize(
        ("variable", "text", "value"),
        [
            ("JWT_ACCESS_TTL", "90", timedelta(seconds=90)),
            ("JWT_ACCESS_TTL", "1.5", timedelta(seconds=1.5)),
            ("JWT_ACCESS_TTL", "PT90S", timedelta(seconds=90)),
            ("JWT_REFRESH_TTL", "P1D", timedelta(days=1)),
            ("JWT_REFRESH_TTL", "P1DT12H", timedelta(days=1.5)),
            ("JWT_SESSION_TTL", "7776000", timedelta(days=90)),
            ("JWT_REUSE_WINDOW", "0", timedelta(0)),
            ("JWT_REUSE_WINDOW", "PT10S", timedelta(seconds=10)),
            ("JWT_LEEWAY", "5", timedelta(seconds=5)),
            ("JWT_MAX_SESSIONS", "3", 3),
            ("JWT_MAX_SESSIONS", "unlimited", None),
            ("JWT_REVOCATION_INTERVAL", "2", timedelta(seconds=2)),
            ("JWT_WHEN_STALE", "reject", "reject"),
            ("JWT_CONFIRM_IN_REQUEST", "true", True),
            ("JWT_CONFIRM_IN_REQUEST", "0", False),
            ("JWT_ISSUER", "https://auth.example.com", "https://auth.example.com"),
            ("JWT_AUDIENCE", "api", "api"),
        ],
    )
    def test_a_variable_sets_its_value(
        self, variable: str, text: str, value: object, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(variable, text)

        settings = AuthSettings()

        assert getattr(settings, variable.removeprefix("JWT_").lower()) == value

    def test_the_secret_key_comes_from_its_variable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("JWT_SECRET_KEY", SECRET)

        kit = AuthKit(hasher=Argon2Hasher.weak_for_tests())

        assert kit.jwt.keys.active == KeyRing.from_secret(SECRET).active

    def test_a_dot_env_file_is_read_and_other_services_keys_are_not_minded(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / ".env").write_text(
            "# everybody's settings\n"
            f"JWT_SECRET_KEY={SECRET}\n"
            "JWT_ACCESS_TTL='120'\n"
            "JWT_SOMETHING_ELSE=1\n"
            "DATABASE_URL=postgresql://ann:hunter2@localhost/app\n"
            "ACCESS_TTL=1\n"
            'STRIPE_KEY="sk_live_é"\n',
            encoding="utf-8",
        )

        settings = AuthSettings()

        assert settings.secret_key is not None
        assert settings.secret_key.get_secret_value() == SECRET
        assert settings.access_ttl == timedelta(minutes=2)
        assert settings.model_dump().keys() == AuthSettings.model_fields.keys()

    def test_the_environment_wins_over_dot_env_and_an_argument_over_both(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / ".env").write_text("JWT_LEEWAY=1\nJWT_ISSUER=a\nJWT_AUDIENCE=a\n")
        monkeypatch.setenv("JWT_ISSUER", "b")
        monkeypatch.setenv("JWT_AUDIENCE", "b")

        settings = AuthSettings(audience="c")

        assert settings.leeway == timedelta(seconds=1)
        assert (settings.issuer, settings.audience) == ("b", "c")


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("variable", "text"),
        [
            ("JWT_ACCESS_TTL", "hunter2"),
            ("JWT_ACCESS_TTL", "0"),
            ("JWT_ACCESS_TTL", "0.999"),
            ("JWT_ACCESS_TTL", "-900"),
            ("JWT_ACCESS_TTL", "nan"),
            ("JWT_ACCESS_TTL", "inf"),
            ("JWT_ACCESS_TTL", "1e99"),
            ("JWT_ACCESS_TTL", "9" * 400),
            ("JWT_REFRESH_TTL", "a week, hunter2"),
            ("JWT_REFRESH_TTL", "-P7D"),
            ("JWT_SESSION_TTL", "315360001"),
            ("JWT_SESSION_TTL", "hunter2"),
            ("JWT_REUSE_WINDOW", "-1"),
            ("JWT_REUSE_WINDOW", "301"),
            ("JWT_REUSE_WINDOW", "hunter2"),
            ("JWT_LEEWAY", "-1"),
            ("JWT_LEEWAY", "301"),
            ("JWT_LEEWAY", "hunter2"),
            ("JWT_MAX_SESSIONS", "0"),
            ("JWT_MAX_SESSIONS", "hunter2"),
            ("JWT_REVOCATION_INTERVAL", "301"),
            ("JWT_REVOCATION_INTERVAL", "hunter2"),
            ("JWT_WHEN_STALE", "hunter2"),
            ("JWT_CONFIRM_IN_REQUEST", "hunter2"),
        ],
    )
    def test_an_impossible_value_names_its_variable_and_is_not_shown(
        self, variable: str, text: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(variable, text)

        with pytest.raises(ConfigurationError) as caught:
            AuthSettings()

        assert str(caught.value).startswith(f"{variable}: ")
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))

    @pytest.mark.parametrize(
        ("variable", "text", "cure"),
        [
            ("JWT_ACCESS_TTL", "15m", "write seconds (900) or an ISO 8601 duration (PT15M)"),
            ("JWT_ACCESS_TTL", "0", "must be from 0:00:01 to 12:00:00"),
            ("JWT_ACCESS_TTL", "PT13H", "must be from 0:00:01 to 12:00:00"),
            ("JWT_MAX_SESSIONS", "0", "write a number, at least 1, or unlimited"),
            ("JWT_CONFIRM_IN_REQUEST", "maybe", "write true or false"),
            (
                "JWT_TRUSTED_PROXIES",
                "proxy.example.com",
                "write addresses or networks, separated by commas (10.0.0.1, 10.1.0.0/16)",
            ),
        ],
    )
    def test_a_refusal_says_what_to_write_instead(
        self, variable: str, text: str, cure: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(variable, text)

        with pytest.raises(ConfigurationError) as caught:
            AuthSettings()

        assert str(caught.value) == f"{variable}: {cure}"

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "cp1252"])
    def test_a_dotenv_file_in_another_encoding_is_named(
        self, encoding: str, tmp_path: Path
    ) -> None:
        (tmp_path / ".env").write_bytes(f"# caf\xe9\nJWT_SECRET_KEY={SECRET}\n".encode(encoding))

        with pytest.raises(ConfigurationError) as caught:
            AuthSettings()

        assert str(caught.value) == ".env is not encoded as UTF-8. Save it as UTF-8."
        assert SECRET not in "".join(traceback.format_exception(caught.value))

    def test_of_several_dotenv_files_the_bad_one_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "good.env").write_text("JWT_LEEWAY=1\n")
        (tmp_path / "bad.env").write_bytes(b"# caf\xe9\n")

        with pytest.raises(ConfigurationError, match=r"^bad\.env is not encoded as UTF-8"):
            AuthSettings(_env_file=("good.env", "bad.env"))

    def test_a_secret_of_a_wrong_type_is_not_shown(self) -> None:
        secret = ["hunter" + str(2)]

        with pytest.raises(ConfigurationError) as caught:
            AuthSettings(secret_key=secret)

        assert "JWT_SECRET_KEY" in str(caught.value)
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))

    def test_every_impossible_value_is_named_at_once(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            AuthSettings(leeway=-1, reuse_window="soon", issuer=5)

        assert all(name in str(caught.value) for name in ("LEEWAY", "REUSE_WINDOW", "ISSUER"))

    @pytest.mark.parametrize(
        "lives",
        [
            {"access_ttl": timedelta(hours=2), "refresh_ttl": timedelta(hours=1)},
            {"refresh_ttl": timedelta(days=31)},
            {"session_ttl": timedelta(days=6)},
            {"refresh_ttl": timedelta(minutes=14)},
        ],
    )
    def test_lives_that_do_not_fit_into_each_other_are_refused(
        self, lives: dict[str, timedelta]
    ) -> None:
        with pytest.raises(ConfigurationError) as caught:
            AuthSettings(**lives)

        for variable in ("JWT_ACCESS_TTL", "JWT_REFRESH_TTL", "JWT_SESSION_TTL"):
            assert variable in str(caught.value)

    def test_lives_may_be_equal(self) -> None:
        settings = AuthSettings(access_ttl=60, refresh_ttl=60, session_ttl=60)

        assert settings.access_ttl == settings.session_ttl == timedelta(minutes=1)

    def test_settings_never_change(self) -> None:
        settings = AuthSettings()

        with pytest.raises(ValidationError):
            settings.access_ttl = timedelta(hours=1)

    def test_settings_hide_the_secret(self) -> None:
        settings = AuthSettings(secret_key=SECRET)

        assert SECRET not in f"{settings!r} {settings} {settings.model_dump_json()}"


@pytest.mark.parametrize("name", ["JWT_AUDIENCE", "JWT_ISSUER", "JWT_ACCESS_TTL"])
def test_an_empty_variable_counts_as_not_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "")

    assert AuthSettings() == AuthSettings(_env_file=None)
    assert AuthSettings().audience is None


def test_a_byte_order_mark_hides_no_setting(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfJWT_LEEWAY=1\n")

    assert AuthSettings().leeway == timedelta(seconds=1)


def test_unknown_variables_are_listed_with_the_nearest_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JWT_SECRETKEY", SECRET)
    monkeypatch.setenv("jwt_acces_ttl", "60")
    (tmp_path / ".env").write_text("JWT_LEEWAY=1\nJWT_ALGORITHM=HS256\nOTHER=1\n")

    unknown = unknown_variables()

    assert unknown == {
        "JWT_ACCES_TTL": "JWT_ACCESS_TTL",
        "JWT_ALGORITHM": None,
        "JWT_SECRETKEY": "JWT_SECRET_KEY",
    }


def test_a_misspelt_setting_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="acces_ttl"):
        AuthSettings(acces_ttl=60)
