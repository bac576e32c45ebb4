"""The example that looks passwords up in a list of stolen ones, against a server that has it."""

import hashlib
import logging
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from examples.breached_passwords import BreachedPasswords
from jwt_auth_kit import PasswordPolicy, WeakPassword

STOLEN = "correct horse battery staple"


def sha1(password: str) -> str:
    return hashlib.sha1(password.encode()).hexdigest().upper()


class Ranges(ThreadingHTTPServer):
    """Speaks the range protocol: hashes that begin with five digits, padded if that is wanted."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.counts = {sha1(STOLEN): 27, sha1("not stolen, but padding"): 0}
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.status = 200
        self.gate = threading.Event()
        self.gate.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/range/"


class Answer(BaseHTTPRequestHandler):
    server: Ranges

    def do_GET(self) -> None:
        prefix = self.path.removeprefix("/range/")
        self.server.asked.append((self.path, dict(self.headers)))
        self.server.gate.wait(timeout=30)
        if len(prefix) != 5 or prefix.strip("0123456789ABCDEF"):
            self.send_error(400)
            return
        found = {each: count for each, count in self.server.counts.items() if each[:5] == prefix}
        padding = {prefix + f"{number:035X}": 0 for number in range(800)}
        lines = [f"{each[5:]}:{count}" for each, count in {**padding, **found}.items()]
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write("\r\n".join(sorted(lines)).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def ranges() -> Iterator[Ranges]:
    server = Ranges()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.gate.set()
    server.shutdown()
    server.server_close()
    thread.join()


async def refusal(password: str, is_breached: BreachedPasswords) -> str | None:
    try:
        await PasswordPolicy(is_breached=is_breached).check(password)
    except WeakPassword as error:
        return error.reason
    return None


async def test_a_stolen_password_is_refused_and_others_are_not(ranges: Ranges) -> None:
    is_breached = BreachedPasswords(ranges.url)

    assert await refusal(STOLEN, is_breached) == "breached"
    assert await refusal("a password of my own", is_breached) is None
    assert await refusal("not stolen, but padding", is_breached) is None


async def test_the_list_learns_five_digits_of_a_hash_and_is_asked_for_padding(
    ranges: Ranges,
) -> None:
    await BreachedPasswords(ranges.url)(STOLEN)

    [(path, headers)] = ranges.asked
    assert path == "/range/" + sha1(STOLEN)[:5]
    assert headers["Add-Padding"] == "true"
    assert not any(STOLEN in value for value in headers.values())


async def test_a_password_is_accepted_where_the_list_does_not_answer(
    ranges: Ranges, caplog: pytest.LogCaptureFixture
) -> None:
    ranges.gate.clear()

    assert await refusal(STOLEN, BreachedPasswords(ranges.url, timeout=0.05)) is None

    assert "A new password was not looked up: TimeoutError" in caplog.messages
    assert "correct horse" not in caplog.text


async def test_a_password_is_accepted_where_the_list_fails(
    ranges: Ranges, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    ranges.status = 503

    assert await refusal(STOLEN, BreachedPasswords(ranges.url)) is None

    assert "A new password was not looked up: HTTPStatusError" in caplog.messages


def test_the_guide_shows_the_example() -> None:
    project = Path(__file__).parent.parent
    example = (project / "examples" / "breached_passwords.py").read_text()

    guide = (project / "docs" / "guides" / "passwords.md").read_text()

    assert f"```python\n# breached_passwords.py\n{example}```" in guide
