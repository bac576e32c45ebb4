"""The rotation rule: decide() and confirm(), row by row of the table in docs/security.md."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jwt_auth_kit import Session
from jwt_auth_kit.sessions import Decision, Outcome, confirm, decide

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
WINDOW = timedelta(seconds=30)
IDLE = timedelta(days=7)
ABSOLUTE = timedelta(days=30)


def session(**fields: Any) -> Session:
    """A session in the middle of its life: generation 5, made of 4, after orphans 2 and 3."""
    start = Session.start("42", NOW - IDLE / 2, epoch=3, idle_ttl=IDLE, absolute_ttl=ABSOLUTE)
    return replace(start, **{"gen": 5, "parent": 4, "window_from": NOW, **fields})


def decided(session: Session, gen: int, now: datetime = NOW, sessions_from: int = 3) -> Decision:
    return decide(session, gen, now, sessions_from=sessions_from, window=WINDOW, idle_ttl=IDLE)


def confirmed(session: Session, gen: int, now: datetime = NOW, sessions_from: int = 3) -> Decision:
    return confirm(session, gen, now, sessions_from=sessions_from)


class TestABeginning:
    def test_a_new_session_holds_one_unconfirmed_generation(self) -> None:
        new = Session.start(
            "42",
            NOW,
            epoch=7,
            idle_ttl=IDLE,
            absolute_ttl=ABSOLUTE,
            ip="192.0.2.1",
            user_agent="Firefox",
        )

        assert (new.gen, new.parent, new.confirmed, new.version) == (1, 0, False, 1)
        assert (new.user_id, new.epoch, new.ip, new.user_agent) == ("42", 7, "192.0.2.1", "Firefox")
        assert new.created_at == new.auth_time == new.window_from == new.last_seen_at == NOW
        assert (new.expires_at, new.idle_expires_at) == (NOW + ABSOLUTE, NOW + IDLE)
        assert (new.revoked_at, new.revoke_reason) == (None, None)

    def test_idle_life_begins_within_the_absolute_one(self) -> None:
        new = Session.start("42", NOW, epoch=0, idle_ttl=ABSOLUTE, absolute_ttl=IDLE)

        assert new.idle_expires_at == new.expires_at == NOW + IDLE

    def test_ids_and_salts_are_long_and_never_the_same(self) -> None:
        sessions = [session() for _ in range(50)]

        assert len({one.id for one in sessions}) == len({one.salt for one in sessions}) == 50
        assert all(len(one.id) >= 22 and len(one.salt) >= 16 for one in sessions)
        assert all(len(one.id) <= 32 and one.id.isascii() for one in sessions)

    def test_a_session_cannot_be_changed_in_place(self) -> None:
        with pytest.raises(FrozenInstanceError):
            session().gen = 9  # type: ignore[misc]

    def test_a_written_change_raises_the_version(self) -> None:
        before = session(version=8)

        after = before.changed({"gen": 6, "confirmed": True})

        assert after == replace(before, gen=6, confirmed=True, version=9)


class TestRefreshIds:
    def test_a_refresh_id_is_a_mac_of_the_generation_under_the_salt(self) -> None:
        one = session()

        tag = hmac.digest(one.salt, f"{one.id}.5".encode(), hashlib.sha256)

        assert one.refresh_id(5) == one.refresh_id(5)
        assert urlsafe_b64encode(tag).decode().startswith(one.refresh_id(5))
        assert len(one.refresh_id(5)) >= 22

    def test_generations_sessions_and_salts_give_different_ids(self) -> None:
        one = session()

        others = [
            *(one.refresh_id(gen) for gen in (1, 4, 5, 6, 55)),
            replace(one, id="another").refresh_id(5),
            replace(one, salt=b"another salt ...").refresh_id(5),
        ]

        assert len(set(others)) == len(others)


class TestDead:
    @pytest.mark.parametrize(
        "fields",
        [
            {"revoked_at": NOW - SECOND, "revoke_reason": "logged_out"},
            {"revoked_at": NOW + SECOND},
            {"expires_at": NOW},
            {"expires_at": NOW - SECOND},
            {"idle_expires_at": NOW},
            {"idle_expires_at": NOW - SECOND},
            {"epoch": 2},
        ],
        ids=["revoked", "revoked-ahead", "end", "past-end", "idle", "past-idle", "epoch"],
    )
    @pytest.mark.parametrize("gen", [1, 3, 4, 5, 6])
    def test_a_session_that_is_over_gives_nothing_to_any_generation(
        self, fields: dict[str, Any], gen: int
    ) -> None:
        over = session(**fields)

        assert decided(over, gen) == Decision(Outcome.DEAD)
        assert confirmed(over, gen) == Decision(Outcome.DEAD)
        assert not over.is_live(NOW, sessions_from=3)

    @pytest.mark.parametrize(
        "fields", [{"expires_at": NOW + TICK}, {"idle_expires_at": NOW + TICK}, {"epoch": 3}]
    )
    def test_a_session_lives_until_its_very_end(self, fields: dict[str, Any]) -> None:
        assert decided(session(**fields), 5).outcome is Outcome.KEEP
        assert session(**fields).is_live(NOW, sessions_from=3)

    def test_a_session_of_a_later_epoch_lives(self) -> None:
        assert session(epoch=4).is_live(NOW, sessions_from=3)


class TestTheNewestGeneration:
    @pytest.mark.parametrize("late", [timedelta(0), SECOND, WINDOW - TICK, WINDOW])
    def test_within_the_window_it_is_kept_and_confirmed(self, late: timedelta) -> None:
        now = NOW + late

        decision = decided(session(confirmed=False), 5, now)

        assert decision == Decision(
            Outcome.KEEP, {"confirmed": True, "window_from": now, "last_seen_at": now}
        )

    @pytest.mark.parametrize("late", [timedelta(0), WINDOW])
    def test_once_confirmed_keeping_it_writes_nothing(self, late: timedelta) -> None:
        assert decided(session(confirmed=True), 5, NOW + late) == Decision(Outcome.KEEP)

    @pytest.mark.parametrize("is_confirmed", [True, False])
    @pytest.mark.parametrize("late", [WINDOW + TICK, timedelta(days=3)])
    def test_after_the_window_it_rotates(self, is_confirmed: bool, late: timedelta) -> None:
        now = NOW + late

        decision = decided(session(confirmed=is_confirmed), 5, now)

        assert decision == Decision(
            Outcome.ROTATE,
            {
                "gen": 6,
                "parent": 5,
                "confirmed": False,
                "window_from": now,
                "idle_expires_at": now + IDLE,
                "last_seen_at": now,
            },
        )

    def test_a_clock_that_is_behind_counts_as_within_the_window(self) -> None:
        assert decided(session(confirmed=True), 5, NOW - SECOND).outcome is Outcome.KEEP

    def test_without_a_window_every_later_refresh_rotates(self) -> None:
        decision = decide(
            session(), 5, NOW + TICK, sessions_from=0, window=timedelta(0), idle_ttl=IDLE
        )

        assert decision.outcome is Outcome.ROTATE


class TestItsParent:
    @pytest.mark.parametrize("late", [timedelta(0), SECOND - TICK])
    def test_a_repeated_answer_within_a_second_writes_nothing(self, late: timedelta) -> None:
        assert decided(session(confirmed=False), 4, NOW + late) == Decision(Outcome.REPLAY)

    @pytest.mark.parametrize("late", [SECOND, WINDOW - TICK, WINDOW])
    def test_a_repeated_answer_moves_the_window_until_confirmed(self, late: timedelta) -> None:
        decision = decided(session(confirmed=False), 4, NOW + late)

        assert decision == Decision(Outcome.REPLAY, {"window_from": NOW + late})

    @pytest.mark.parametrize("late", [timedelta(0), SECOND, WINDOW])
    def test_once_confirmed_a_repeated_answer_moves_nothing(self, late: timedelta) -> None:
        assert decided(session(confirmed=True), 4, NOW + late) == Decision(Outcome.REPLAY)

    @pytest.mark.parametrize("late", [WINDOW + TICK, timedelta(days=3)])
    def test_late_and_unconfirmed_it_gets_a_new_successor(self, late: timedelta) -> None:
        now = NOW + late

        decision = decided(session(confirmed=False), 4, now)

        assert decision == Decision(
            Outcome.RENEW,
            {
                "gen": 6,
                "confirmed": False,
                "window_from": now,
                "idle_expires_at": now + IDLE,
                "last_seen_at": now,
            },
        )

    @pytest.mark.parametrize("late", [WINDOW + TICK, timedelta(days=3)])
    def test_late_and_confirmed_it_ends_the_session(self, late: timedelta) -> None:
        assert decided(session(confirmed=True), 4, NOW + late) == Decision(Outcome.REUSE)

    def test_after_a_renewal_the_client_that_asked_goes_on(self) -> None:
        renewed = after(session(confirmed=False), 4, NOW + WINDOW + TICK)

        assert (renewed.gen, renewed.parent) == (6, 4)
        assert decided(renewed, 6, renewed.window_from).outcome is Outcome.KEEP
        assert decided(renewed, 4, renewed.window_from).outcome is Outcome.REPLAY


class TestOlderGenerations:
    @pytest.mark.parametrize("gen", [-1, 0, 1, 2, 3])
    @pytest.mark.parametrize("is_confirmed", [True, False])
    @pytest.mark.parametrize("late", [timedelta(0), WINDOW, WINDOW + TICK, timedelta(days=3)])
    def test_a_spent_generation_ends_the_session_whenever_it_comes(
        self, gen: int, is_confirmed: bool, late: timedelta
    ) -> None:
        assert decided(session(confirmed=is_confirmed), gen, NOW + late) == Decision(Outcome.REUSE)

    @pytest.mark.parametrize("gen", [5, 6, 7])
    @pytest.mark.parametrize("late", [timedelta(0), WINDOW, WINDOW + TICK])
    def test_an_orphan_ends_the_session_whenever_it_comes(self, gen: int, late: timedelta) -> None:
        renewed_thrice = session(gen=8, parent=4)

        assert decided(renewed_thrice, gen, NOW + late) == Decision(Outcome.REUSE)


class TestANewerGeneration:
    @pytest.mark.parametrize("gen", [6, 7, 2**40])
    @pytest.mark.parametrize("late", [timedelta(0), WINDOW, WINDOW + TICK])
    @pytest.mark.parametrize(("is_confirmed", "parent"), [(True, 5), (False, 4)])
    def test_a_write_the_store_lost_is_made_up_for(
        self, is_confirmed: bool, parent: int, gen: int, late: timedelta
    ) -> None:
        now = NOW + late

        decision = decided(session(confirmed=is_confirmed), gen, now)

        assert decision == Decision(
            Outcome.ADOPT,
            {
                "gen": gen,
                "parent": parent,
                "confirmed": True,
                "known_gen": 5,
                "window_from": now,
                "idle_expires_at": now + IDLE,
                "last_seen_at": now,
            },
        )

    def test_after_it_the_adopted_generation_is_kept(self) -> None:
        adopted = after(session(), 9, NOW)

        assert decided(adopted, 9, NOW) == Decision(Outcome.KEEP)

    @pytest.mark.parametrize("gen", [5, 6, 7, 8])
    @pytest.mark.parametrize("is_confirmed", [True, False])
    def test_an_access_token_of_what_was_lost_is_no_orphan(
        self, gen: int, is_confirmed: bool
    ) -> None:
        adopted = after(session(confirmed=is_confirmed), 9, NOW)

        assert confirmed(adopted, gen) == Decision(Outcome.KEEP)

    @pytest.mark.parametrize("gen", [5, 6, 7, 8])
    def test_a_refresh_token_of_what_was_lost_is_treated_as_the_parent(self, gen: int) -> None:
        adopted = after(session(confirmed=True), 9, NOW)

        assert decided(adopted, gen, NOW + WINDOW) == Decision(Outcome.REPLAY)
        assert decided(adopted, gen, NOW + WINDOW + TICK) == Decision(Outcome.REUSE)

    def test_where_a_renewal_may_have_been_lost_the_parent_of_before_stays_one(self) -> None:
        adopted = after(session(gen=7, parent=4, confirmed=False), 9, NOW)

        assert decided(adopted, 4, NOW + WINDOW) == Decision(Outcome.REPLAY)
        assert decided(adopted, 4, NOW + WINDOW + TICK) == Decision(Outcome.REUSE)

    @pytest.mark.parametrize("gen", [5, 6])
    def test_an_orphan_that_the_store_knew_stays_one(self, gen: int) -> None:
        adopted = after(session(gen=7, parent=4, confirmed=False), 9, NOW)

        assert confirmed(adopted, gen) == Decision(Outcome.REUSE)
        assert decided(adopted, gen) == Decision(Outcome.REUSE)

    @pytest.mark.parametrize("gen", [5, 6, 7, 8, 9])
    def test_a_rotation_makes_everything_before_it_known_again(self, gen: int) -> None:
        adopted = after(session(), 9, NOW)
        rotated = after(adopted, 9, NOW + WINDOW + TICK)
        renewed = after(rotated, 9, NOW + 3 * WINDOW)

        assert (renewed.gen, renewed.parent) == (11, 9)
        assert decided(rotated, gen, NOW + 2 * WINDOW).outcome is (
            Outcome.REPLAY if gen == 9 else Outcome.REUSE
        )
        assert confirmed(renewed, 10) == Decision(Outcome.REUSE)


class TestTheEnds:
    @pytest.mark.parametrize(
        ("gen", "outcome"), [(5, Outcome.ROTATE), (4, Outcome.RENEW), (6, Outcome.ADOPT)]
    )
    def test_idle_life_never_goes_past_the_absolute_end(self, gen: int, outcome: Outcome) -> None:
        near_the_end = session(expires_at=NOW + timedelta(days=1))

        decision = decided(near_the_end, gen, NOW + WINDOW + TICK)

        assert decision.outcome is outcome
        assert decision.changes is not None
        assert decision.changes["idle_expires_at"] == NOW + timedelta(days=1)

    @pytest.mark.parametrize("gen", [4, 5])
    def test_a_repeated_answer_does_not_prolong_idle_life(self, gen: int) -> None:
        kept = after(session(), gen, NOW + 5 * SECOND)

        assert kept.idle_expires_at == session().idle_expires_at


class TestConfirm:
    @pytest.mark.parametrize("late", [timedelta(0), WINDOW, timedelta(hours=1)])
    def test_the_first_sight_of_the_newest_generation_confirms_it(self, late: timedelta) -> None:
        now = NOW + late

        decision = confirmed(session(confirmed=False), 5, now)

        assert decision == Decision(
            Outcome.CONFIRM, {"confirmed": True, "window_from": now, "last_seen_at": now}
        )

    def test_a_second_sight_writes_nothing(self) -> None:
        assert confirmed(session(confirmed=True), 5) == Decision(Outcome.KEEP)

    @pytest.mark.parametrize("gen", [1, 3, 4])
    @pytest.mark.parametrize("is_confirmed", [True, False])
    def test_an_access_token_of_before_is_nothing_special(
        self, gen: int, is_confirmed: bool
    ) -> None:
        assert confirmed(session(confirmed=is_confirmed), gen) == Decision(Outcome.KEEP)

    @pytest.mark.parametrize("gen", [5, 6, 7])
    def test_an_access_token_of_an_orphan_ends_the_session(self, gen: int) -> None:
        assert confirmed(session(gen=8, parent=4), gen) == Decision(Outcome.REUSE)

    def test_an_access_token_of_a_lost_generation_changes_nothing(self) -> None:
        assert confirmed(session(), 6) == Decision(Outcome.KEEP)

    def test_confirmation_starts_the_window_of_the_parent_anew(self) -> None:
        seen = session(confirmed=False).changed({"confirmed": True, "window_from": NOW + SECOND})

        assert decided(seen, 4, NOW + SECOND + WINDOW).outcome is Outcome.REPLAY
        assert decided(seen, 4, NOW + SECOND + WINDOW + TICK).outcome is Outcome.REUSE


def after(session: Session, gen: int, now: datetime) -> Session:
    """The session once the decision is written."""
    return session.changed(decided(session, gen, now).changes or {})


STEPS = st.lists(
    st.tuples(
        st.integers(-3, 0),
        st.sampled_from([0, 0.5, 1, 5, 29.999999, 30, 30.000001, 31, 3600, 300_000, 600_000]),
        st.booleans(),
    ),
    max_size=30,
)
"""Each step: how far behind the newest generation, seconds since the step before, confirm too."""


class TestWhateverHappens:
    @settings(deadline=None)
    @given(STEPS)
    def test_the_generation_never_falls_and_rises_once_a_window(
        self, steps: list[tuple[int, float, bool]]
    ) -> None:
        one, now = session(gen=1, parent=0), NOW
        last_rise = None

        for behind, seconds, sighted in steps:
            now += timedelta(seconds=seconds)
            decision = decided(one, max(0, one.gen + behind), now)
            following = one.changed(decision.changes or {})

            assert following.gen - one.gen == (
                1 if decision.outcome in {Outcome.ROTATE, Outcome.RENEW} else 0
            )
            if following.gen > one.gen:
                assert last_rise is None or now - last_rise > WINDOW
                last_rise = now
            one = following
            if sighted:
                one = one.changed(confirmed(one, one.gen, now).changes or {})

    @settings(deadline=None)
    @given(STEPS)
    def test_the_ends_of_a_session_hold(self, steps: list[tuple[int, float, bool]]) -> None:
        one, now = session(), NOW

        for behind, seconds, _ in steps:
            now += timedelta(seconds=seconds)
            decision = decided(one, max(0, one.gen + behind), now)
            following = one.changed(decision.changes or {})

            assert following.expires_at == one.expires_at
            assert one.idle_expires_at <= following.idle_expires_at <= one.expires_at
            assert (decision.outcome is Outcome.DEAD) is not one.is_live(now, sessions_from=3)
            one = following

    @settings(deadline=None)
    @given(
        gen=st.integers(1, 50),
        orphans=st.integers(0, 5),
        older=st.integers(1, 50),
        seconds=st.integers(-60, 500_000),
        is_confirmed=st.booleans(),
    )
    def test_what_is_neither_newest_nor_parent_is_reuse(
        self, gen: int, orphans: int, older: int, seconds: int, is_confirmed: bool
    ) -> None:
        parent = max(0, gen - 1 - orphans)
        one = session(gen=gen, parent=parent, confirmed=is_confirmed, idle_expires_at=NOW + IDLE)
        presented = gen - older

        outcome = decided(one, presented, NOW + timedelta(seconds=seconds)).outcome

        assert (outcome is Outcome.REUSE) or presented == parent

    @settings(deadline=None)
    @given(seconds=st.floats(0, 100_000), is_confirmed=st.booleans())
    def test_two_tabs_that_send_one_token_both_go_on(
        self, seconds: float, is_confirmed: bool
    ) -> None:
        one, now = session(confirmed=is_confirmed), NOW + timedelta(seconds=seconds)

        first = after(one, 5, now)
        second = decided(first, 5, now + 10 * SECOND)

        assert second.outcome in {Outcome.KEEP, Outcome.REPLAY, Outcome.ROTATE}
        assert first.changed(second.changes or {}).gen in {first.gen, first.gen + 1}
