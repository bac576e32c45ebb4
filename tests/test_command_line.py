"""The command line: python -m jwt_auth_kit."""

import base64
import json
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from engines import engine_on
from jwt_auth_kit import InvalidToken, JWTManager, Key, KeyDirectory, KeyRing, RingKey, Session
from jwt_auth_kit.cli.main import main
from jwt_auth_kit.stores.sqlalchemy import SQLAlchemyTokenStore, create_schema

HOST = """
from sqlalchemy.ext.asyncio import create_async_engine
from jwt_auth_kit import AuthKit, KeyRing
from jwt_auth_kit.stores.sqlalchemy import SQLAlchemyTokenStore, SQLAlchemyUserStore

engine = create_async_engine("sqlite+aiosqlite:///auth.sqlite3")
kit = AuthKit(
    users=SQLAlchemyUserStore(engine), tokens=SQLAlchemyTokenStore(engine), keys=KeyRing.random()
)
"""


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "jwt_auth_kit", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


def test_secret_prints_a_secret_and_nothing_else() -> None:
    done = run("secret")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("\n")
    assert done.stdout.count("\n") == 1
    assert len(base64.b64decode(done.stdout.strip(), validate=True)) == 32


def test_a_printed_secret_is_good_enough_and_never_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for _ in range(20):
        main(["secret"])

    secrets = capsys.readouterr().out.split()
    assert len({KeyRing.from_secret(secret).active.material for secret in secrets}) == 20


def test_without_a_command_the_usage_is_shown() -> None:
    done = run()

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: jwt-auth-kit")
    assert "secret" in done.stderr


@pytest.mark.parametrize("arguments", [["secrets"], ["secret", "more"], ["--secret"]])
def test_an_unknown_command_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2
    assert capsys.readouterr().out == ""


async def test_purge_deletes_every_session_that_ended_a_day_ago(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    (tmp_path / "host.py").write_text(HOST)
    async with engine_on(tmp_path / "auth.sqlite3") as engine:
        await create_schema(engine)
        store = SQLAlchemyTokenStore(engine)
        for days in [*range(9, 2509), 0]:  # the last one lives, the others are in three batches
            await store.create(_session(now - timedelta(days=days)))

        done = run("purge", "host:kit")

        assert (done.returncode, done.stdout) == (0, "2500 sessions deleted\n")
        assert len(await store.list_by_user("ann", now)) == 1


def test_purge_on_a_database_that_is_away_says_so_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "host.py").write_text(HOST)

    done = run("purge", "host:kit")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(
        "jwt-auth-kit: The session store is unavailable, try again. "
        "Tables are missing. Create them with create_schema(engine), or run your migrations.\n"
    )
    assert "Traceback" not in done.stderr


async def test_purge_takes_a_function_that_makes_the_kit(tmp_path: Path) -> None:
    (tmp_path / "host.py").write_text(HOST + "\n\ndef make_kit():\n    return kit\n")
    async with engine_on(tmp_path / "auth.sqlite3") as engine:
        await create_schema(engine)

        done = run("purge", "host:make_kit")

    assert (done.returncode, done.stdout) == (0, "0 sessions deleted\n")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("nowhere:kit", "No module named 'nowhere'"),
        ("host:nothing", "no attribute 'nothing'"),
        ("host", "cannot be loaded"),
        (":kit", "cannot be loaded"),
        ("host:engine", "is no AuthKit but AsyncEngine"),
    ],
)
def test_purge_of_what_is_no_kit_is_a_usage_error(path: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "host.py").write_text(HOST)

    done = run("purge", path)

    assert (done.returncode, done.stdout) == (2, "")
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def _session(at: datetime) -> Session:
    week, month = timedelta(days=7), timedelta(days=30)
    return Session.start("ann", at, epoch=0, idle_ttl=week, absolute_ttl=month)


def test_help_names_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])

    assert caught.value.code == 0
    assert "JWT_SECRET_KEY" in capsys.readouterr().out


def test_the_installed_script_does_the_same() -> None:
    script = shutil.which("jwt-auth-kit", path=str(Path(sys.executable).parent))
    assert script is not None

    done = subprocess.run([script, "secret"], capture_output=True, text=True, check=False)

    assert done.returncode == 0
    assert len(base64.b64decode(done.stdout.strip(), validate=True)) == 32


