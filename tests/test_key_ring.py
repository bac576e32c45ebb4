"""KeyRing: what each key does at which moment, and how a ring follows what changes."""

import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps import EMAIL, PASSWORD, Clock, make_kit
from jwt_auth_kit import (
    ConfigurationError,
    InvalidToken,
    JWTManager,
    Key,
    KeyRing,
    RingKey,
)
from jwt_auth_kit.keys.ring import ALWAYS, in_order

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
KEEP = timedelta(hours=1)
AT_ONCE = timedelta(0)
USER = {"user_id": "42"}

OLD, NEW, THIRD = (Key.generate("EdDSA") for _ in range(3))
PUBLIC = Key.from_jwk(THIRD.public_jwk())


def at(hours: float) -> datetime:
    return NOW + timedelta(hours=hours)


def always(key: Key) -> RingKey:
    return RingKey(key=key, published_at=ALWAYS, activate_at=ALWAYS)


@dataclass
class Shelf:
    """A source whose keys a test changes, and that counts how often it is asked."""

    keys: Sequence[RingKey]
    version: int = 0
    stamps: int = 0
    loads: int = 0
    error: Exception | None = None
    before_load: Callable[[], object] = field(default=lambda: None)

    def put(self, *keys: RingKey) -> None:
        self.keys, self.version = keys, self.version + 1

    def stamp(self) -> object:
        self.stamps += 1
        return self.version

    def load(self) -> Sequence[RingKey]:
        self.loads += 1
        self.before_load()
        if self.error is not None:
            raise self.error
        return self.keys


def ring_of(*keys: RingKey, interval: timedelta = AT_ONCE) -> KeyRing:
    return KeyRing.from_source(Shelf(keys), interval=interval)


def finds(ring: KeyRing, key: Key, moment: datetime = NOW, keep: timedelta = KEEP) -> bool:
    return ring.find(key.id, moment, keep=keep) == key


class TestStates:
    @pytest.mark.parametrize(
        ("item", "state"),
        [
            (RingKey(key=OLD), "draft"),
            (RingKey(key=OLD, published_at=at(1)), "draft"),
            (RingKey(key=OLD, published_at=at(0)), "next"),
            (RingKey(key=OLD, published_at=at(-1), activate_at=at(1)), "next"),
            (RingKey(key=OLD, published_at=at(1), activate_at=at(2)), "draft"),
            (RingKey(key=OLD, activate_at=at(1)), "next"),
            (RingKey(key=OLD, published_at=at(1), activate_at=at(0)), "active"),
            (RingKey(key=OLD, activate_at=at(0)), "active"),
            (always(OLD), "active"),
            (replace(always(OLD), retired_at=at(1)), "active"),
            (replace(always(OLD), retired_at=at(0)), "retiring"),
            (replace(always(OLD), retired_at=at(-0.99)), "retiring"),
            (replace(always(OLD), retired_at=at(-1)), "gone"),
            (replace(always(OLD), retired_at=at(-5)), "gone"),
            (replace(always(OLD), revoked_at=at(1)), "active"),
            (replace(always(OLD), revoked_at=at(0)), "revoked"),
            (replace(always(OLD), retired_at=at(-5), revoked_at=at(-4)), "revoked"),
            (RingKey(key=OLD, revoked_at=at(-1)), "revoked"),
            (replace(always(OLD), retired_at=datetime.max.replace(tzinfo=UTC)), "active"),
        ],
    )
    def test_a_key_is_what_its_moments_say(self, item: RingKey, state: str) -> None:
        assert item.state(NOW, keep=KEEP) == state
        assert item.verifies(NOW, keep=KEEP) == (state in {"next", "active", "retiring"})
        assert item.signs(NOW) == (state == "active")

    def test_a_moment_may_have_any_time_zone(self) -> None:
        east = at(0).astimezone(datetime.fromisoformat("2030-01-01T00:00+05:30").tzinfo)

        assert RingKey(key=OLD, activate_at=east).state(NOW, keep=KEEP) == "active"

    def test_a_public_key_never_signs(self) -> None:
        assert not always(PUBLIC).signs(NOW)

    @given(
        st.lists(
            st.builds(
                RingKey,
                key=st.sampled_from([OLD, NEW, THIRD]),
                published_at=st.none() | st.integers(-3, 3).map(at),
                activate_at=st.none() | st.integers(-3, 3).map(at),
                retired_at=st.none() | st.integers(-3, 3).map(at),
                revoked_at=st.none() | st.integers(-3, 3).map(at),
            ),
            max_size=3,
            unique_by=lambda item: item.key.id,
        ),
        st.integers(-4, 4).map(at),
    )
    def test_at_most_one_key_signs_and_it_verifies(
        self, items: list[RingKey], moment: datetime
    ) -> None:
        ordered = in_order(items)

        signing = [item for item in ordered if item.signs(moment)]

        assert {item.key.id for item in ordered} == {item.key.id for item in items}
        assert len(signing) <= 1
        assert all(item.verifies(moment, keep=AT_ONCE) for item in signing)

    @given(st.permutations([0, 1, 2]), st.integers(0, 2))
    def test_a_key_that_was_stopped_before_it_began_ends_no_other(
        self, order: list[int], hour: int
    ) -> None:
        items = [
            always(OLD),
            RingKey(key=NEW, activate_at=at(1), revoked_at=at(0)),
            RingKey(key=THIRD, activate_at=at(2), retired_at=at(2)),
        ]

        ring = ring_of(*(items[n] for n in order))

        assert ring.signer(at(hour)) == OLD


