"""The audit trail: what an event says, where it goes, and that it can harm nobody."""

import json
import logging
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields
from datetime import UTC, datetime
from typing import get_args

import pytest

from jwt_auth_kit import AuthEvent, Client, log_event
from jwt_auth_kit.events import WARNINGS, AuditTrail, EventName

NOW = datetime(2030, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
CLIENT = Client(ip="192.0.2.1", user_agent="Firefox")


def trail(hook: Callable[[AuthEvent], None]) -> AuditTrail:
    return AuditTrail(hook, lambda: NOW)


class TestAnEvent:
    def test_it_is_one_line_of_json_without_what_is_not_known(self) -> None:
        event = AuthEvent(name="logged_in", at=NOW, user_id="42", session_id="s", ip="192.0.2.1")

        assert json.loads(event.as_json()) == {
            "event": "logged_in",
            "outcome": "success",
            "at": "2030-01-01T12:00:00.123+00:00",
            "user_id": "42",
            "session_id": "s",
            "ip": "192.0.2.1",
        }

    @pytest.mark.parametrize(
        "text", ["a\nb", "a\r\nb", 'a"b', "a\u2028b", "a\x85b", "a\x1b[31mb", "a\0b", "é"]
    )
    def test_nothing_a_client_sends_can_begin_another_line(self, text: str) -> None:
        event = AuthEvent(name="login_failed", at=NOW, user_agent=text, reason=text)

        line = event.as_json()

        assert len(line.splitlines()) == 1
        assert line.isascii()
        assert line.isprintable()
        assert json.loads(line)["user_agent"] == text

    @pytest.mark.parametrize("name", get_args(EventName))
    def test_it_says_whether_something_was_done_or_refused(self, name: EventName) -> None:
        refused = name.endswith(("_failed", "_throttled", "_reused", "_denied", "_rejected"))

        assert AuthEvent(name=name, at=NOW).outcome == ("failure" if refused else "success")

    def test_it_has_no_field_for_a_secret(self) -> None:
        names = {field.name for field in fields(AuthEvent)}

        assert names == {
            *("name", "at", "user_id", "session_id", "ip", "user_agent"),
            *("reason", "actor", "previous_ip", "count"),
        }

    def test_it_never_changes(self) -> None:
        with pytest.raises(FrozenInstanceError):
            AuthEvent(name="logged_in", at=NOW).user_id = "43"  # type: ignore[misc]


class TestTheLog:
    @pytest.mark.parametrize("name", get_args(EventName))
    def test_an_event_is_logged_under_its_name(
        self, name: EventName, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, logger="jwt_auth_kit")

        log_event(AuthEvent(name=name, at=NOW, user_id="42"))

        (record,) = caplog.records
        assert record.name == "jwt_auth_kit"
        assert json.loads(record.getMessage())["event"] == name

    @pytest.mark.parametrize("name", get_args(EventName))
    def test_what_somebody_should_look_at_is_a_warning(
        self, name: EventName, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, logger="jwt_auth_kit")

        log_event(AuthEvent(name=name, at=NOW))

        suspicious = {
            *("login_failed", "login_throttled", "refresh_failed", "refresh_reused"),
            *("access_denied", "session_adopted", "registration_throttled", "password_locked"),
            "address_changed",
            "token_rejected",
        }
        expected = logging.WARNING if name in suspicious else logging.INFO
        assert caplog.records[0].levelno == expected
        assert suspicious == WARNINGS

    def test_a_percent_sign_in_an_event_is_only_text(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        log_event(AuthEvent(name="login_failed", at=NOW, user_agent="%s %d %(x)s"))

        assert json.loads(caplog.records[0].getMessage())["user_agent"] == "%s %d %(x)s"


class TestTheTrail:
    async def test_a_hook_gets_the_whole_event(self) -> None:
        seen: list[AuthEvent] = []

        await trail(seen.append).record(
            "logged_out", "42", session_id="s", client=CLIENT, reason="asked to", actor="7"
        )

        assert seen == [
            AuthEvent(
                name="logged_out",
                at=NOW,
                user_id="42",
                session_id="s",
                ip="192.0.2.1",
                user_agent="Firefox",
                reason="asked to",
                actor="7",
            )
        ]

    async def test_an_event_without_a_client_says_nothing_about_one(self) -> None:
        seen: list[AuthEvent] = []

        await trail(seen.append).record("login_failed", None)

        assert seen == [AuthEvent(name="login_failed", at=NOW)]

    async def test_an_asynchronous_hook_is_awaited(self) -> None:
        seen: list[str] = []

        async def hook(event: AuthEvent) -> None:
            seen.append(event.name)

        await AuditTrail(hook, lambda: NOW).record("registered", "42")

        assert seen == ["registered"]

    async def test_a_hook_that_fails_is_logged_and_does_no_harm(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        def hook(event: AuthEvent) -> None:
            raise RuntimeError("the queue is down")

        await trail(hook).record("logged_in", "42")

        assert "logged_in" in caplog.text
        assert "the queue is down" in caplog.text

    async def test_an_asynchronous_hook_that_fails_does_no_harm_either(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def hook(event: AuthEvent) -> None:
            raise RuntimeError("the queue is down")

        await AuditTrail(hook, lambda: NOW).record("logged_in", "42")

        assert "the queue is down" in caplog.text
