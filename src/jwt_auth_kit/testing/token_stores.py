"""The contract of TokenStore."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from ..sessions import Session
from ..stores.base import Epochs, Revocations, StaleLogin, StoredSession, TokenStore

NOW = datetime.now(UTC).replace(microsecond=123456)
TICK = timedelta(microseconds=1)
MINUTE = timedelta(minutes=1)
ANN, BOB = "ann", "bob"


class TokenStoreContract:
    """What every TokenStore must do, races included.

    Set ``expires_by_itself`` where the database deletes ended sessions and ``purge`` does not.
    """

    pytestmark: pytest.MarkDecorator = pytest.mark.anyio
    expires_by_itself = False

    @pytest.fixture
    def anyio_backend(self) -> str:
        """Run on asyncio alone, also where trio is installed."""
        return "asyncio"

    async def test_a_session_comes_back_as_it_was_kept(self, store: TokenStore) -> None:
        session = _session(
            gen=2**40,
            parent=2**40 - 3,
            confirmed=True,
            known_gen=2**40 - 2,
            window_from=NOW + TICK,
            last_seen_at=NOW - TICK,
            ip="2001:db8::1",
            user_agent="Mozilla/5.0 (é; 😀) " + "x" * 200,
            version=7,
        )

        await store.create(session)

        assert await store.get(ANN, session.id) == StoredSession(session, Epochs(0, 0))

    async def test_a_bare_session_comes_back_too(self, store: TokenStore) -> None:
        session = await _created(store, salt=bytes(range(240, 256)))

        assert await _read(store, session) == session

    async def test_moments_come_back_in_utc_to_the_microsecond(self, store: TokenStore) -> None:
        moment = datetime(2030, 7, 1, 0, 30, 0, 1, tzinfo=timezone(timedelta(hours=5.5)))
        session = await _created(store, window_from=moment, expires_at=moment + timedelta(days=30))

        found = await _read(store, session)

        assert found.window_from == moment
        assert found.expires_at == moment + timedelta(days=30)
        assert found.created_at.utcoffset() == timedelta(0)

    async def test_every_moment_carries_its_zone(self, store: TokenStore) -> None:
        session = await _created(store)
        await store.revoke(ANN, session.id, "logged_out", NOW)

        found = await _read(store, session)

        moments = [getattr(found, name) for name in Session.__slots__]
        assert all(
            value.utcoffset() == timedelta(0) for value in moments if isinstance(value, datetime)
        )

    async def test_where_there_is_no_session_there_is_none(self, store: TokenStore) -> None:
        assert await store.get(ANN, "no-such-session") is None
        assert await store.get("", "") is None

    async def test_the_session_of_another_user_is_not_found(self, store: TokenStore) -> None:
        session = await _created(store)

        assert await store.get(BOB, session.id) is None
        assert await store.get("ANN", session.id) is None

    async def test_a_session_comes_with_its_users_epochs(self, store: TokenStore) -> None:
        session = await _created(store)
        epoch = await store.void_access_tokens(ANN, NOW)
        await store.void_access_tokens(BOB, NOW)
        await store.void_access_tokens(BOB, NOW)

        stored = await store.get(ANN, session.id)

        assert stored is not None
        assert stored.epochs == Epochs(epoch, 0)

    async def test_a_user_has_as_many_sessions_as_logins(self, store: TokenStore) -> None:
        sessions = [await _created(store) for _ in range(3)]

        assert [await _read(store, session) for session in sessions] == sessions

    async def test_a_session_of_a_later_epoch_can_be_created(self, store: TokenStore) -> None:
        epoch = await store.revoke_all(ANN, "password_changed", NOW)

        session = await _created(store, epoch=epoch)

        assert await _read(store, session) == session

    async def test_a_session_from_before_the_end_of_all_is_refused(self, store: TokenStore) -> None:
        await store.revoke_all(ANN, "password_changed", NOW)
        stale = _session(epoch=0)

        with pytest.raises(StaleLogin):
            await store.create(stale)

        assert await store.get(ANN, stale.id) is None

    async def test_voided_access_tokens_stop_no_login(self, store: TokenStore) -> None:
        await store.void_access_tokens(ANN, NOW)

        session = await _created(store, epoch=0)

        assert await _read(store, session) == session

    async def test_changes_are_written_with_the_next_version(self, store: TokenStore) -> None:
        session = await _created(store)
        later = NOW + MINUTE

        done = await store.compare_and_set(
            ANN,
            session.id,
            1,
            {
                "gen": 2,
                "parent": 1,
                "confirmed": True,
                "known_gen": 1,
                "window_from": later,
                "idle_expires_at": later + TICK,
                "last_seen_at": later,
                "auth_time": later - TICK,
                "ip": "192.0.2.2",
            },
        )

        assert done is True
        assert await _read(store, session) == replace(
            session,
            gen=2,
            parent=1,
            confirmed=True,
            known_gen=1,
            window_from=later,
            idle_expires_at=later + TICK,
            last_seen_at=later,
            auth_time=later - TICK,
            ip="192.0.2.2",
            version=2,
        )

    async def test_what_is_not_among_the_changes_stays(self, store: TokenStore) -> None:
        session = await _created(store)

        assert await store.compare_and_set(ANN, session.id, 1, {"window_from": NOW + MINUTE})

        expected = replace(session, window_from=NOW + MINUTE, version=2)
        assert await _read(store, session) == expected

    @pytest.mark.parametrize("version", [0, 2, -1])
    async def test_at_another_version_nothing_is_written(
        self, store: TokenStore, version: int
    ) -> None:
        session = await _created(store)

        assert await store.compare_and_set(ANN, session.id, version, {"gen": 9}) is False

        assert await _read(store, session) == session

    async def test_a_version_is_good_for_one_write(self, store: TokenStore) -> None:
        session = await _created(store)

        answers = [await store.compare_and_set(ANN, session.id, 1, {"gen": 2}) for _ in range(2)]

        assert answers == [True, False]

    async def test_a_revoked_session_is_not_written(self, store: TokenStore) -> None:
        session = await _created(store)
        await store.revoke(ANN, session.id, "logged_out", NOW)
        revoked = await _read(store, session)

        for version in (1, revoked.version):
            assert not await store.compare_and_set(ANN, session.id, version, {"gen": 2})

        assert await _read(store, session) == revoked

    async def test_a_session_that_is_not_there_is_not_written(self, store: TokenStore) -> None:
        assert await store.compare_and_set(ANN, "no-such-session", 1, {"gen": 2}) is False

        assert await store.get(ANN, "no-such-session") is None

    async def test_the_session_of_another_user_is_not_written(self, store: TokenStore) -> None:
        session = await _created(store)

        assert await store.compare_and_set(BOB, session.id, 1, {"gen": 2}) is False

        assert await _read(store, session) == session

    async def test_other_sessions_stay_as_they_are(self, store: TokenStore) -> None:
        mine, other, bobs = await _created(store), await _created(store), await _created(store, BOB)

        await store.compare_and_set(ANN, mine.id, 1, {"gen": 2})

        assert await _read(store, other) == other
        assert await _read(store, bobs) == bobs

    async def test_of_sixteen_at_once_one_wins(self, store: TokenStore) -> None:
        session = await _created(store)

        answers = await asyncio.gather(
            *(store.compare_and_set(ANN, session.id, 1, {"gen": gen}) for gen in range(2, 18))
        )

        assert answers.count(True) == 1
        found = await _read(store, session)
        assert found.version == 2
        assert found.gen == 2 + answers.index(True)

    async def test_a_revoked_session_says_when_and_why(self, store: TokenStore) -> None:
        session = await _created(store)

        assert await store.revoke(ANN, session.id, "logged_out", NOW + TICK) is True

        found = await _read(store, session)
        assert (found.revoked_at, found.revoke_reason) == (NOW + TICK, "logged_out")
        assert not found.is_live(NOW + TICK, sessions_from=0)

    async def test_the_first_revocation_stands(self, store: TokenStore) -> None:
        session = await _created(store)
        await store.revoke(ANN, session.id, "refresh_reused", NOW)
        first = await _read(store, session)

        assert await store.revoke(ANN, session.id, "logged_out", NOW + MINUTE) is False
        await store.revoke_all(ANN, "password_changed", NOW + MINUTE)

        assert await _read(store, session) == first

    async def test_a_session_is_revoked_whatever_its_version(self, store: TokenStore) -> None:
        session = await _created(store)
        await store.compare_and_set(ANN, session.id, 1, {"gen": 2})

        assert await store.revoke(ANN, session.id, "logged_out", NOW)

        found = await _read(store, session)
        assert found.gen == 2
        assert found.version > 2

    async def test_a_session_that_is_not_there_is_not_revoked(self, store: TokenStore) -> None:
        assert await store.revoke(ANN, "no-such-session", "logged_out", NOW) is False

    async def test_another_user_cannot_revoke_a_session(self, store: TokenStore) -> None:
        session = await _created(store)

        assert await store.revoke(BOB, session.id, "logged_out", NOW) is False

        assert await _read(store, session) == session

    async def test_other_sessions_of_the_user_live_on(self, store: TokenStore) -> None:
        session, other = await _created(store), await _created(store)

        await store.revoke(ANN, session.id, "logged_out", NOW)

        assert await _read(store, other) == other
        assert await store.epochs(ANN) == Epochs(0, 0)

    async def test_no_write_beside_a_revocation_undoes_it(self, store: TokenStore) -> None:
        session = await _created(store)

        answers = await asyncio.gather(
            *(_rotate_often(store, session) for _ in range(4)),
            store.revoke(ANN, session.id, "logged_out", NOW),
            store.revoke(ANN, session.id, "logged_out", NOW),
        )

        assert answers[-2:].count(True) == 1
        assert (await _read(store, session)).revoked_at == NOW

    async def test_a_user_nothing_happened_to_has_none(self, store: TokenStore) -> None:
        assert await store.epochs(ANN) == Epochs(0, 0)

    async def test_a_login_changes_none(self, store: TokenStore) -> None:
        await _created(store)

        assert await store.epochs(ANN) == Epochs(0, 0)

    async def test_voiding_access_tokens_leaves_sessions_alone(self, store: TokenStore) -> None:
        session = await _created(store)

        first, second = [await store.void_access_tokens(ANN, NOW) for _ in range(2)]

        assert 0 < first < second < 2**37  # access tokens carry no higher number
        assert await store.epochs(ANN) == Epochs(second, 0)
        assert await _read(store, session) == session

    async def test_ending_all_sessions_ends_all_of_one_user(self, store: TokenStore) -> None:
        anns = [await _created(store) for _ in range(3)]
        bobs = await _created(store, BOB)

        epoch = await store.revoke_all(ANN, "password_changed", NOW + TICK)

        assert epoch > 0
        assert await store.epochs(ANN) == Epochs(epoch, epoch)
        for session in anns:
            found = await _read(store, session)
            assert (found.revoked_at, found.revoke_reason) == (NOW + TICK, "password_changed")
        assert await _read(store, bobs) == bobs
        assert await store.epochs(BOB) == Epochs(0, 0)

    async def test_all_sessions_can_be_ended_again_and_again(self, store: TokenStore) -> None:
        first = await store.revoke_all(ANN, "logged_out_everywhere", NOW)
        voided = await store.void_access_tokens(ANN, NOW)
        second = await store.revoke_all(ANN, "logged_out_everywhere", NOW)

        assert first < voided < second
        assert await store.epochs(ANN) == Epochs(second, second)

    async def test_all_sessions_but_one_can_be_ended(self, store: TokenStore) -> None:
        kept, *others = [await _created(store) for _ in range(4)]
        bobs = await _created(store, BOB)
        await store.revoke(ANN, others[2].id, "refresh_reused", NOW)
        first = await _read(store, others[2])

        ended = await store.revoke_others(ANN, kept.id, "logged_out", NOW + TICK)

        assert sorted(ended) == sorted(session.id for session in others[:2])
        for session in others[:2]:
            found = await _read(store, session)
            assert (found.revoked_at, found.revoke_reason) == (NOW + TICK, "logged_out")
        assert await _read(store, kept) == kept
        assert await _read(store, bobs) == bobs
        assert await _read(store, others[2]) == first
        assert await store.list_by_user(ANN, NOW) == [kept]
        assert await store.epochs(ANN) == Epochs(0, 0)

    async def test_sessions_that_were_ended_beside_one_are_told(self, store: TokenStore) -> None:
        kept, other = await _created(store), await _created(store)

        await store.revoke_others(ANN, kept.id, "logged_out", NOW)

        revocations = await _revoked_since(store, None, NOW)
        assert other.id in revocations.session_ids
        assert kept.id not in revocations.session_ids

    async def test_ending_the_others_of_one_alone_or_of_nobody_ends_none(
        self, store: TokenStore
    ) -> None:
        kept = await _created(store)

        assert list(await store.revoke_others(ANN, kept.id, "logged_out", NOW)) == []
        assert list(await store.revoke_others(BOB, kept.id, "logged_out", NOW)) == []

        assert await _read(store, kept) == kept

    async def test_without_one_to_keep_every_session_ends(self, store: TokenStore) -> None:
        sessions = [await _created(store) for _ in range(3)]

        ended = await store.revoke_others(ANN, None, "logged_out", NOW)

        assert sorted(ended) == sorted(session.id for session in sessions)
        assert await store.list_by_user(ANN, NOW) == []

    async def test_a_login_beside_the_end_of_the_others_is_ended_or_stands_never_half(
        self, store: TokenStore
    ) -> None:
        kept, *others = [await _created(store) for _ in range(6)]
        logins = [_session() for _ in range(12)]

        results = await asyncio.gather(
            *(store.create(session) for session in logins[:6]),
            store.revoke_others(ANN, kept.id, "logged_out", NOW),
            store.revoke_others(ANN, kept.id, "logged_out", NOW),
            *(store.create(session) for session in logins[6:]),
        )

        ended = [session_id for result in results if result for session_id in result]
        assert len(ended) == len(set(ended))
        assert {session.id for session in others} <= set(ended)
        assert kept.id not in ended
        told = set((await _revoked_since(store, None, NOW)).session_ids)
        for session in logins:
            is_over = (await _read(store, session)).revoked_at is not None
            assert is_over == (session.id in ended) == (session.id in told)

    async def test_no_write_beside_the_end_of_the_others_undoes_it(self, store: TokenStore) -> None:
        kept, *others = [await _created(store) for _ in range(4)]

        await asyncio.gather(
            *(_rotate_often(store, session) for session in others),
            store.revoke_others(ANN, kept.id, "logged_out", NOW),
        )

        for session in others:
            assert (await _read(store, session)).revoked_at == NOW

    async def test_two_that_end_each_other_leave_one_or_none(self, store: TokenStore) -> None:
        one, other = await _created(store), await _created(store)

        ended = await asyncio.gather(
            store.revoke_others(ANN, one.id, "logged_out", NOW),
            store.revoke_others(ANN, other.id, "logged_out", NOW),
        )

        live = {session.id for session in await store.list_by_user(ANN, NOW)}
        assert live == {one.id, other.id} - {session_id for ids in ended for session_id in ids}

    async def test_epochs_outlive_the_sessions(self, store: TokenStore) -> None:
        await _created(store)
        epoch = await store.revoke_all(ANN, "password_changed", NOW)
        await store.purge(NOW + timedelta(days=60), limit=100)

        assert await store.epochs(ANN) == Epochs(epoch, epoch)
        with pytest.raises(StaleLogin):
            await store.create(_session(epoch=0))

    async def test_sixteen_changes_at_once_give_sixteen_epochs(self, store: TokenStore) -> None:
        epochs = await asyncio.gather(
            *(store.void_access_tokens(ANN, NOW) for _ in range(8)),
            *(store.revoke_all(ANN, "logged_out_everywhere", NOW) for _ in range(8)),
        )

        assert len(set(epochs)) == 16
        assert await store.epochs(ANN) == Epochs(max(epochs), max(epochs[8:]))

    @pytest.mark.parametrize("logged_in_before", [True, False])
    async def test_no_login_beside_the_end_of_all_sessions_outlives_it(
        self, store: TokenStore, logged_in_before: bool
    ) -> None:
        if logged_in_before:
            await _created(store)
        logins = [_session(epoch=0) for _ in range(12)]

        answers = await asyncio.gather(
            *(store.create(session) for session in logins[:6]),
            store.revoke_all(ANN, "password_changed", NOW),
            *(store.create(session) for session in logins[6:]),
            return_exceptions=True,
        )

        assert all(isinstance(answer, Sequence | int | StaleLogin) for answer in answers)
        for session in logins:
            stored = await store.get(ANN, session.id)
            assert stored is None or not stored.session.is_live(NOW, sessions_from=0)
        assert await store.list_by_user(ANN, NOW) == []

    async def test_twelve_first_logins_at_once_all_succeed(self, store: TokenStore) -> None:
        sessions = [_session() for _ in range(12)]

        await asyncio.gather(*(store.create(session) for session in sessions))

        found = await store.list_by_user(ANN, NOW)
        assert {session.id for session in found} == {session.id for session in sessions}

    async def test_a_login_that_is_one_too_many_ends_the_oldest_session(
        self, store: TokenStore
    ) -> None:
        oldest, *newer = [await _created(store, created_at=NOW + n * TICK) for n in range(3)]
        bobs = await _created(store, BOB, created_at=NOW - MINUTE)
        new = _session(created_at=NOW + MINUTE)

        assert list(await store.create(new, most=3)) == [oldest.id]

        found = await _read(store, oldest)
        assert (found.revoked_at, found.revoke_reason) == (NOW + MINUTE, "too_many_sessions")
        assert await store.list_by_user(ANN, NOW + MINUTE) == [new, *newer[::-1]]
        assert await _read(store, bobs) == bobs
        revocations = await _revoked_since(store, None, NOW + MINUTE)
        assert list(revocations.session_ids) == [oldest.id]

    async def test_a_login_within_the_limit_ends_none(self, store: TokenStore) -> None:
        sessions = [_session(created_at=NOW + n * TICK) for n in range(3)]

        ended = [list(await store.create(session, most=3)) for session in sessions]

        assert ended == [[], [], []]
        assert await store.list_by_user(ANN, NOW) == sessions[::-1]

    async def test_sessions_that_are_over_do_not_count_towards_the_limit(
        self, store: TokenStore
    ) -> None:
        await _created(store, created_at=NOW + TICK, expires_at=NOW + MINUTE)
        await store.revoke(ANN, (await _created(store)).id, "logged_out", NOW)
        epoch = await store.revoke_all(BOB, "password_changed", NOW)
        live = await _created(store, created_at=NOW - MINUTE)

        new = _session(created_at=NOW + MINUTE)
        bobs = _session(BOB, epoch=epoch, created_at=NOW + MINUTE)

        assert list(await store.create(new, most=2)) == []
        assert list(await store.create(bobs, most=1)) == []
        assert await store.list_by_user(ANN, NOW + MINUTE) == [new, live]

    async def test_sessions_that_an_end_of_all_ended_do_not_count_either(
        self, store: TokenStore
    ) -> None:
        for _ in range(3):
            await _created(store)
        epoch = await store.revoke_all(ANN, "password_changed", NOW)

        assert list(await store.create(_session(epoch=epoch), most=1)) == []

    async def test_the_new_session_stays_also_where_its_clock_is_behind(
        self, store: TokenStore
    ) -> None:
        ahead = await _created(store, created_at=NOW + MINUTE)
        new = _session(created_at=NOW)

        assert list(await store.create(new, most=1)) == [ahead.id]

        assert await store.list_by_user(ANN, NOW) == [new]

    async def test_a_limit_that_was_lowered_ends_as_many_as_are_too_many(
        self, store: TokenStore
    ) -> None:
        sessions = [await _created(store, created_at=NOW + n * TICK) for n in range(6)]
        new = _session(created_at=NOW + MINUTE)

        ended = await store.create(new, most=2)

        assert sorted(ended) == sorted(session.id for session in sessions[:5])
        assert await store.list_by_user(ANN, NOW + MINUTE) == [new, sessions[5]]

    async def test_which_session_of_one_moment_ends_is_no_accident(self, store: TokenStore) -> None:
        sessions = [await _created(store) for _ in range(5)]
        in_order = await store.list_by_user(ANN, NOW)
        assert {session.id for session in in_order} == {session.id for session in sessions}

        ended = await store.create(_session(created_at=NOW + TICK), most=3)

        assert set(ended) == {session.id for session in in_order[2:]}

    async def test_a_login_that_is_refused_makes_no_room(self, store: TokenStore) -> None:
        epoch = await store.revoke_all(ANN, "password_changed", NOW)
        live = await _created(store, epoch=epoch)

        with pytest.raises(StaleLogin):
            await store.create(_session(epoch=0), most=1)

        assert await store.list_by_user(ANN, NOW) == [live]

    @pytest.mark.parametrize("most", [1, 3])
    @pytest.mark.parametrize("logged_in_before", [True, False])
    async def test_sixteen_logins_at_once_leave_as_many_sessions_as_allowed(
        self, store: TokenStore, most: int, logged_in_before: bool
    ) -> None:
        before = [(await _created(store)).id] if logged_in_before else []
        logins = [_session() for _ in range(16)]

        results = await asyncio.gather(*(store.create(session, most=most) for session in logins))

        live = {session.id for session in await store.list_by_user(ANN, NOW)}
        ended = [session_id for result in results for session_id in result]
        assert len(live) == most
        assert len(ended) == len(set(ended))
        assert live | set(ended) == {*before, *(session.id for session in logins)}
        assert set((await _revoked_since(store, None, NOW)).session_ids) == set(ended)

    async def test_logins_beside_refreshes_and_logouts_keep_the_limit(
        self, store: TokenStore
    ) -> None:
        sessions = [await _created(store) for _ in range(4)]
        logins = [_session() for _ in range(8)]

        await asyncio.gather(
            *(store.create(session, most=2) for session in logins),
            *(_rotate_often(store, session) for session in sessions),
            *(store.revoke(ANN, session.id, "logged_out", NOW) for session in sessions),
            store.revoke_others(ANN, sessions[0].id, "logged_out", NOW),
        )

        live = await store.list_by_user(ANN, NOW)
        assert len(live) <= 2

    async def test_live_sessions_are_listed_newest_first(self, store: TokenStore) -> None:
        first = await _created(store, created_at=NOW - MINUTE)
        second = await _created(store, created_at=NOW + MINUTE)
        third = await _created(store, created_at=NOW)

        assert await store.list_by_user(ANN, NOW) == [second, third, first]

    async def test_what_is_over_is_not_listed(self, store: TokenStore) -> None:
        await _created(store, expires_at=NOW)
        await _created(store, idle_expires_at=NOW)
        revoked = await _created(store)
        await store.revoke(ANN, revoked.id, "logged_out", NOW)
        live = await _created(store, expires_at=NOW + TICK, idle_expires_at=NOW + TICK)

        assert await store.list_by_user(ANN, NOW) == [live]

    async def test_sessions_of_another_user_are_not_listed(self, store: TokenStore) -> None:
        await _created(store)

        assert await store.list_by_user(BOB, NOW) == []

    async def test_after_the_end_of_all_only_new_sessions_are_listed(
        self, store: TokenStore
    ) -> None:
        await _created(store)
        epoch = await store.revoke_all(ANN, "password_changed", NOW)
        new = await _created(store, epoch=epoch)

        assert await store.list_by_user(ANN, NOW) == [new]

    async def test_a_list_holds_as_many_sessions_as_asked_for(self, store: TokenStore) -> None:
        sessions = [await _created(store, created_at=NOW + n * TICK) for n in range(4)]
        newest_first = sessions[::-1]

        assert await store.list_by_user(ANN, NOW, limit=3) == newest_first[:3]
        assert await store.list_by_user(ANN, NOW, limit=1000) == newest_first

    async def test_a_list_goes_on_behind_the_session_it_is_given(self, store: TokenStore) -> None:
        sessions = [await _created(store, created_at=NOW + n * MINUTE) for n in range(5)]
        newest_first = sessions[::-1]

        for place, session in enumerate(newest_first):
            page = await store.list_by_user(ANN, NOW, limit=2, after=session.id)
            assert page == newest_first[place + 1 : place + 3]

    async def test_pages_hold_each_session_once_also_those_of_one_moment(
        self, store: TokenStore
    ) -> None:
        moments = [NOW, NOW, NOW, NOW + TICK, NOW + TICK, NOW + 2 * TICK, NOW, NOW + TICK]
        sessions = [await _created(store, created_at=moment) for moment in moments]
        pages = [await store.list_by_user(ANN, NOW, limit=2)]

        while pages[-1]:
            pages.append(await store.list_by_user(ANN, NOW, limit=2, after=pages[-1][-1].id))

        paged = [session for page in pages for session in page]
        assert len(paged) == len(sessions)
        assert paged == await store.list_by_user(ANN, NOW)
        assert [s.created_at for s in paged] == sorted(moments, reverse=True)

    async def test_sessions_that_are_over_leave_no_gap_in_a_page(self, store: TokenStore) -> None:
        live = [await _created(store, created_at=NOW + n * TICK) for n in range(3)]
        for n in range(3, 9):
            await _created(store, created_at=NOW + n * TICK, expires_at=NOW + MINUTE)

        later = NOW + MINUTE
        assert await store.list_by_user(ANN, later, limit=2) == [live[2], live[1]]
        assert await store.list_by_user(ANN, later, limit=2, after=live[1].id) == [live[0]]

    async def test_a_list_goes_on_behind_a_session_that_ended_meanwhile(
        self, store: TokenStore
    ) -> None:
        old, middle, _ = [await _created(store, created_at=NOW + n * TICK) for n in range(3)]
        await store.revoke(ANN, middle.id, "logged_out", NOW)

        assert await store.list_by_user(ANN, NOW, after=middle.id) == [old]

    async def test_a_list_cannot_go_on_behind_a_session_of_nobody_or_of_another(
        self, store: TokenStore
    ) -> None:
        await _created(store)
        bobs = await _created(store, BOB)

        for session_id in ("no-such-session", bobs.id, ""):
            with pytest.raises(LookupError):
                await store.list_by_user(ANN, NOW, after=session_id)

    async def test_at_first_everything_that_may_matter_is_told(self, store: TokenStore) -> None:
        session = await _created(store)
        await store.revoke(ANN, session.id, "logged_out", NOW)
        epoch = await store.revoke_all(BOB, "password_changed", NOW)

        revocations = await _revoked_since(store, None, NOW + MINUTE)

        assert session.id in revocations.session_ids
        assert (BOB, epoch) in revocations.epochs

    async def test_nothing_revoked_is_nothing_told(self, store: TokenStore) -> None:
        session = await _created(store)

        revocations = await _revoked_since(store, None, NOW)

        assert session.id not in revocations.session_ids
        assert all(epoch == 0 for _, epoch in revocations.epochs)

    async def test_from_one_cursor_to_the_next_nothing_is_missed(self, store: TokenStore) -> None:
        sessions = [await _created(store) for _ in range(5)]
        told: set[str] = set()
        cursor = None

        for number, session in enumerate(sessions):
            now = NOW + number * MINUTE * 10
            await store.revoke(ANN, session.id, "logged_out", now)
            revocations = await _revoked_since(store, cursor, now)
            cursor = revocations.cursor

            told |= set(revocations.session_ids)
            assert session.id in told

        assert told == {session.id for session in sessions}

    async def test_a_revocation_that_is_seen_late_is_not_missed(self, store: TokenStore) -> None:
        session = await _created(store)
        cursor = (await _revoked_since(store, None, NOW)).cursor

        await store.revoke(ANN, session.id, "logged_out", NOW - timedelta(seconds=30))
        epoch = await store.void_access_tokens(ANN, NOW - timedelta(seconds=30))
        revocations = await _revoked_since(store, cursor, NOW)

        assert session.id in revocations.session_ids
        assert (ANN, epoch) in revocations.epochs

    async def test_old_news_is_not_told_for_ever(self, store: TokenStore) -> None:
        session = await _created(store)
        await store.revoke(ANN, session.id, "logged_out", NOW)
        await store.void_access_tokens(ANN, NOW)
        cursor = (await _revoked_since(store, None, NOW + 10 * MINUTE)).cursor

        revocations = await _revoked_since(store, cursor, NOW + 20 * MINUTE)

        assert list(revocations.session_ids) == []
        assert list(revocations.epochs) == []

    async def test_news_of_as_long_as_an_access_token_lives_is_told_at_first(
        self, store: TokenStore
    ) -> None:
        session = await _created(store)
        await store.revoke(ANN, session.id, "logged_out", NOW)
        epoch = await store.void_access_tokens(ANN, NOW)

        revocations = await _revoked_since(store, None, NOW + 15 * MINUTE)

        assert session.id in revocations.session_ids
        assert (ANN, epoch) in revocations.epochs

    async def test_the_end_of_all_sessions_is_told_as_an_epoch(self, store: TokenStore) -> None:
        ended = await _created(store)
        await store.revoke(ANN, ended.id, "logged_out", NOW)
        for _ in range(3):
            await _created(store)
        await store.void_access_tokens(ANN, NOW)
        epoch = await store.revoke_all(ANN, "password_changed", NOW)

        revocations = await _revoked_since(store, None, NOW)

        assert max(epoch for user_id, epoch in revocations.epochs if user_id == ANN) == epoch
        assert set(revocations.session_ids) == {ended.id}

    async def test_sessions_that_ended_before_are_deleted(self, store: TokenStore) -> None:
        revoked = await _created(store)
        await store.revoke(ANN, revoked.id, "logged_out", NOW - TICK)
        over = await _created(store, expires_at=NOW - TICK)
        idle = await _created(store, BOB, idle_expires_at=NOW - TICK)

        assert await store.purge(NOW, limit=100) == self._purged(3)

        found = [await store.get(s.user_id, s.id) for s in (revoked, over, idle)]
        assert found.count(None) == self._purged(3)

    async def test_sessions_that_ended_since_are_kept(self, store: TokenStore) -> None:
        revoked = await _created(store)
        await store.revoke(ANN, revoked.id, "logged_out", NOW)
        over = await _created(store, expires_at=NOW)
        idle = await _created(store, idle_expires_at=NOW)

        assert await store.purge(NOW, limit=100) == 0

        for session in (revoked, over, idle):
            assert await store.get(ANN, session.id) is not None

    async def test_a_live_session_is_never_deleted(self, store: TokenStore) -> None:
        live = [await _created(store) for _ in range(3)]
        ended = [await _created(store, expires_at=NOW - MINUTE) for _ in range(3)]

        deleted = await asyncio.gather(
            *(store.purge(NOW, limit=100) for _ in range(4)),
            *(store.compare_and_set(ANN, session.id, 1, {"gen": 2}) for session in live),
        )

        assert sum(deleted[:4]) == self._purged(len(ended))
        assert {session.id for session in await store.list_by_user(ANN, NOW)} == {
            session.id for session in live
        }

    async def test_not_more_are_deleted_than_allowed(self, store: TokenStore) -> None:
        for _ in range(5):
            await _created(store, expires_at=NOW - MINUTE)

        counts = [await store.purge(NOW, limit=2) for _ in range(4)]

        assert counts == [self._purged(count) for count in (2, 2, 1, 0)]

    async def test_an_empty_store_has_nothing_to_delete(self, store: TokenStore) -> None:
        assert await store.purge(NOW, limit=10) == 0

    def _purged(self, count: int) -> int:
        return 0 if self.expires_by_itself else count


def _session(user_id: str = ANN, at: datetime = NOW, **fields: Any) -> Session:
    session = Session.start(
        user_id, at, epoch=0, idle_ttl=timedelta(days=7), absolute_ttl=timedelta(days=30)
    )
    session = replace(session, **fields)
    return replace(session, idle_expires_at=session.ends_at)  # as every real session has it


async def _created(store: TokenStore, user_id: str = ANN, **fields: Any) -> Session:
    session = _session(user_id, **fields)
    await store.create(session)
    return session


async def _revoked_since(store: TokenStore, cursor: str | None, now: datetime) -> Revocations:
    """Read page after page to the end."""
    session_ids: list[str] = []
    epochs: list[tuple[str, int]] = []
    has_more = True
    while has_more:
        page = await store.revoked_since(cursor, now, keep=15 * MINUTE)
        session_ids += page.session_ids
        epochs += page.epochs
        cursor, has_more = page.cursor, page.has_more
    return Revocations(session_ids, epochs, str(cursor))


async def _read(store: TokenStore, session: Session) -> Session:
    stored = await store.get(session.user_id, session.id)
    assert stored is not None
    return stored.session


async def _rotate_often(store: TokenStore, session: Session) -> None:
    for _ in range(5):
        found = await _read(store, session)
        await store.compare_and_set(
            session.user_id, session.id, found.version, {"gen": found.gen + 1}
        )
