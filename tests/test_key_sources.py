"""Where keys are kept: in a variable, a file, or a directory that processes share."""

import base64
import json
import logging
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from jwt_auth_kit import (
    AuthKit,
    AuthSettings,
    ConfigurationError,
    InvalidToken,
    JWTManager,
    Key,
    KeyDirectory,
    KeyFile,
    KeyRing,
    KeySet,
    KeySource,
    RingKey,
)
from jwt_auth_kit.keys.ring import ALWAYS
from jwt_auth_kit.keys.sources import FIRST_KEY, open_ring

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
KEEP = timedelta(hours=1)
AT_ONCE = timedelta(0)

A, B, C = (Key.generate("EdDSA") for _ in range(3))
SECRET = Key.generate("HS256")


def set_of(*jwks: dict[str, Any]) -> str:
    return json.dumps({"keys": jwks})


def private(key: Key, **members: Any) -> dict[str, Any]:
    return {**key.private_jwk(), **members}


def pem_of(key: Key) -> bytes:
    return bytes(
        key.material.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def public_pem_of(key: Key) -> bytes:
    return bytes(
        key.material.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def states(source: KeySource, now: datetime = NOW) -> dict[str, str]:
    return {
        item.key.id: item.state(now, keep=KEEP)
        for item in KeyRing.from_source(source, interval=AT_ONCE).keys
    }


def signer(source: KeySource, now: datetime = NOW) -> Key:
    return KeyRing.from_source(source).signer(now)


def refusal(source: KeySource) -> str:
    with pytest.raises(ConfigurationError) as caught:
        KeyRing.from_source(source)
    return str(caught.value)


def settings_with(**values: Any) -> AuthSettings:
    return AuthSettings(**values)


@pytest.fixture(autouse=True)
def private_files() -> Iterator[None]:
    """Files with keys are made for their owner alone, or a warning would name each."""
    before = os.umask(0o077)
    yield
    os.umask(before)


class TestWhichSource:
    def test_a_secret(self) -> None:
        ring = open_ring(settings_with(secret_key=base64.b64encode(SECRET.material).decode()))

        assert ring.active == SECRET

    def test_a_set_in_a_variable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("JWT_KEYS", set_of(private(A), B.public_jwk()))

        ring = open_ring(AuthSettings())

        assert ring.active == A
        assert ring.find(B.id, NOW, keep=KEEP) is not None

    def test_a_file(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "keys.json").write_text(set_of(private(A)))
        monkeypatch.setenv("JWT_KEYS_FILE", str(tmp_path / "keys.json"))

        assert open_ring(AuthSettings()).active == A

    def test_a_directory(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "a.pem").write_bytes(pem_of(A))
        monkeypatch.setenv("JWT_KEYS_DIR", str(tmp_path))

        assert open_ring(AuthSettings()).active == A

    def test_nothing_is_refused_with_the_command_that_makes_a_secret(self) -> None:
        with pytest.raises(ConfigurationError, match="python -m jwt_auth_kit secret"):
            open_ring(AuthSettings())

    def test_two_at_once_are_refused_by_name(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="JWT_KEYS and JWT_KEYS_DIR are set"):
            open_ring(settings_with(keys=set_of(private(A)), keys_dir=tmp_path))

    def test_an_empty_directory_is_refused_with_the_command_that_makes_a_key(
        self, tmp_path: Path
    ) -> None:
        with pytest.raises(ConfigurationError) as caught:
            open_ring(settings_with(keys_dir=tmp_path / "keys"))

        assert f"keys new --activate --dir {tmp_path / 'keys'}" in str(caught.value)
        assert not (tmp_path / "keys").exists()

    def test_settings_hide_the_set(self) -> None:
        settings = settings_with(keys=set_of(private(A)))

        assert A.private_jwk()["d"] not in f"{settings!r} {settings.model_dump()}"

    async def test_a_kit_signs_with_what_the_settings_name(self, tmp_path: Path) -> None:
        directory = KeyDirectory(tmp_path)
        directory.add(RingKey(key=A, activate_at=ALWAYS))

        kit = AuthKit(settings=settings_with(keys_dir=tmp_path))

        assert kit.jwt.keys.active == A


class TestSets:
    def test_the_first_private_key_signs_and_the_others_verify(self) -> None:
        source = KeySet(set_of(B.public_jwk(), private(A), private(C)))

        assert signer(source) == A
        assert states(source) == {A.id: "active", B.id: "next", C.id: "next"}

    def test_a_key_that_is_to_verify_only_does_not_sign(self) -> None:
        source = KeySet(set_of(private(A, key_ops=["verify"]), private(B, key_ops=["sign"])))

        assert signer(source) == B

    def test_a_revoked_key_does_not_sign_because_it_is_the_first(self) -> None:
        source = KeySet(set_of(private(A, revoked_at="2029-01-01"), private(B)))

        assert states(source) == {A.id: "revoked", B.id: "active"}

    def test_moments_say_when_another_takes_over(self) -> None:
        source = KeySet(set_of(private(A), private(B, activate_at="2030-01-01T13:00Z")))

        assert [signer(source, NOW + timedelta(hours=hours)) for hours in (0, 0.9, 1)] == [A, A, B]
        assert states(source, NOW + timedelta(hours=1)) == {A.id: "retiring", B.id: "active"}

    def test_an_old_secret_goes_on_verifying_beside_a_new_key(self) -> None:
        old = JWTManager(KeyRing.from_secret(base64.b64encode(SECRET.material).decode()))
        token = old.create_access_token({"user_id": "42"})
        secret = {"kty": "oct", "alg": "HS256", "k": SECRET.private_jwk()["k"]}

        new = JWTManager(KeyRing.from_source(KeySet(set_of(private(A), secret))))

        assert new.verify_access_token(token)["sub"] == "42"
        assert new.keys.active == A

    @pytest.mark.parametrize(
        "text",
        [
            *("", "nonsense", "[]", "{}", "null", '{"keys": {}}', '{"keys": []}', '{"keys": [1]}'),
            '{"keys": [{}]}',
            "[" * 100_000,
            set_of(B.public_jwk()) + "x",
            set_of(private(A), {"kty": "oct", "alg": "HS256", "k": "short"}),
            set_of(private(A), private(A)),
            set_of(B.public_jwk()),
            set_of(private(A, activate_at="soon")),
            set_of(private(A, activate_at=1)),
        ],
        ids=lambda text: text[:15],
    )
    def test_what_is_no_set_of_good_keys_is_refused(self, text: str, tmp_path: Path) -> None:
        file = tmp_path / "keys.json"
        file.write_text(text)

        in_file = refusal(KeyFile(file))
        with pytest.raises(ConfigurationError) as caught:
            KeyRing.from_source(KeySet(text))

        assert A.private_jwk()["d"] not in f"{caught.value} {in_file}"
        if "one id" not in in_file and "signs" not in in_file:
            assert str(file) in in_file
            assert "JWT_KEYS" in str(caught.value)

    @pytest.mark.parametrize(
        "written", ["2030-01-01", "2030-01-01T00:00", "2030-01-01T02:00+02:00"]
    )
    def test_a_moment_without_a_zone_is_utc(self, written: str) -> None:
        (item,) = KeySet(set_of(private(A, activate_at=written))).load()

        assert item.activate_at == datetime(2030, 1, 1, tzinfo=UTC)


class TestFiles:
    def test_a_file_is_read_again_when_it_changes(self, tmp_path: Path) -> None:
        file = tmp_path / "keys.json"
        file.write_text(set_of(private(A)))
        ring = KeyRing.from_source(KeyFile(file), interval=AT_ONCE)
        assert ring.signer(NOW) == A

        file.write_text(set_of(private(B), A.public_jwk()))

        assert ring.signer(NOW) == B
        assert ring.find(A.id, NOW, keep=KEEP) is not None

    def test_a_byte_order_mark_does_no_harm(self, tmp_path: Path) -> None:
        (tmp_path / "keys.json").write_text("\ufeff" + set_of(private(A)))

        assert signer(KeyFile(tmp_path / "keys.json")) == A

    @pytest.mark.parametrize("breakage", ["away", "empty", "cut", "binary", "directory", "weak"])
    def test_a_file_that_breaks_at_run_time_changes_nothing(
        self, breakage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        file = tmp_path / "keys.json"
        file.write_text(set_of(private(A)))
        ring = KeyRing.from_source(KeyFile(file), interval=AT_ONCE)

        break_file(file, breakage)

        assert [ring.signer(NOW) for _ in range(3)] == [A] * 3
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert str(file) in caplog.text
        assert A.private_jwk()["d"] not in caplog.text
        assert str(file) in refusal(KeyFile(file))

    def test_a_file_that_was_repaired_is_used(self, tmp_path: Path) -> None:
        file = tmp_path / "keys.json"
        file.write_text(set_of(private(A)))
        ring = KeyRing.from_source(KeyFile(file), interval=AT_ONCE)
        break_file(file, "cut")
        assert ring.signer(NOW) == A

        file.write_text(set_of(private(B)))

        assert ring.signer(NOW) == B


def break_file(file: Path, breakage: str) -> None:
    text = file.read_text()
    match breakage:
        case "away":
            file.unlink()
        case "directory":
            file.unlink()
            file.mkdir()
        case "binary":
            file.write_bytes(os.urandom(64) + b"\xff")
        case "weak":
            file.write_text(set_of({"kty": "oct", "alg": "HS256", "k": "AAAA"}))
        case _:
            file.write_text(text[: 0 if breakage == "empty" else len(text) // 2])


class TestDirectories:
    def test_of_pems_the_last_by_name_signs_and_the_others_verify(self, tmp_path: Path) -> None:
        (tmp_path / "2029.pem").write_bytes(pem_of(A))
        (tmp_path / "2030.pem").write_bytes(pem_of(B))
        (tmp_path / "other.pem").write_bytes(public_pem_of(C))

        found = states(KeyDirectory(tmp_path))

        assert found == {A.id: "next", B.id: "active", C.id: "next"}

    def test_a_pem_signs_until_a_key_with_dates_does(self, tmp_path: Path) -> None:
        (tmp_path / "a.pem").write_bytes(pem_of(A))
        KeyDirectory(tmp_path).add(RingKey(key=B, published_at=NOW, activate_at=NOW))

        assert signer(KeyDirectory(tmp_path), NOW - timedelta(seconds=1)) == A
        assert states(KeyDirectory(tmp_path)) == {A.id: "retiring", B.id: "active"}

    def test_a_key_without_dates_pushes_none_with_dates_aside(self, tmp_path: Path) -> None:
        KeyDirectory(tmp_path, create="EdDSA").load()
        (tmp_path / "z.pem").write_bytes(pem_of(A))

        found = states(KeyDirectory(tmp_path))

        assert found.pop(A.id) == "next"
        assert list(found.values()) == ["active"]

    def test_hidden_and_other_files_are_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "a.jwk").write_text(json.dumps(private(A)))
        for name in (".b.json", "README.md", "c.json~", "d.json.bak", "..data"):
            (tmp_path / name).write_text("nonsense")

        assert states(KeyDirectory(tmp_path)) == {A.id: "active"}

    def test_links_are_followed(self, tmp_path: Path) -> None:
        """Kubernetes mounts a secret as links into a directory that it replaces."""
        mount, old, new = tmp_path / "mount", tmp_path / "old", tmp_path / "new"
        for directory, key in ((mount, None), (old, A), (new, B)):
            directory.mkdir()
            if key is not None:
                (directory / "key.pem").write_bytes(pem_of(key))
        (mount / "..data").symlink_to(old)
        (mount / "key.pem").symlink_to(mount / "..data" / "key.pem")
        ring = KeyRing.from_source(KeyDirectory(mount), interval=AT_ONCE)
        assert ring.signer(NOW) == A

        (mount / "..new").symlink_to(new)
        (mount / "..new").replace(mount / "..data")

        assert ring.signer(NOW) == B

    @pytest.mark.parametrize(
        "item",
        [
            RingKey(key=A),
            RingKey(key=A, published_at=NOW),
            RingKey(key=SECRET, published_at=ALWAYS, activate_at=ALWAYS),
            RingKey(key=Key.from_jwk(A.public_jwk()), published_at=NOW),
            RingKey(key=A, published_at=NOW, activate_at=NOW, retired_at=NOW, revoked_at=NOW),
        ],
        ids=["draft", "next", "secret", "public", "revoked"],
    )
    def test_a_key_comes_back_as_it_was_kept(self, item: RingKey, tmp_path: Path) -> None:
        directory = KeyDirectory(tmp_path / "deep" / "keys")

        assert directory.add(item)

        assert directory.read() == [item]
        assert directory.get(item.key.id) == item

    def test_a_key_is_added_once(self, tmp_path: Path) -> None:
        directory = KeyDirectory(tmp_path)
        (tmp_path / "a.pem").write_bytes(pem_of(A))

        assert directory.add(RingKey(key=B))
        assert not directory.add(RingKey(key=B, revoked_at=NOW))
        assert not directory.add(RingKey(key=A))
        assert len(directory.read()) == 2
        assert directory.get(B.id) == RingKey(key=B)

    def test_new_moments_replace_the_old_ones(self, tmp_path: Path) -> None:
        directory = KeyDirectory(tmp_path)
        (tmp_path / "a.jwk").write_text(json.dumps(private(A)))
        directory.add(RingKey(key=B))

        directory.replace(RingKey(key=A, published_at=NOW))
        directory.replace(RingKey(key=B, activate_at=NOW))

        assert [directory.get(key.id) for key in (A, B)] == [
            RingKey(key=A, published_at=NOW),
            RingKey(key=B, activate_at=NOW),
        ]
        assert {file.name for file in tmp_path.iterdir()} == {"a.jwk", f"{B.id}.json"}

    def test_a_key_that_is_not_there_or_has_no_dates_is_not_replaced(self, tmp_path: Path) -> None:
        directory = KeyDirectory(tmp_path)
        (tmp_path / "a.pem").write_bytes(pem_of(A))

        for key in (A, B):
            with pytest.raises(ConfigurationError, match="holds no JWK"):
                directory.replace(RingKey(key=key))
        assert directory.get(A.id) is None

    @pytest.mark.parametrize("kid", ["../../outside", "/etc/key", "a/b", "x" * 200, ".", "a b"])
    def test_an_id_leads_nowhere_else(self, kid: str, tmp_path: Path) -> None:
        directory = KeyDirectory(tmp_path / "keys")
        item = RingKey(key=Key.from_jwk(private(A, kid=kid)), published_at=NOW)

        directory.add(item)

        assert [path.name for path in tmp_path.iterdir()] == ["keys"]
        assert len(list((tmp_path / "keys").iterdir())) == 1
        assert directory.read() == [item]

    def test_only_the_owner_can_read_what_is_written(self, tmp_path: Path) -> None:
        directory = KeyDirectory(tmp_path / "keys")
        directory.add(RingKey(key=A))
        directory.replace(RingKey(key=A, published_at=NOW))

        (file,) = (tmp_path / "keys").iterdir()

        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700

    def test_a_broken_file_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "a.pem").write_bytes(pem_of(A))
        for name, content in (
            ("b.pem", "nonsense"),
            ("c.json", "{"),
            ("d.json", '{"kty": "RSA"}'),
            ("e.json", json.dumps(private(B, retired_at="never"))),
        ):
            (tmp_path / name).write_text(content)
            message = refusal(KeyDirectory(tmp_path))
            assert message.startswith(f"{tmp_path / name}: ")
            assert B.private_jwk()["d"] not in message
            (tmp_path / name).unlink()

    def test_a_directory_that_breaks_at_run_time_changes_nothing(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "a.pem").write_bytes(pem_of(A))
        ring = KeyRing.from_source(KeyDirectory(tmp_path), interval=AT_ONCE)

        (tmp_path / "b.pem").write_bytes(pem_of(B)[:40])
        assert ring.signer(NOW) == A
        for file in tmp_path.iterdir():
            file.unlink()
        assert ring.signer(NOW) == A
        tmp_path.rmdir()
        assert ring.signer(NOW) == A

        assert str(tmp_path / "b.pem") in caplog.records[0].getMessage()
        assert "holds no key" in caplog.records[1].getMessage()
        assert {record.levelno for record in caplog.records} == {logging.ERROR}
        assert len(caplog.records) == 2

    def test_a_disk_that_goes_away_makes_no_new_key(self, tmp_path: Path) -> None:
        ring = KeyRing.from_source(KeyDirectory(tmp_path, create="EdDSA"), interval=AT_ONCE)
        first = ring.signer(NOW)

        (tmp_path / FIRST_KEY).unlink()

        assert ring.signer(NOW) == first
        assert list(tmp_path.iterdir()) == []

    def test_a_file_where_a_directory_should_be_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "keys").write_text("")

        assert str(tmp_path / "keys") in refusal(KeyDirectory(tmp_path / "keys"))
        with pytest.raises(ConfigurationError, match="keys: "):
            KeyDirectory(tmp_path / "keys").add(RingKey(key=A))

    def test_readers_never_see_half_a_file(self, tmp_path: Path) -> None:
        directory = KeyDirectory(tmp_path)
        directory.add(RingKey(key=A, activate_at=ALWAYS))
        problems: list[Exception] = []
        over = threading.Event()

        def read() -> None:
            while not over.is_set():
                try:
                    (item,) = KeyDirectory(tmp_path).read()
                    assert item.key == A
                except Exception as error:  # noqa: BLE001
                    problems.append(error)

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        for minute in range(100):
            directory.replace(RingKey(key=A, activate_at=NOW + timedelta(minutes=minute)))
        over.set()
        for thread in threads:
            thread.join()

        assert problems == []
        assert len(list(tmp_path.iterdir())) == 1


START = """
import sys, time
from jwt_auth_kit import JWTManager, KeyDirectory, KeyRing

sys.stdin.readline()
ring = KeyRing.from_source(KeyDirectory(sys.argv[1], create="EdDSA"))
print(JWTManager(ring).create_access_token({"user_id": "42"}))
"""


class TestProcesses:
    def test_processes_that_start_on_an_empty_directory_agree_on_one_key(
        self, tmp_path: Path
    ) -> None:
        directory = tmp_path / "keys"

        tokens = run_at_once(START, directory, count=6)

        ring = KeyRing.from_source(KeyDirectory(directory))
        assert [item.state(NOW, keep=KEEP) for item in ring.keys] == ["active"]
        assert [file.name for file in directory.iterdir()] == [FIRST_KEY]
        assert len(tokens) == 6
        for token in tokens:
            assert JWTManager(ring).verify_access_token(token)["sub"] == "42"

    def test_a_revoked_key_fails_in_another_process_within_the_interval(
        self, tmp_path: Path
    ) -> None:
        directory = KeyDirectory(tmp_path / "keys")
        directory.add(RingKey(key=A, published_at=ALWAYS, activate_at=ALWAYS))
        directory.add(RingKey(key=B, published_at=ALWAYS))
        token = JWTManager(KeyRing(A)).create_access_token({"user_id": "42"})
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", WATCH, str(tmp_path / "keys"), token],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "accepted\n"

        now = datetime.now(UTC)
        directory.replace(RingKey(key=B, published_at=ALWAYS, activate_at=now))
        directory.replace(RingKey(key=A, activate_at=ALWAYS, revoked_at=now))
        began = time.monotonic()

        assert process.stdout.readline() == f"refused, {B.id} signs\n"
        took = time.monotonic() - began
        process.communicate()
        print(f"\nrevoked in one process, refused in another after {took:.2f} s")
        assert took < 6
        with pytest.raises(InvalidToken):
            JWTManager(KeyRing.from_source(directory)).verify_access_token(token)


WATCH = """
import sys, time
from jwt_auth_kit import InvalidToken, JWTManager, KeyDirectory, KeyRing

jwt = JWTManager(KeyRing.from_source(KeyDirectory(sys.argv[1])))
jwt.verify_access_token(sys.argv[2])
print("accepted", flush=True)
try:
    while True:
        jwt.verify_access_token(sys.argv[2])
        time.sleep(0.01)
except InvalidToken:
    print(f"refused, {jwt.keys.active.id} signs")
"""
"""Holds a token that it remembers, until that is refused."""


def run_at_once(program: str, directory: Path, *, count: int) -> Sequence[str]:
    """Run *program* in processes that go past their first line at the same moment."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", program, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    time.sleep(1)
    outputs = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        outputs.append(output.strip())
    return outputs


def put(file: Path) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text(set_of(private(A)) if file.name == "set.json" else json.dumps(private(A)))
    return file


def behind_a_mounted_link(folder: Path, directory: Path) -> KeySource:
    put(directory / "a.json")
    (folder / "..data").symlink_to("open")
    (folder / "a.json").symlink_to("..data/a.json")
    return KeyDirectory(folder)


def behind_a_link_of_its_own(folder: Path, directory: Path) -> KeySource:
    (folder / "keys").mkdir()
    (folder / "keys" / "a.json").symlink_to(put(directory / "a.json"))
    return KeyDirectory(folder / "keys")


def behind_a_link_to_a_link(folder: Path, directory: Path) -> KeySource:
    put(folder / "safe" / "a.json")
    (directory / "hop.json").symlink_to("../safe/a.json")
    (folder / "keys").mkdir()
    (folder / "keys" / "a.json").symlink_to(directory / "hop.json")
    return KeyDirectory(folder / "keys")


def behind_a_link_to_the_directory(folder: Path, directory: Path) -> KeySource:
    put(folder / "safe" / "a.json")
    (directory / "keys").symlink_to(folder / "safe")
    return KeyDirectory(directory / "keys")


WAYS_TO_A_KEY: dict[str, Callable[[Path, Path], KeySource]] = {
    "mounted link": behind_a_mounted_link,
    "link": behind_a_link_of_its_own,
    "link to a link": behind_a_link_to_a_link,
    "linked directory": behind_a_link_to_the_directory,
    "file": lambda _, directory: KeyFile(put(directory / "set.json")),
}
"""Keys that are found by a name in *directory*, by what the name is."""


class TestWhoElseMayUseTheFiles:
    @pytest.mark.parametrize("kind", ["file", "directory"])
    @pytest.mark.parametrize("mode", [0o644, 0o440, 0o640])
    def test_a_private_key_that_others_can_read_is_named_once_with_the_cure(
        self, kind: str, mode: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        file = tmp_path / "keys.json"
        jwk = private(A)
        file.write_text(set_of(jwk) if kind == "file" else json.dumps(jwk))
        file.chmod(mode)
        source = KeyFile(file) if kind == "file" else KeyDirectory(tmp_path)

        for _ in range(3):
            assert [item.key for item in source.load()] == [A]

        [warning] = [record.getMessage() for record in caplog.records]
        assert f"chmod 600 {file}" in warning
        assert A.private_jwk()["d"] not in warning

    def test_a_public_key_may_be_read_by_everybody(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        file = tmp_path / "public.json"
        file.write_text(json.dumps(A.public_jwk()))
        file.chmod(0o644)

        assert KeyDirectory(tmp_path).load()
        assert not caplog.records

    @pytest.mark.parametrize("mode", [0o777, 0o1777, 0o703])
    def test_a_directory_that_everybody_can_write_to_is_refused(
        self, mode: int, tmp_path: Path
    ) -> None:
        directory = tmp_path / "keys"
        directory.mkdir()
        (directory / "a.json").write_text(json.dumps(private(A)))
        directory.chmod(mode)

        with pytest.raises(ConfigurationError, match=f"chmod go-w {directory}"):
            KeyRing.from_source(KeyDirectory(directory))

    @pytest.mark.parametrize("kind", ["file", "directory"])
    def test_a_file_that_everybody_can_write_to_is_refused(self, kind: str, tmp_path: Path) -> None:
        file = tmp_path / "keys.json"
        jwk = private(A)
        file.write_text(set_of(jwk) if kind == "file" else json.dumps(jwk))
        file.chmod(0o666)
        source = KeyFile(file) if kind == "file" else KeyDirectory(tmp_path)

        with pytest.raises(ConfigurationError, match=f"chmod go-w {file}"):
            KeyRing.from_source(source)

    def test_a_secret_that_is_mounted_as_a_link_is_read(self, tmp_path: Path) -> None:
        (tmp_path / "..data").mkdir()
        (tmp_path / "..data" / "a.json").write_text(json.dumps(private(A)))
        (tmp_path / "a.json").symlink_to("..data/a.json")

        assert KeyRing.from_source(KeyDirectory(tmp_path)).active == A

    @pytest.mark.parametrize("way", WAYS_TO_A_KEY)
    def test_a_key_that_everybody_can_replace_is_refused(self, way: str, tmp_path: Path) -> None:
        directory = tmp_path / "open"
        directory.mkdir()
        source = WAYS_TO_A_KEY[way](tmp_path, directory)
        KeyRing.from_source(source)
        directory.chmod(0o777)

        with pytest.raises(ConfigurationError, match=f"chmod go-w {directory}"):
            KeyRing.from_source(source)

    @pytest.mark.parametrize("way", WAYS_TO_A_KEY)
    def test_a_key_of_ours_where_nobody_can_replace_what_is_not_his_is_read(
        self, way: str, tmp_path: Path
    ) -> None:
        directory = tmp_path / "open"
        directory.mkdir()
        source = WAYS_TO_A_KEY[way](tmp_path, directory)
        directory.chmod(0o1777)  # as /tmp is

        assert KeyRing.from_source(source).active == A

    @pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="root gives files away")
    @pytest.mark.parametrize("way", WAYS_TO_A_KEY)
    def test_a_key_that_somebody_else_left_where_everybody_can_write_is_refused(
        self, way: str, tmp_path: Path
    ) -> None:
        directory = tmp_path / "open"
        directory.mkdir()
        source = WAYS_TO_A_KEY[way](tmp_path, directory)
        directory.chmod(0o1777)
        for left in directory.iterdir():
            os.chown(left, 65534, 65534, follow_symlinks=False)

        with pytest.raises(ConfigurationError, match=f"can write to {directory}, and so replace"):
            KeyRing.from_source(source)

    @pytest.mark.parametrize("kind", ["file", "directory"])
    def test_an_open_directory_further_up_is_named_once_with_the_cure(
        self, kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        file = put(tmp_path / "keys" / ("set.json" if kind == "file" else "a.json"))
        file.chmod(0o600)
        tmp_path.chmod(0o777)
        source = KeyFile(file) if kind == "file" else KeyDirectory(file.parent)

        for _ in range(3):
            assert [item.key for item in source.load()] == [A]

        [warning] = [record.getMessage() for record in caplog.records]
        assert f"chmod go-w {tmp_path}" in warning

    def test_nobody_else_can_write_to_any_directory_that_is_made(self, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            KeyRing.from_source(KeyDirectory(tmp_path / "a" / "b" / "keys", create="EdDSA"))
        finally:
            os.umask(before)

        made = [tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "keys"]
        assert [stat.S_IMODE(each.stat().st_mode) for each in made] == [0o700] * 3


class TestWhatIsNoFile:
    @pytest.mark.parametrize("kind", ["file", "directory"])
    def test_a_pipe_is_refused_and_nobody_waits_for_it(self, kind: str, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "keys.json", 0o600)
        source = KeyFile(tmp_path / "keys.json") if kind == "file" else KeyDirectory(tmp_path)

        with pytest.raises(ConfigurationError, match="is not a regular file"):
            KeyRing.from_source(source)

    def test_a_device_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="/dev/zero is not a regular file"):
            KeyRing.from_source(KeyFile("/dev/zero"))

    def test_a_socket_is_refused(self, tmp_path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(tmp_path / "keys.json"))

            with pytest.raises(ConfigurationError, match="keys"):
                KeyRing.from_source(KeyDirectory(tmp_path))

    def test_a_huge_file_is_refused_as_such(self, tmp_path: Path) -> None:
        file = tmp_path / "keys.json"
        with file.open("wb") as stream:
            stream.truncate(2**31)

        with pytest.raises(ConfigurationError, match="more than 1000000 bytes"):
            KeyRing.from_source(KeyFile(file))

    def test_a_directory_of_too_many_files_is_refused(self, tmp_path: Path) -> None:
        for number in range(1001):
            (tmp_path / f"{number}.json").touch()

        with pytest.raises(ConfigurationError, match="more than 1000 keys"):
            KeyRing.from_source(KeyDirectory(tmp_path))