class TestRotation:
    def test_one_key_hands_over_to_the_next_at_its_moment(self) -> None:
        ring = ring_of(RingKey(key=NEW, published_at=NOW, activate_at=at(2)), always(OLD))

        assert [ring.signer(at(hour)) for hour in (0, 1.99, 2, 9)] == [OLD, OLD, NEW, NEW]
        assert [finds(ring, NEW, at(hour)) for hour in (0, 2, 9)] == [True, True, True]
        assert [finds(ring, OLD, at(hour)) for hour in (0, 2, 2.99, 3)] == [True, True, True, False]

    def test_a_token_verifies_for_its_whole_life_whenever_it_was_made(self) -> None:
        ring = ring_of(
            always(OLD),
            RingKey(key=NEW, published_at=at(1), activate_at=at(2)),
            RingKey(key=THIRD, published_at=at(3), activate_at=at(4)),
        )
        clock = Clock(NOW)
        jwt = JWTManager(
            ring,
            access_ttl=timedelta(minutes=30),
            refresh_ttl=timedelta(hours=3),
            leeway=timedelta(minutes=1),
            clock=clock,
        )

        for minute in range(0, 300, 10):
            clock.now = NOW + timedelta(minutes=minute)
            access, refresh = jwt.create_access_token(USER), jwt.create_refresh_token("42")
            for later in range(0, 31, 5):
                clock.now = NOW + timedelta(minutes=minute + later)
                assert jwt.verify_access_token(access)["sub"] == "42"
            for later in (60, 120, 180):
                clock.now = NOW + timedelta(minutes=minute + later)
                assert jwt.verify_token(refresh, "refresh")["sub"] == "42"

    def test_a_refresh_token_verifies_where_an_access_token_no_more_does(self) -> None:
        ring = ring_of(always(OLD), RingKey(key=NEW, activate_at=at(0)))
        clock = Clock(at(-0.01))
        jwt = JWTManager(ring, clock=clock)
        refresh = jwt.create_refresh_token("42")
        stale_access = jwt.create_access_token(USER)
        clock.advance(hours=24)

        assert jwt.verify_token(refresh, "refresh")["sub"] == "42"
        with pytest.raises(InvalidToken):  # not "expired": its key is gone for its kind
            jwt.verify_access_token(stale_access)
        clock.advance(hours=24 * 7)
        with pytest.raises(InvalidToken):
            jwt.verify_token(refresh, "refresh", allow_expired=True)

    @pytest.mark.parametrize("skew", [-30, 30])
    def test_a_machine_whose_clock_is_off_verifies_what_the_other_signed(self, skew: int) -> None:
        keys = (always(OLD), RingKey(key=NEW, published_at=at(-1), activate_at=at(0)))
        clock, their_clock = Clock(), Clock()
        ours, theirs = (JWTManager(ring_of(*keys), clock=each) for each in (clock, their_clock))

        for second in range(-60, 61, 10):
            clock.now = NOW + timedelta(seconds=second)
            their_clock.now = clock.now + timedelta(seconds=skew)
            assert theirs.verify_access_token(ours.create_access_token(USER))["sub"] == "42"

    def test_a_key_that_is_to_sign_verifies_without_a_publication(self) -> None:
        ring = ring_of(always(OLD), RingKey(key=NEW, activate_at=at(1)))

        assert finds(ring, NEW)

    def test_a_draft_verifies_nothing(self) -> None:
        ring = ring_of(always(OLD), RingKey(key=NEW), RingKey(key=THIRD, published_at=at(1)))

        assert [finds(ring, key) for key in (OLD, NEW, THIRD)] == [True, False, False]
        assert finds(ring, THIRD, at(1))

    def test_without_a_key_that_signs_there_is_no_ring(self) -> None:
        for keys in ((), (RingKey(key=OLD, published_at=ALWAYS),), (always(PUBLIC),)):
            with pytest.raises(ConfigurationError, match="keys activate"):
                ring_of(*keys)

    def test_when_the_last_key_ends_nothing_signs(self) -> None:
        ring = ring_of(replace(always(OLD), retired_at=datetime.now(UTC) + KEEP))

        with pytest.raises(ConfigurationError, match="No key of the ring signs"):
            ring.signer(datetime.now(UTC) + 2 * KEEP)

    def test_two_keys_of_one_id_are_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="one id"):
            KeyRing(OLD, [OLD])
        with pytest.raises(ConfigurationError, match="one id"):
            ring_of(always(OLD), RingKey(key=replace(NEW, id=OLD.id)))

    def test_the_keys_tell_when_they_end(self) -> None:
        ring = ring_of(RingKey(key=NEW, activate_at=at(2)), RingKey(key=THIRD), always(OLD))

        assert [(item.key, item.retired_at) for item in ring.keys] == [
            (OLD, at(2)),
            (NEW, None),
            (THIRD, None),
        ]

    def test_the_next_change_is_told(self) -> None:
        ring = ring_of(always(OLD), RingKey(key=NEW, published_at=at(1), activate_at=at(2)))

        changes = [NOW]
        while (change := ring.next_change(changes[-1], keep=KEEP)) is not None:
            changes.append(change)

        assert changes == [NOW, at(1), at(2), at(3)]

    def test_a_key_that_ends_at_the_end_of_time_changes_nothing_before(self) -> None:
        ring = ring_of(replace(always(OLD), retired_at=datetime.max.replace(tzinfo=UTC)))

        assert ring.next_change(NOW, keep=KEEP) is None
        assert finds(ring, OLD)


