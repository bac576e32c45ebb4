"""How a process learns what others revoked, and what it does when it cannot."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import anyio
import pytest

from apps import EMAIL, PASSWORD, Clock, make_kit
from jwt_auth_kit import AuthKit, MemoryTokenStore, MemoryUserStore, RevokedToken, StoreUnavailable
from jwt_auth_kit.stores.base import Revocations


class WatchedStore(MemoryTokenStore):
    """Counts how often the feed is read, slowly, and fails when told to."""

    reads = 0
    feed_is_down = is_down = False

    async def revoked_since(self, *arguments: Any, **options: Any) -> Revocations:
        self.reads += 1
        await anyio.sleep(0.01)
        if self.feed_is_down:
            raise StoreUnavailable
        return await super().revoked_since(*arguments, **options)

    async def get(self, *arguments: Any) -> Any:
        if self.is_down:
            raise StoreUnavailable
        return await super().get(*arguments)


class TwoProcesses:
    """Two kits with one database, as two processes have."""

    def __init__(self, **settings: Any) -> None:
        users = MemoryUserStore()
        self.store = WatchedStore()
        self.here = make_kit(users=users, tokens=self.store, settings=settings)
        self.there = make_kit(users=users, tokens=self.store, keys=self.here.jwt.keys)


async def passes(kit: AuthKit, token: str) -> bool:
    try:
        await kit.authenticate(token)
    except RevokedToken:
        return False
    return True


@pytest.mark.parametrize("ending", ["end_session", "logout_all", "disable_user", "set_role"])
async def test_what_one_process_revokes_the_other_refuses_after_the_interval(ending: str) -> None:
    two = TwoProcesses(revocation_interval=0.2)
    signed_in = await two.here.register(EMAIL, PASSWORD)
    token, user_id = signed_in.tokens.access_token, str(signed_in.user.id)
    assert await passes(two.here, token)
    arguments: Sequence[str] = {
        "end_session": [user_id, signed_in.session_id],
        "set_role": [user_id, "editor"],
    }.get(ending, [user_id])

    await getattr(two.there, ending)(*arguments)
    await anyio.sleep(0.25)

    assert not await passes(two.here, token)


async def test_an_interval_of_zero_reads_before_every_request() -> None:
    two = TwoProcesses(revocation_interval=0)
    signed_in = await two.here.register(EMAIL, PASSWORD)
    assert await passes(two.here, signed_in.tokens.access_token)

    await two.there.logout(signed_in.tokens.refresh_token, "refresh")

    assert not await passes(two.here, signed_in.tokens.access_token)


async def test_a_process_that_starts_knows_what_was_revoked_before() -> None:
    two = TwoProcesses(revocation_interval=300)
    signed_in = await two.there.register(EMAIL, PASSWORD)
    await two.there.logout(signed_in.tokens.refresh_token, "refresh")

    assert not await passes(two.here, signed_in.tokens.access_token)


async def test_many_requests_share_one_read() -> None:
    two = TwoProcesses()
    signed_in = await two.here.register(EMAIL, PASSWORD)

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(two.here.authenticate, signed_in.tokens.access_token)

    assert two.store.reads == 1


async def test_a_request_that_is_given_up_leaves_the_read_to_the_others() -> None:
    two = TwoProcesses()
    signed_in = await two.here.register(EMAIL, PASSWORD)
    results: list[bool] = []

    async def ask() -> None:
        results.append(await passes(two.here, signed_in.tokens.access_token))

    async with anyio.create_task_group() as group:
        with anyio.move_on_after(0.001):
            await ask()
        group.start_soon(ask)

    assert results == [True]
    assert two.store.reads == 1


async def test_check_asks_the_store_about_each_token_while_the_feed_is_down() -> None:
    two = TwoProcesses(when_stale="check")
    good = await two.here.register(EMAIL, PASSWORD)
    bad = await two.here.login(EMAIL, PASSWORD)
    two.store.feed_is_down = True

    await two.there.logout(bad.tokens.refresh_token, "refresh")

    assert await passes(two.here, good.tokens.access_token)
    assert not await passes(two.here, bad.tokens.access_token)


async def test_check_knows_raised_epochs_of_tokens_without_a_session() -> None:
    two = TwoProcesses(when_stale="check")
    user_id = str((await two.here.register(EMAIL, PASSWORD)).user.id)
    token = two.here.jwt.create_access_token({"user_id": user_id})
    two.store.feed_is_down = True
    assert await passes(two.here, token)

    await two.there.set_role(user_id, "editor")

    assert not await passes(two.here, token)


async def test_check_refuses_the_token_of_a_session_nobody_knows() -> None:
    two = TwoProcesses(when_stale="check")
    other = make_kit(keys=two.here.jwt.keys)
    signed_in = await other.register(EMAIL, PASSWORD)
    two.store.feed_is_down = True

    assert not await passes(two.here, signed_in.tokens.access_token)


async def test_check_answers_503_when_the_store_is_down_too() -> None:
    two = TwoProcesses(when_stale="check")
    signed_in = await two.here.register(EMAIL, PASSWORD)
    two.store.feed_is_down = two.store.is_down = True

    with pytest.raises(StoreUnavailable):
        await two.here.authenticate(signed_in.tokens.access_token)


async def test_reject_answers_503_while_the_feed_is_down() -> None:
    two = TwoProcesses(when_stale="reject")
    signed_in = await two.here.register(EMAIL, PASSWORD)
    two.store.feed_is_down = True

    with pytest.raises(StoreUnavailable):
        await two.here.authenticate(signed_in.tokens.access_token)


async def test_allow_lets_tokens_pass_while_the_feed_is_down() -> None:
    two = TwoProcesses(when_stale="allow")
    signed_in = await two.here.register(EMAIL, PASSWORD)
    await two.there.logout(signed_in.tokens.refresh_token, "refresh")
    two.store.feed_is_down = two.store.is_down = True

    assert await passes(two.here, signed_in.tokens.access_token)


async def test_a_feed_that_is_down_is_tried_again_once_a_second_and_recovers() -> None:
    two = TwoProcesses(when_stale="check", revocation_interval=300)
    signed_in = await two.here.register(EMAIL, PASSWORD)
    two.store.feed_is_down = True
    for _ in range(20):
        await two.here.authenticate(signed_in.tokens.access_token)
    assert two.store.reads == 1
    two.store.feed_is_down = False
    await anyio.sleep(1.05)

    for _ in range(20):
        await two.here.authenticate(signed_in.tokens.access_token)

    assert two.store.reads == 2


async def test_a_store_that_hangs_does_not_hang_requests() -> None:
    class Hanging(MemoryTokenStore):
        async def revoked_since(self, *arguments: Any, **options: Any) -> Revocations:
            await anyio.sleep_forever()
            raise AssertionError

    kit = make_kit(tokens=Hanging(), settings={"when_stale": "reject"})
    signed_in = await kit.register(EMAIL, PASSWORD)

    with anyio.fail_after(5), pytest.raises(StoreUnavailable):
        await kit.authenticate(signed_in.tokens.access_token)


async def test_a_revocation_from_a_clock_that_is_behind_is_remembered_long_enough() -> None:
    clock = Clock()
    here = make_kit(clock=clock, settings={"revocation_interval": 300})
    fast = make_kit(
        keys=here.jwt.keys, users=here.users, tokens=here.tokens,
        clock=lambda: clock() + timedelta(seconds=29),
    )  # fmt: skip
    signed_in = await fast.register(EMAIL, PASSWORD)
    await here.logout(signed_in.tokens.refresh_token, "refresh")
    clock.advance(minutes=15, seconds=10)  # by this clock the token lives 19 s more
    await here.logout_all("somebody else")  # makes the feed turn

    assert not await passes(here, signed_in.tokens.access_token)