class Keys:
    """The ``keys`` commands, on a directory of their own."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = path
        self.note = ""
        self._capsys = capsys

    def __call__(self, *arguments: str) -> str:
        main(["keys", *arguments, "--dir", str(self.path)])
        self.printed, self.note = self._capsys.readouterr()
        return self.printed.strip()

    def refusal(self, *arguments: str) -> str:
        with pytest.raises(SystemExit) as caught:
            self(*arguments)
        printed, error = self._capsys.readouterr()
        assert (caught.value.code, printed) == (2, "")
        return error.splitlines()[-1]

    def states(self) -> dict[str, str]:
        """What ``keys list`` says each key does."""
        heading, *rows = self("list").splitlines()
        assert heading.split()[:3] == ["KID", "ALG", "STATE"]
        return {row.split()[0]: row.split()[2] for row in rows}

    @property
    def ring(self) -> KeyRing:
        return KeyRing.from_source(KeyDirectory(self.path))

    def signs(self, moment: datetime | None = None) -> str:
        return self.ring.signer(moment or datetime.now(UTC)).id


@pytest.fixture
def keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Keys:
    return Keys(tmp_path / "keys", capsys)


class TestNewKeys:
    def test_the_first_one_signs_at_once_and_its_id_is_printed(self, keys: Keys) -> None:
        kid = keys("new")

        assert keys.printed == f"{kid}\n"
        assert keys.note == ""
        assert keys.states() == {kid: "active"}
        assert keys.ring.active.algorithm == "EdDSA"
        assert re.search(rf"^{kid} +EdDSA +active +always +always +- +-$", keys("list"), re.M)

    def test_the_next_one_is_published_and_does_not_sign(self, keys: Keys) -> None:
        first, second = keys("new"), keys("new", "--alg", "ES256")

        assert f"keys activate {second} --at +1d" in keys.note
        assert keys.states() == {first: "active", second: "next"}
        assert keys.signs() == first

    def test_a_draft_is_kept_to_itself(self, keys: Keys) -> None:
        first, second = keys("new"), keys("new", "--draft")

        assert keys.states() == {first: "active", second: "draft"}
        assert second not in keys("jwks")
        keys("publish", second)
        assert keys.states() == {first: "active", second: "next"}
        assert second in keys("jwks")
        assert "is no draft" in keys.refusal("publish", second)

    def test_one_can_sign_at_once_and_a_note_tells_the_price(self, keys: Keys) -> None:
        first, second = keys("new"), keys("new", "--activate")

        assert "publish a key a day before" in keys.note
        assert keys.states() == {first: "retiring", second: "active"}

    @pytest.mark.parametrize("algorithm", ["HS256", "HS512", "ES256", "RS256"])
    def test_it_is_of_the_algorithm_that_was_asked_for(self, keys: Keys, algorithm: str) -> None:
        keys("new", "--alg", algorithm)

        assert keys.ring.active.algorithm == algorithm

    def test_a_draft_that_signs_is_a_contradiction(self, keys: Keys) -> None:
        assert "leave out" in keys.refusal("new", "--draft", "--activate")

    def test_an_unknown_algorithm_is_refused_with_those_there_are(self, keys: Keys) -> None:
        refusal = keys.refusal("new", "--alg", "none")

        assert "HS256" in refusal
        assert "EdDSA" in refusal


class TestRotatingKeys:
    def test_a_key_takes_over_at_its_moment_and_nobody_notices(self, keys: Keys) -> None:
        first, second = keys("new"), keys("new")
        now = datetime.now(UTC)

        said = keys("activate", second, "--at", "+1d")

        assert re.fullmatch(rf"{second} signs from \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\dZ on\.", said)
        assert keys.note == ""
        assert keys.states() == {first: "active", second: "next"}
        assert keys.signs(now + timedelta(hours=23)) == first
        assert keys.signs(now + timedelta(hours=25)) == second

    @pytest.mark.parametrize(
        "moment", ["2030-01-31T12:00Z", "2030-01-31 12:00", "2030-01-31T13:00+01:00"]
    )
    def test_a_moment_can_be_written_in_several_ways(self, keys: Keys, moment: str) -> None:
        keys("new")
        second = keys("new")

        assert keys("activate", second, "--at", moment) == (
            f"{second} signs from 2030-01-31 12:00:00Z on."
        )

    @pytest.mark.parametrize("moment", ["tomorrow", "", "+1w", "+99999d", "12:00", "-1d"])
    def test_what_is_no_moment_is_refused_with_an_example(self, keys: Keys, moment: str) -> None:
        keys("new")
        second = keys("new")

        assert "+1d" in keys.refusal("activate", second, f"--at={moment}")

    def test_activated_at_once_it_signs_at_once(self, keys: Keys) -> None:
        first, second = keys("new"), keys("new")

        assert keys("activate", second) == f"{second} signs from now on."

        assert "publish a key a day before" in keys.note
        assert keys.states() == {first: "retiring", second: "active"}

    def test_only_a_key_that_has_not_signed_can_begin_to(self, keys: Keys) -> None:
        first, second = keys("new"), keys("new", "--activate")
        keys("revoke", first)

        assert "is active" in keys.refusal("activate", second)
        assert "is revoked" in keys.refusal("activate", first)

    def test_an_id_may_be_cut_short_where_it_is_clear(self, keys: Keys) -> None:
        keys("new")
        second = keys("new")

        keys("activate", second[:8])

        assert keys.signs() == second

    def test_an_id_that_is_unknown_or_unclear_is_refused(self, keys: Keys) -> None:
        keys("new")
        for kid in ("same-1", "same-2"):
            add(keys.path, replace_id(Key.generate("EdDSA"), kid))

        assert "There is no key nothing" in keys.refusal("activate", "nothing")
        assert "several keys same" in keys.refusal("activate", "same")
        keys("activate", "same-1")
        assert keys.signs() == "same-1"

    def test_a_public_key_cannot_be_activated(self, keys: Keys) -> None:
        keys("new")
        public = Key.from_jwk(Key.generate("EdDSA").public_jwk())
        add(keys.path, public)

        assert "cannot sign" in keys.refusal("activate", public.id)

    def test_a_key_that_nobody_replaces_is_not_retired(self, keys: Keys) -> None:
        first = keys("new")

        assert "Activate another one before" in keys.refusal("retire", first)
        assert keys.states() == {first: "active"}

    def test_a_key_to_come_can_be_retired(self, keys: Keys) -> None:
        first, second = keys("new"), keys("new")

        assert keys("retire", second) == f"{second} signs no more from now on."

        assert keys.states() == {first: "active", second: "retiring"}


class TestRevokingKeys:
    def test_the_one_that_waits_for_the_longest_time_takes_its_place(self, keys: Keys) -> None:
        first, second = keys("new"), keys("new")
        third, draft = keys("new"), keys("new", "--draft")
        token = JWTManager(keys.ring).create_access_token({"user_id": "42"})

        said = keys("revoke", first).splitlines()

        assert said[0] == f"{second} signs from now on."
        assert said[1].startswith(f"{first} is revoked")
        assert keys.states() == {
            first: "revoked", second: "active", third: "next", draft: "draft"
        }  # fmt: skip
        with pytest.raises(InvalidToken):
            JWTManager(keys.ring).verify_access_token(token)

    def test_without_another_one_a_new_one_is_made(self, keys: Keys) -> None:
        first = keys("new", "--alg", "ES256")

        keys("revoke", first)

        assert keys.signs() != first
        assert keys.ring.active.algorithm == "ES256"
        assert sorted(keys.states().values()) == ["active", "revoked"]

    def test_a_secret_never_takes_the_place_of_a_key_that_others_know(self, keys: Keys) -> None:
        first, secret = keys("new"), keys("new", "--alg", "HS256")

        keys("revoke", first)

        assert keys.states()[secret] == "next"
        assert keys.ring.active.algorithm == "EdDSA"

    def test_a_key_that_does_not_sign_is_not_replaced(self, keys: Keys) -> None:
        first, second = keys("new"), keys("new")

        assert len(keys("revoke", second).splitlines()) == 1

        assert keys.states() == {first: "active", second: "revoked"}
        assert second not in keys("jwks")

    def test_a_key_whose_turn_was_planned_takes_it_at_once(self, keys: Keys) -> None:
        first, second = keys("new"), keys("new")
        keys("activate", second, "--at", "+1d")

        keys("revoke", first)

        assert keys.states() == {first: "revoked", second: "active"}


class TestShowingKeys:
    def test_the_set_is_public(self, keys: Keys) -> None:
        first, second = keys("new"), keys("new", "--alg", "RS256")

        shown = json.loads(keys("jwks"))["keys"]

        assert {jwk["kid"] for jwk in shown} == {first, second}
        assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & {name for jwk in shown for name in jwk}

    def test_secrets_are_no_set(self, keys: Keys) -> None:
        keys("new", "--alg", "HS256")

        assert "no public keys" in keys.refusal("jwks")

    def test_the_table_shows_no_private_part(self, keys: Keys) -> None:
        keys("new")

        assert keys.ring.active.private_jwk()["d"] not in keys("list")

    @pytest.mark.parametrize("verb", ["list", "jwks"])
    def test_an_empty_directory_is_told_with_the_command_that_makes_a_key(
        self, keys: Keys, verb: str
    ) -> None:
        assert f"keys new --activate --dir {keys.path}" in keys.refusal(verb)
        assert not keys.path.exists()

    def test_a_key_in_a_pem_is_shown_and_cannot_be_changed(self, keys: Keys) -> None:
        first = keys("new")
        pem = Key.generate("EdDSA").material.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        (keys.path / "mine.pem").write_bytes(pem)
        kid = Key.from_pem(pem).id

        assert keys.states() == {first: "active", kid: "next"}
        for verb in ("activate", "retire", "revoke"):
            assert "has a PEM file" in keys.refusal(verb, kid)


class TestKeysAsAProgram:
    def test_the_directory_comes_from_the_environment(self, tmp_path: Path) -> None:
        environment = {"JWT_KEYS_DIR": str(tmp_path / "keys")}

        made = run("keys", "new", **environment)
        listed = run("keys", "list", **environment)

        assert (made.returncode, made.stderr) == (0, "")
        assert made.stdout.strip() in listed.stdout

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["keys"], "VERB"),
            (["keys", "list"], "JWT_KEYS_DIR"),
            (["keys", "steal"], "invalid choice"),
            (["keys", "activate"], "KID"),
            (["keys", "new", "--dir", "/dev/null"], "/dev/null"),
            (["keys", "list", "--dir", "/dev/null/keys"], "/dev/null/keys"),
        ],
    )
    def test_a_wrong_call_is_explained_without_a_traceback(
        self, arguments: list[str], told: str
    ) -> None:
        done = run(*arguments)

        assert (done.returncode, done.stdout) == (2, "")
        assert told in done.stderr
        assert "Traceback" not in done.stderr

    @pytest.mark.parametrize(
        "verb", ["new", "list", "jwks", "publish", "activate", "retire", "revoke"]
    )
    def test_every_verb_explains_itself(
        self, verb: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as caught:
            main(["keys", verb, "--help"])

        text = capsys.readouterr().out
        assert caught.value.code == 0
        assert "JWT_KEYS_DIR" in text
        assert re.search(r"^[A-Z][^:]{20,}\.$", text, re.M), "a sentence says what it does"

    def test_two_programs_that_make_the_first_key_at_once_leave_one_that_signs(
        self, tmp_path: Path
    ) -> None:
        command = [sys.executable, "-m", "jwt_auth_kit", "keys", "new", "--dir", str(tmp_path)]
        running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]

        made = {process.communicate()[0].strip() for process in running}

        ring = KeyRing.from_source(KeyDirectory(tmp_path))
        now = datetime.now(UTC)
        assert {item.key.id for item in ring.keys} == made
        assert [item.signs(now) for item in ring.keys].count(True) == 1


def add(path: Path, key: Key) -> None:
    assert KeyDirectory(path).add(RingKey(key=key, published_at=datetime.now(UTC)))


def replace_id(key: Key, kid: str) -> Key:
    return Key(id=kid, algorithm=key.algorithm, material=key.material)