class TestPublicKeys:
    def test_the_keys_that_verify_are_public_from_their_publication_on(self) -> None:
        ring = ring_of(
            always(OLD),
            RingKey(key=NEW, published_at=at(1), activate_at=at(2)),
            RingKey(key=THIRD),
        )

        shown = {
            hour: {jwk["kid"] for jwk in ring.public_jwks(at(hour), keep=KEEP)}
            for hour in (0, 1, 2, 3)
        }

        assert shown == {0: {OLD.id}, 1: {OLD.id, NEW.id}, 2: {OLD.id, NEW.id}, 3: {NEW.id}}

    def test_a_revoked_key_is_not_public(self) -> None:
        ring = ring_of(replace(always(OLD), revoked_at=at(1)), RingKey(key=NEW, activate_at=at(1)))

        assert [jwk["kid"] for jwk in ring.public_jwks(at(1), keep=KEEP)] == [NEW.id]

    def test_a_secret_is_never_public(self) -> None:
        secret = Key.generate("HS256")

        assert KeyRing(secret).public_jwks(NOW, keep=KEEP) == []
        assert len(KeyRing(OLD, [secret]).public_jwks(NOW, keep=KEEP)) == 1


class TestRevocation:
    def test_a_revoked_key_verifies_nothing_at_all(self) -> None:
        shelf = Shelf([always(OLD), RingKey(key=NEW, published_at=ALWAYS)])
        jwt = JWTManager(KeyRing.from_source(shelf, interval=AT_ONCE), clock=lambda: NOW)
        access, refresh = jwt.create_access_token(USER), jwt.create_refresh_token("42")
        jwt.verify_access_token(access)  # remembered from here on

        shelf.put(replace(always(OLD), revoked_at=NOW), RingKey(key=NEW, activate_at=NOW))

        with pytest.raises(InvalidToken):
            jwt.verify_access_token(access)
        with pytest.raises(InvalidToken):
            jwt.verify_token(refresh, "refresh")
        with pytest.raises(InvalidToken):
            jwt.verify_token(refresh, "refresh", allow_expired=True)
        assert jwt.verify_access_token(jwt.create_access_token(USER))["sub"] == "42"

    def test_a_key_that_is_taken_out_of_the_ring_verifies_nothing_either(self) -> None:
        shelf = Shelf([always(OLD)])
        jwt = JWTManager(KeyRing.from_source(shelf, interval=AT_ONCE))
        access = jwt.create_access_token(USER)
        jwt.verify_access_token(access)

        shelf.put(always(NEW))

        with pytest.raises(InvalidToken):
            jwt.verify_access_token(access)

    def test_a_remembered_token_is_refused_within_the_interval(self) -> None:
        shelf = Shelf([always(OLD)])
        jwt = JWTManager(KeyRing.from_source(shelf, interval=timedelta(milliseconds=200)))
        access = jwt.create_access_token(USER)
        jwt.verify_access_token(access)
        shelf.put(always(NEW), replace(always(OLD), revoked_at=datetime.now(UTC)))

        took = wait_until(lambda: not is_accepted(jwt, access))

        assert took < 0.3

    async def test_a_connection_that_stays_open_ends_with_its_key(self) -> None:
        shelf = Shelf([always(OLD)])
        kit = make_kit(keys=KeyRing.from_source(shelf, interval=AT_ONCE))
        signed_in = await kit.register(EMAIL, PASSWORD)
        user = await kit.authenticate(signed_in.tokens.access_token)
        again = await kit.authenticate(signed_in.tokens.access_token)
        await kit.recheck(user)

        shelf.put(replace(always(OLD), revoked_at=datetime.now(UTC)), always(NEW))

        assert (user.key_id, again.key_id) == (OLD.id, OLD.id)
        for each in (user, again):
            with pytest.raises(InvalidToken):
                await kit.recheck(each)

    async def test_another_key_of_the_same_name_ends_what_the_first_one_signed(self) -> None:
        stolen, fresh = (Key("1", "EdDSA", Key.generate("EdDSA").material) for _ in range(2))
        shelf = Shelf([always(stolen)])
        kit = make_kit(keys=KeyRing.from_source(shelf, interval=AT_ONCE))
        token = (await kit.register(EMAIL, PASSWORD)).tokens.access_token
        user = await kit.authenticate(token)

        shelf.put(always(fresh))

        with pytest.raises(InvalidToken):
            await kit.authenticate(token)
        with pytest.raises(InvalidToken):
            await kit.recheck(user)

    async def test_a_session_goes_on_only_with_a_key_that_is_good(self) -> None:
        shelf = Shelf([always(OLD)])
        clock = Clock()
        kit = make_kit(keys=KeyRing.from_source(shelf, interval=AT_ONCE), clock=clock)
        signed_in = await kit.register(EMAIL, PASSWORD)

        clock.advance(minutes=1)
        shelf.put(always(OLD), RingKey(key=NEW, activate_at=clock.now))
        refreshed = await kit.refresh(signed_in.tokens.refresh_token)
        shelf.put(
            RingKey(key=OLD, activate_at=ALWAYS, revoked_at=clock.now),
            RingKey(key=NEW, activate_at=clock.now),
        )

        assert (await kit.authenticate(refreshed.tokens.access_token)).key_id == NEW.id
        with pytest.raises(InvalidToken):
            await kit.refresh(signed_in.tokens.refresh_token)
        await kit.refresh(refreshed.tokens.refresh_token)


