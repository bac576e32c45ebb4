"""Keys read from a URL: when they are read, and what a bad server can do."""

import asyncio
import base64
import datetime as dt
import gzip
import json
import logging
import ssl
import threading
import time
from datetime import timedelta
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from jwt_auth_kit import ConfigurationError, Key
from jwt_auth_kit.errors import KeysUnavailable
from jwt_auth_kit.keys.remote import MAX_BYTES, MAX_KEYS, RemoteKeys
from publisher import (
    Answer,
    document,
    drip,
    flood,
    hang_up,
    key_set,
    publishing,
    raw,
    silence,
)
from servers import free_port

PRIVATE = Key.generate("ES256")
KEY, OTHER = (Key.from_jwk(key.public_jwk()) for key in (Key.generate("EdDSA"), PRIVATE))
TIMEOUT = timedelta(seconds=0.5)
SOON = timedelta(seconds=0.2)
SAME_ID = {"kid": KEY.id}
GOOD = json.dumps({"keys": [KEY.public_jwk()]}).encode()


class TestWhenTheyAreRead:
    async def test_the_key_that_a_token_names_is_found(self) -> None:
        async with publishing(key_set(KEY, OTHER)) as publisher:
            keys = RemoteKeys(publisher.url)

            assert await keys.get(KEY.id) == KEY
            assert await keys.get(OTHER.id) == OTHER
            assert publisher.requests == 1

    async def test_nothing_is_read_before_a_token_comes(self) -> None:
        async with publishing(key_set(KEY)) as publisher:
            RemoteKeys(publisher.url)
            await asyncio.sleep(0.05)

            assert publisher.requests == 0

    async def test_fifty_requests_at_once_read_them_once(self) -> None:
        async with publishing(key_set(KEY)) as publisher:
            keys = RemoteKeys(publisher.url)

            found = await asyncio.gather(*(keys.get(KEY.id) for _ in range(50)))

            assert found == [KEY] * 50
            assert publisher.requests == 1

    async def test_a_caller_that_goes_away_stops_nobody_else(self) -> None:
        async def late(writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(0.2)
            await key_set(KEY)(writer)

        async with publishing(late) as publisher:
            keys = RemoteKeys(publisher.url)
            first, second = (asyncio.create_task(keys.get(KEY.id)) for _ in range(2))
            await asyncio.sleep(0.05)
            first.cancel()

            assert await second == KEY
            assert publisher.requests == 1

    async def test_a_key_that_was_withdrawn_is_unknown_after_the_age(self) -> None:
        async with publishing(key_set(KEY, OTHER)) as publisher:
            keys = RemoteKeys(publisher.url, max_age=SOON)
            assert await keys.get(KEY.id) == KEY
            publisher.answer = key_set(OTHER)

            assert await keys.get(KEY.id) == KEY  # not yet

            await asyncio.sleep(SOON.total_seconds())
            assert await keys.get(KEY.id) is None

    @pytest.mark.parametrize(
        "jwks", [[], [1, "a", {}, {"kty": "EC", "crv": "P-521"}]], ids=["none", "none of use"]
    )
    async def test_an_issuer_may_withdraw_all_its_keys(self, jwks: list[Any]) -> None:
        async with publishing(key_set(KEY)) as publisher:
            keys = RemoteKeys(publisher.url, max_age=timedelta(0))
            assert await keys.get(KEY.id) == KEY
            publisher.answer = document({"keys": jwks})

            assert await keys.get(KEY.id) is None

    async def test_a_key_that_is_there_twice_is_one(self) -> None:
        async with publishing(key_set(KEY, KEY)) as publisher:
            assert await RemoteKeys(publisher.url).get(KEY.id) == KEY

    async def test_one_client_reads_them_each_time_and_is_made_beside_the_event_loop(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        makers: list[threading.Thread] = []
        make = httpx.AsyncClient.__init__

        def note(client: httpx.AsyncClient, **options: Any) -> None:
            makers.append(threading.current_thread())
            make(client, **options)

        monkeypatch.setattr(httpx.AsyncClient, "__init__", note)
        async with publishing(key_set(KEY)) as publisher:
            keys = RemoteKeys(publisher.url, max_age=timedelta(0))
            for _ in range(3):
                assert await keys.get("unknown") is None

            assert publisher.requests >= 3
        assert len(makers) == 1
        assert makers[0] is not threading.current_thread()

    def test_another_event_loop_reads_them_too(self) -> None:
        keys: list[RemoteKeys] = []

        async def read() -> Key | None:
            async with publishing(key_set(KEY), port=port) as publisher:
                keys.append(keys[0] if keys else RemoteKeys(publisher.url, max_age=timedelta(0)))
                return await keys[-1].get(KEY.id)

        port = free_port()

        assert [asyncio.run(read()) for _ in range(2)] == [KEY, KEY]
        assert keys[0] is keys[1]

    async def test_keys_that_cannot_be_used_are_named_once(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        strange = {"kty": "EC", "crv": "secp256k1", "alg": "ES256K", "x": "AAAA", "y": "BBBB"}
        for_encryption = {"kty": "RSA", "use": "enc", "alg": "RSA-OAEP", "n": "AQAB", "e": "AQAB"}
        jwks = [KEY.public_jwk(), strange, for_encryption, {"kty": "oct", "k": "CCCC"}]
        async with publishing(document({"keys": jwks})) as publisher:
            keys = RemoteKeys(publisher.url, max_age=timedelta(0))
            for _ in range(3):
                assert await keys.get(KEY.id) == KEY

        [warning] = [each.getMessage() for each in caplog.records]
        assert "kty 'EC', crv 'secp256k1', alg 'ES256K'" in warning
        assert "kty 'oct'" in warning
        assert not any(part in warning for part in ("AAAA", "BBBB", "CCCC", "RSA"))

    async def test_a_new_key_is_found_when_a_token_names_it(self) -> None:
        async with publishing(key_set(KEY, cache_control="max-age=600")) as publisher:
            keys = RemoteKeys(publisher.url)
            assert await keys.get(KEY.id) == KEY
            publisher.answer = key_set(OTHER)
            keys._looked_at -= 1

            assert await keys.get(OTHER.id) == OTHER
            assert publisher.requests == 2

    async def test_strangers_cannot_flood_the_issuer_with_unknown_names(self) -> None:
        async with publishing(key_set(KEY)) as publisher:
            keys = RemoteKeys(publisher.url)

            for number in range(100):
                assert await keys.get(f"key-{number}") is None

            assert publisher.requests == 1

    @pytest.mark.parametrize("name", ["", 0, [KEY.id], {"kid": KEY.id}, True, "../jwks"])
    async def test_what_is_no_name_is_unknown(self, name: Any) -> None:
        async with publishing(key_set(KEY)) as publisher:
            assert await RemoteKeys(publisher.url).get(name) is None

    async def test_a_token_without_a_name_has_the_only_key(self) -> None:
        async with publishing(key_set(KEY)) as publisher:
            assert await RemoteKeys(publisher.url).get(None) == KEY

    async def test_a_token_without_a_name_has_none_of_several(self) -> None:
        async with publishing(key_set(KEY, OTHER)) as publisher:
            assert await RemoteKeys(publisher.url).get(None) is None

    @pytest.mark.parametrize(
        ("cache_control", "reads_again"),
        [
            ("max-age=600", False),
            ("public, MAX-AGE=600, must-revalidate", False),
            ("", False),
            ("max-age=5", True),
            ("no-store", True),
            ("no-cache, max-age=600", True),
            ("max-age=0", True),
        ],
    )
    async def test_the_server_may_shorten_the_age(
        self, cache_control: str, reads_again: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with publishing(key_set(KEY, cache_control=cache_control)) as publisher:
            keys = RemoteKeys(publisher.url)
            await keys.get(KEY.id)
            later = time.monotonic() + 6
            monkeypatch.setattr(time, "monotonic", lambda: later)

            await keys.get(KEY.id)

            assert publisher.requests == 1 + reads_again

    @pytest.mark.parametrize(
        ("headers", "age"),
        [
            ([], 3600),
            (["Cache-Control: max-age=1800"], 1800),
            (["Cache-Control: max-age=1800", "Age: 1000"], 800),
            (["Cache-Control: max-age=1800", "Age: old"], 1800),
            (["Cache-Control: max-age=7200"], 3600),
        ],
        ids=str,
    )
    async def test_they_are_kept_for_the_shorter_of_two_times(
        self, headers: list[str], age: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        moment = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: moment)
        async with publishing(raw(200, GOOD, *headers)) as publisher:
            keys = RemoteKeys(publisher.url, max_age=timedelta(hours=1))
            await keys.get(KEY.id)
            moment += age - 1
            await keys.get(KEY.id)
            assert publisher.requests == 1
            moment += 1
            await keys.get(KEY.id)

            assert publisher.requests == 2

    def test_they_work_in_one_event_loop_after_another(self) -> None:
        keys: list[RemoteKeys] = []

        async def read_and_go() -> Key | None:
            async with publishing(key_set(KEY)) as publisher:
                remote = keys.pop() if keys else RemoteKeys(publisher.url, max_age=timedelta(0))
                remote._url = httpx.URL(publisher.url)
                keys.append(remote)
                return await remote.get(KEY.id)

        assert asyncio.run(read_and_go()) == KEY
        assert asyncio.run(read_and_go()) == KEY


async def redirect(writer: asyncio.StreamWriter) -> None:
    await raw(302, b"", "Location: /elsewhere")(writer)


BAD_ANSWERS: dict[str, Answer] = {
    "silent": silence,
    "dripping": drip,
    "huge": flood,
    "hanging up": hang_up,
    "redirecting": redirect,
    "HTML": raw(200, b"<!doctype html><title>Sign in</title>", "Content-Type: text/html"),
    "an error": raw(500, GOOD),
    "not found": raw(404, GOOD),
    "compressed": raw(200, gzip.compress(GOOD), "Content-Encoding: gzip"),
    "not UTF-8": raw(200, b'{"keys": "\xff"}'),
    "too deep": raw(200, b'{"keys": ' + b"[" * 5000 + b"]" * 5000 + b"}"),
    "a list": document([KEY.public_jwk()]),
    "no keys": document({}),
    "no list of keys": document({"keys": "all"}),
    "too many keys": document({"keys": [KEY.public_jwk()] * (MAX_KEYS + 1)}),
    "two keys of one id": document({"keys": [KEY.public_jwk(), OTHER.public_jwk() | SAME_ID]}),
    "too long": raw(200, GOOD + b" " * MAX_BYTES),
}
every_bad_answer = pytest.mark.parametrize("bad", BAD_ANSWERS)


class TestABadServer:
    @every_bad_answer
    async def test_no_request_waits_longer_than_the_time_limit(self, bad: str) -> None:
        async with publishing(BAD_ANSWERS[bad]) as publisher:
            keys = RemoteKeys(publisher.url, timeout=TIMEOUT)
            begin = time.monotonic()

            with pytest.raises(KeysUnavailable):
                await keys.get(KEY.id)

            assert time.monotonic() - begin < 5 * TIMEOUT.total_seconds()
            assert publisher.requests == 1

    @every_bad_answer
    async def test_a_key_that_was_read_before_goes_on_working(
        self, bad: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with publishing(key_set(KEY)) as publisher:
            keys = RemoteKeys(publisher.url, timeout=TIMEOUT, max_age=SOON)
            await keys.get(KEY.id)
            publisher.answer = BAD_ANSWERS[bad]
            await asyncio.sleep(SOON.total_seconds())

            assert await keys.get(KEY.id) == KEY
            with pytest.raises(KeysUnavailable):  # it may exist by now
                await keys.get(OTHER.id)

        assert "cannot be read" in caplog.text

    async def test_a_server_that_is_down_is_said_to_be_unavailable(self) -> None:
        keys = RemoteKeys("http://localhost:1/jwks.json")

        with pytest.raises(KeysUnavailable):
            await keys.get(KEY.id)

    async def test_a_slow_server_costs_who_has_a_key_one_second_and_once(self) -> None:
        async with publishing(key_set(KEY)) as publisher:
            keys = RemoteKeys(publisher.url, max_age=SOON)
            await keys.get(KEY.id)
            publisher.answer = silence
            await asyncio.sleep(SOON.total_seconds())
            begin = time.monotonic()

            assert await keys.get(KEY.id) == KEY

            assert 0.9 < time.monotonic() - begin < 3

            begin = time.monotonic()
            for _ in range(10):  # the first one has waited for all
                assert await keys.get(KEY.id) == KEY
            assert time.monotonic() - begin < 0.5

    async def test_a_redirect_is_not_followed(self) -> None:
        async with publishing(key_set(KEY)) as target:
            to_target = raw(307, b"", f"Location: {target.url}")
            async with publishing(to_target) as publisher:
                with pytest.raises(KeysUnavailable):
                    await RemoteKeys(publisher.url).get(KEY.id)

            assert target.requests == 0

    async def test_a_server_that_cannot_prove_its_name_is_not_believed(
        self, tmp_path: Path
    ) -> None:
        async with publishing(key_set(KEY), tls=self_signed(tmp_path)) as publisher:
            assert publisher.url.startswith("https://localhost")

            with pytest.raises(KeysUnavailable):
                await RemoteKeys(publisher.url).get(KEY.id)

            assert publisher.requests == 0

    @pytest.mark.parametrize(
        ("has_keys", "wanted"),
        [(True, [1, 2, 4, 8, 16, 32, 60]), (False, [1, 2, 4, 5, 5, 5, 5])],
        ids=["with keys", "without"],
    )
    async def test_it_is_asked_less_and_less_often(
        self, has_keys: bool, wanted: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        moment = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: moment)
        asked_at = []
        async with publishing(key_set(KEY) if has_keys else raw(500, b"")) as publisher:
            keys = RemoteKeys(publisher.url)
            if has_keys:
                await keys.get(KEY.id)
            publisher.answer = raw(500, b"")
            moment += 600
            for _ in range(200):
                before = publisher.requests
                with pytest.raises(KeysUnavailable):
                    await keys.get(OTHER.id)
                if publisher.requests > before:
                    asked_at.append(moment)
                moment += 1

        pauses = [round(b - a) for a, b in pairwise(asked_at)]
        assert pauses[: len(wanted)] == wanted

    async def test_it_is_told_once_and_again_when_it_is_over(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING)
        async with publishing(raw(500, b"")) as publisher:
            keys = RemoteKeys(publisher.url)
            for _ in range(2):
                with pytest.raises(KeysUnavailable):
                    await keys.get(KEY.id)
                keys._due = 0
            publisher.answer = key_set(KEY)
            await keys.get(KEY.id)

        levels = [record.levelname for record in caplog.records]
        assert levels == ["ERROR", "WARNING"]
        assert "the answer has status 500" in caplog.records[0].message

    async def test_keys_that_are_too_old_are_given_up(self) -> None:
        async with publishing(key_set(KEY)) as publisher:
            keys = RemoteKeys(publisher.url, max_age=SOON, max_stale=SOON)
            await keys.get(KEY.id)
            publisher.answer = raw(500, b"")
            await asyncio.sleep(2 * SOON.total_seconds())

            with pytest.raises(KeysUnavailable):
                await keys.get(KEY.id)

    async def test_what_the_url_asks_for_is_not_told(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with publishing(raw(500, b"")) as publisher:
            with pytest.raises(KeysUnavailable):
                await RemoteKeys(f"{publisher.url}?key=topsecret").get(KEY.id)

        assert "cannot be read" in caplog.text
        assert "topsecret" not in caplog.text

    async def test_nothing_is_known_where_the_reading_was_cut_short(self) -> None:
        async with publishing(silence) as publisher:
            keys = RemoteKeys(publisher.url)
            asking = asyncio.create_task(keys.get(KEY.id))
            await asyncio.sleep(0.1)
            assert keys._reading is not None
            keys._reading.cancel()  # as the end of the loop does

            with pytest.raises(KeysUnavailable):
                await asking


class TestWhichKeysAreTaken:
    async def read(self, *jwks: dict[str, Any]) -> RemoteKeys:
        async with publishing(document({"keys": [KEY.public_jwk(), *jwks]})) as publisher:
            keys = RemoteKeys(publisher.url)
            assert await keys.get(KEY.id) == KEY
            return keys

    async def test_a_symmetric_key_is_not(self) -> None:
        # Everybody can read it, so everybody could sign with it.
        keys = await self.read({**Key.generate("HS256").private_jwk(), "kid": "shared"})

        assert await keys.get("shared") is None

    async def test_a_weak_key_is_not(self) -> None:
        numbers = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
        modulus = Key.generate("RS256").public_jwk() | {"kid": "weak", "n": encoded(numbers)}
        keys = await self.read(modulus)

        assert await keys.get("weak") is None

    async def test_a_key_for_encryption_is_not(self) -> None:
        keys = await self.read({**OTHER.public_jwk(), "use": "enc"})

        assert await keys.get(OTHER.id) is None

    async def test_of_a_private_key_only_the_public_part_is(self) -> None:
        keys = await self.read(PRIVATE.private_jwk())

        found = await keys.get(OTHER.id)

        assert found is not None
        assert not found.can_sign

    async def test_an_rsa_key_that_names_no_algorithm_is_one_for_rs256(self) -> None:
        jwk = Key.generate("RS256").public_jwk()
        del jwk["alg"]
        keys = await self.read(jwk)

        found = await keys.get(jwk["kid"])

        assert found is not None
        assert found.algorithm == "RS256"


class TestWhereTheyMayBe:
    @pytest.mark.parametrize(
        "url",
        [
            "https://auth.example.com/.well-known/jwks.json",
            "http://localhost:3000/api/auth/jwks",
            "http://127.0.0.1:3000/jwks",
            "http://[::1]:3000/jwks",
        ],
    )
    def test_by_https_or_on_this_machine(self, url: str) -> None:
        assert isinstance(RemoteKeys(url), RemoteKeys)

    @pytest.mark.parametrize(
        "url",
        [
            "http://auth.example.com/jwks.json",
            "http://127.0.0.1.example.com/jwks.json",
            "http://localhost.example.com/jwks.json",
            "http://localhost@auth.example.com/jwks.json",
            "https://ada:secret@auth.example.com/jwks.json",
            "ftp://auth.example.com/jwks.json",
            "file:///etc/passwd",
            "auth.example.com/jwks.json",
            "https://",
            "https://[",
            "",
        ],
    )
    def test_nowhere_else(self, url: str) -> None:
        with pytest.raises(ConfigurationError, match="JWK Set") as caught:
            RemoteKeys(url)

        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize(
        "spans",
        [
            {"timeout": timedelta(0)},
            {"timeout": timedelta(seconds=-1)},
            {"max_age": timedelta(seconds=-1)},
            {"max_stale": timedelta(seconds=-1)},
        ],
        ids=str,
    )
    def test_spans_that_are_none_are_refused(self, spans: dict[str, timedelta]) -> None:
        with pytest.raises(ConfigurationError, match="timeout"):
            RemoteKeys("https://auth.example.com/jwks.json", **spans)


def encoded(public: rsa.RSAPublicKey) -> str:
    number = public.public_numbers().n
    return base64.urlsafe_b64encode(number.to_bytes(128, "big")).rstrip(b"=").decode()


def self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
