"""The revocation feed of one process: what it refuses, and for how long it remembers."""

import secrets
import tracemalloc
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from jwt_auth_kit import RevokedToken
from jwt_auth_kit.kit.revocations import RevocationFeed

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
KEEP = timedelta(minutes=15)
SECOND = timedelta(seconds=1)


def feed() -> RevocationFeed:
    return RevocationFeed(keep=KEEP)


def test_an_empty_feed_lets_everything_pass() -> None:
    empty = feed()

    empty.check("42", 0, "s")
    empty.check("42", 0, None)

    assert len(empty) == 0


def test_access_tokens_of_an_ended_session_are_refused() -> None:
    revocations = feed()

    revocations.add_session("s", NOW)

    with pytest.raises(RevokedToken):
        revocations.check("42", 0, "s")
    revocations.check("42", 0, "another")
    revocations.check("42", 0, None)


@pytest.mark.parametrize("epoch", [0, 4])
def test_access_tokens_below_a_raised_epoch_are_refused(epoch: int) -> None:
    revocations = feed()

    revocations.add_epoch("42", 5, NOW)

    with pytest.raises(RevokedToken):
        revocations.check("42", epoch, "s")
    with pytest.raises(RevokedToken):
        revocations.check("42", epoch, None)


@pytest.mark.parametrize("epoch", [5, 6])
def test_access_tokens_of_the_new_epoch_pass(epoch: int) -> None:
    revocations = feed()

    revocations.add_epoch("42", 5, NOW)

    revocations.check("42", epoch, "s")


def test_the_epoch_of_one_user_is_nothing_to_another() -> None:
    revocations = feed()

    revocations.add_epoch("42", 5, NOW)

    revocations.check("43", 0, "s")
    revocations.check("4", 0, "s")


def test_an_epoch_that_arrives_late_takes_nothing_back() -> None:
    revocations = feed()
    revocations.add_epoch("42", 5, NOW)

    revocations.add_epoch("42", 3, NOW)

    with pytest.raises(RevokedToken):
        revocations.check("42", 4, "s")


def test_entries_are_kept_as_long_as_an_access_token_can_live() -> None:
    revocations = feed()
    revocations.add_session("s", NOW)
    revocations.add_epoch("42", 5, NOW)

    revocations.add_session("later", NOW + KEEP)

    with pytest.raises(RevokedToken):
        revocations.check("42", 5, "s")
    with pytest.raises(RevokedToken):
        revocations.check("42", 4, "x")


def test_entries_are_forgotten_some_time_after_no_token_of_theirs_can_live() -> None:
    revocations = feed()
    for number in range(100):
        revocations.add_session(f"s{number}", NOW)
        revocations.add_epoch(f"u{number}", 1, NOW)

    revocations.add_session("later", NOW + KEEP + SECOND)
    revocations.add_session("much later", NOW + 2 * (KEEP + SECOND))

    assert len(revocations) <= 2


def test_a_long_silence_is_no_reason_to_remember() -> None:
    revocations = feed()
    revocations.add_session("s", NOW)
    revocations.add_epoch("42", 1, NOW)

    revocations.add_epoch("43", 1, NOW + 10 * KEEP)

    assert len(revocations) == 1


def test_a_session_that_is_ended_again_is_remembered_anew() -> None:
    revocations = feed()
    revocations.add_session("s", NOW)
    revocations.add_session("between", NOW + KEEP / 2)
    revocations.add_session("s", NOW + KEEP)

    revocations.add_session("later", NOW + KEEP * 2)

    with pytest.raises(RevokedToken):
        revocations.check("42", 0, "s")
    revocations.check("42", 0, "between")


def test_an_epoch_that_is_raised_again_is_remembered_anew() -> None:
    revocations = feed()
    revocations.add_epoch("42", 5, NOW)
    revocations.add_epoch("43", 1, NOW + KEEP / 2)
    revocations.add_epoch("42", 6, NOW + KEEP)

    revocations.add_epoch("44", 1, NOW + KEEP * 2)

    with pytest.raises(RevokedToken):
        revocations.check("42", 5, None)
    revocations.check("43", 0, None)


def test_a_hundred_thousand_entries_take_at_most_twenty_megabytes() -> None:
    tracemalloc.start()
    revocations = feed()

    for number in range(50_000):
        revocations.add_session(secrets.token_urlsafe(16), NOW)
        revocations.add_epoch(str(uuid.uuid4()), number % 7, NOW)

    megabytes = tracemalloc.get_traced_memory()[0] / 1e6
    tracemalloc.stop()
    print(f"100,000 entries of the revocation feed: {megabytes:.1f} MB")
    assert len(revocations) == 100_000
    assert megabytes <= 20