class TestFollowing:
    def test_the_source_is_asked_once_an_interval(self) -> None:
        shelf = Shelf([always(OLD)])
        ring = KeyRing.from_source(shelf, interval=timedelta(milliseconds=100))
        began = time.monotonic()

        while time.monotonic() < began + 0.35:
            ring.signer(NOW)
            ring.find(OLD.id, NOW, keep=KEEP)

        assert 3 <= shelf.stamps <= 5
        assert shelf.loads == 1

    def test_keys_are_read_only_when_they_changed(self) -> None:
        shelf = Shelf([always(OLD)])
        ring = KeyRing.from_source(shelf, interval=AT_ONCE)

        for _ in range(5):
            ring.signer(NOW)
        assert shelf.loads == 1
        shelf.put(always(NEW))

        assert ring.signer(NOW) == NEW
        assert [item.key for item in ring.keys] == [NEW]
        assert shelf.loads == 2

    def test_a_new_key_is_found_by_its_first_token(self) -> None:
        shelf = Shelf([always(OLD)])
        ring = KeyRing.from_source(shelf, interval=timedelta(hours=1))
        shelf.put(always(OLD), RingKey(key=NEW, published_at=ALWAYS))

        found = wait_until(lambda: finds(ring, NEW))

        assert found < 1.5
        assert shelf.loads == 2

    def test_unknown_ids_make_it_look_once_a_second_at_most(self) -> None:
        shelf = Shelf([always(OLD)])
        ring = KeyRing.from_source(shelf, interval=timedelta(hours=1))
        began = time.monotonic()
        tries = 0

        while time.monotonic() < began + 2.1:
            assert ring.find(f"unknown {tries}", NOW, keep=KEEP) is None
            tries += 1

        assert tries > 100
        assert 2 <= shelf.stamps - 1 <= 3
        assert shelf.loads == 1

    def test_known_ids_never_make_it_look_early(self) -> None:
        shelf = Shelf([always(OLD), RingKey(key=NEW), replace(always(THIRD), revoked_at=NOW)])
        ring = KeyRing.from_source(shelf, interval=timedelta(hours=1))
        time.sleep(1.1)

        for key in (OLD, NEW, THIRD):
            ring.find(key.id, NOW, keep=KEEP)

        assert shelf.stamps == 1

    def test_a_fixed_ring_never_looks(self) -> None:
        ring = KeyRing(OLD)

        assert ring.find("unknown", NOW, keep=KEEP) is None
        assert ring.signer(NOW) == OLD

    @pytest.mark.parametrize(
        "error",
        [
            ConfigurationError("keys.json is no JSON object."),
            OSError("the vault is away: token=hunter2"),
            RuntimeError("hunter2"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_a_ring_keeps_its_keys_when_they_cannot_be_read(
        self, error: Exception, caplog: pytest.LogCaptureFixture
    ) -> None:
        shelf = Shelf([always(OLD)])
        ring = KeyRing.from_source(shelf, interval=AT_ONCE)
        shelf.put(always(NEW))
        shelf.error = error

        with caplog.at_level(logging.DEBUG):
            assert [ring.signer(NOW) for _ in range(3)] == [OLD] * 3

        (record,) = caplog.records  # said once, not every few seconds
        assert record.levelno == logging.ERROR
        assert record.name == "jwt_auth_kit"
        assert record.exc_info is None
        assert "hunter2" not in caplog.text
        assert "stay as they are" in caplog.text
        shelf.error = None
        assert ring.signer(NOW) == NEW

    def test_another_problem_is_told_again(self, caplog: pytest.LogCaptureFixture) -> None:
        shelf = Shelf([always(OLD)])
        ring = KeyRing.from_source(shelf, interval=AT_ONCE)
        shelf.put(always(NEW))
        for message in ("first", "first", "second"):
            shelf.error = ConfigurationError(message)
            ring.signer(NOW)
        shelf.error = None
        ring.signer(NOW)
        shelf.put(always(OLD))
        shelf.error = ConfigurationError("second")
        ring.signer(NOW)

        told = [record.getMessage().rpartition(": ")[2] for record in caplog.records]
        assert told == ["first", "second", "second"]

    def test_two_keys_of_one_id_change_nothing_in_a_running_ring(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        shelf = Shelf([always(OLD)])
        ring = KeyRing.from_source(shelf, interval=AT_ONCE)

        shelf.put(always(NEW), RingKey(key=NEW))

        assert ring.signer(NOW) == OLD
        assert finds(ring, OLD)
        assert not finds(ring, NEW)
        assert "one id" in caplog.text

    def test_at_the_start_what_cannot_be_read_is_an_error(self) -> None:
        for error in (ConfigurationError("broken"), OSError("away")):
            with pytest.raises(type(error)):
                KeyRing.from_source(Shelf([], error=error))


class TestThreads:
    def test_threads_see_all_of_the_old_keys_or_all_of_the_new_ones(self) -> None:
        shelf = Shelf([always(OLD)])
        ring = KeyRing.from_source(shelf, interval=AT_ONCE)
        seen: list[tuple[Key, bool]] = []
        problems: list[BaseException] = []
        over = threading.Event()

        def use() -> None:
            try:
                while not over.is_set():
                    seen.append((ring.signer(NOW), finds(ring, OLD)))
                    time.sleep(0)
            except BaseException as error:  # noqa: BLE001
                problems.append(error)

        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        for keys in itertools.islice(itertools.cycle([(NEW, OLD), (THIRD, OLD), (OLD, NEW)]), 60):
            first, second = keys
            shelf.put(always(first), RingKey(key=second, published_at=ALWAYS))
            time.sleep(0.001)
        over.set()
        for thread in threads:
            thread.join()

        assert problems == []
        assert {signer for signer, _ in seen} == {OLD, NEW, THIRD}
        assert all(found for _, found in seen)

    def test_one_thread_reads_while_the_others_go_on(self) -> None:
        shelf = Shelf([always(OLD)])
        ring = KeyRing.from_source(shelf, interval=AT_ONCE)
        reading, go_on = threading.Event(), threading.Event()

        def read_slowly() -> None:
            reading.set()
            go_on.wait(5)

        shelf.before_load = read_slowly
        shelf.put(always(NEW))
        slow = threading.Thread(target=ring.signer, args=(NOW,))
        slow.start()
        reading.wait(5)

        signers = {ring.signer(NOW) for _ in range(100)}
        go_on.set()
        slow.join()

        assert signers == {OLD}
        assert ring.signer(NOW) == NEW
        assert shelf.loads == 2

    def test_a_token_of_a_new_key_waits_for_a_read_that_is_under_way(self) -> None:
        shelf = Shelf([always(OLD)])
        ring = KeyRing.from_source(shelf, interval=timedelta(milliseconds=1))
        reading = threading.Event()

        def read_slowly() -> None:
            reading.set()
            time.sleep(0.2)

        shelf.before_load = read_slowly
        shelf.put(always(OLD), RingKey(key=NEW, published_at=ALWAYS))
        time.sleep(0.01)
        slow = threading.Thread(target=ring.signer, args=(NOW,))
        slow.start()
        reading.wait(5)

        found = finds(ring, NEW)
        slow.join()

        assert found
        assert shelf.loads == 2


def is_accepted(jwt: JWTManager, token: str) -> bool:
    try:
        jwt.verify_access_token(token)
    except InvalidToken:
        return False
    return True


def wait_until(is_so: Callable[[], Any], patience: float = 5) -> float:
    """Wait until something is so; return how many seconds that took."""
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < patience
        time.sleep(0.01)
    return time.monotonic() - began
