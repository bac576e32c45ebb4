"""A Redis that loses its last writes in a failover: who notices, and who is not signed out."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

import servers
from apps import EMAIL, PASSWORD, Clock, Events, make_kit
from jwt_auth_kit import AuthKit, MemoryUserStore, RefreshReused, RevokedToken, SignedIn
from jwt_auth_kit.stores.redis import RedisTokenStore

LATE = 31
"""Seconds after which the reuse window is over."""


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with servers.redis() as server:
        yield server.url


class Site:
    """A kit on a Redis that can go back to what a replica had."""

    def __init__(self, client: Redis) -> None:
        self.clock, self.events = Clock(), Events()
        self._client = client
        self._replica: dict[Any, Any] = {}
        self.kit: AuthKit = make_kit(
            users=MemoryUserStore(),
            tokens=RedisTokenStore(client),
            clock=self.clock,
            on_event=self.events,
        )

    async def replicate(self) -> None:
        self._replica = {key: await self._client.dump(key) for key in await self._client.keys("*")}

    async def fail_over(self) -> None:
        await self._client.flushall()
        for key, value in self._replica.items():
            await self._client.restore(key, 0, value)

    async def rotate(self, signed_in: SignedIn) -> SignedIn:
        """Refresh so late that a new generation is made."""
        self.clock.advance(seconds=LATE)
        return await self.kit.refresh(signed_in.tokens.refresh_token)

    async def use(self, signed_in: SignedIn) -> None:
        """Use the access token, and wait until it was noted."""
        await self.kit.authenticate(signed_in.tokens.access_token)
        await self.kit.aclose()


@pytest.fixture
async def site(redis_url: str) -> AsyncIterator[Site]:
    client: Redis = Redis.from_url(redis_url)
    await client.flushall()
    yield Site(client)
    await client.aclose()


async def test_a_second_tab_with_tokens_that_were_lost_is_no_thief(site: Site) -> None:
    first = await site.kit.register(EMAIL, PASSWORD)
    await site.replicate()
    lost = await site.rotate(first)
    newest = await site.rotate(lost)
    await site.fail_over()

    adopted = await site.kit.refresh(newest.tokens.refresh_token)
    await site.use(lost)  # the other tab
    repeated = await site.kit.refresh(lost.tokens.refresh_token)

    assert "session_adopted" in site.events.names
    assert "refresh_reused" not in site.events.names
    assert repeated.session_id == adopted.session_id
    await site.use(adopted)
    await site.rotate(adopted)


async def test_what_was_spent_before_a_failover_is_still_found_out_after_it(site: Site) -> None:
    spent = await site.kit.register(EMAIL, PASSWORD)
    first = await site.rotate(spent)
    await site.use(first)
    await site.replicate()
    newest = await site.rotate(first)
    await site.fail_over()
    adopted = await site.kit.refresh(newest.tokens.refresh_token)

    with pytest.raises(RefreshReused):
        await site.kit.refresh(spent.tokens.refresh_token)

    assert site.events.names.count("refresh_reused") == 1
    with pytest.raises(RevokedToken):
        await site.use(adopted)


async def test_an_orphan_the_store_knew_before_a_failover_stays_one(site: Site) -> None:
    first = await site.kit.register(EMAIL, PASSWORD)
    orphan = await site.rotate(first)
    renewed = await site.rotate(first)
    await site.replicate()
    newest = await site.rotate(renewed)
    await site.fail_over()
    await site.kit.refresh(newest.tokens.refresh_token)

    await site.use(orphan)

    assert site.events.names.count("refresh_reused") == 1


async def test_a_login_after_a_lost_epoch_is_good_at_once_and_old_tokens_stay_refused(
    site: Site,
) -> None:
    signed_in = await site.kit.register(EMAIL, PASSWORD)
    await site.replicate()
    await site.kit.logout_all(str(signed_in.user.id))
    site.clock.advance(hours=2)
    old = await site.kit.login(EMAIL, PASSWORD)
    await site.kit.logout_all(str(signed_in.user.id))

    await site.fail_over()

    with pytest.raises(RevokedToken):
        await site.kit.authenticate(old.tokens.access_token)
    new = await site.kit.login(EMAIL, PASSWORD)
    await site.use(new)
    await site.use(await site.rotate(new))
    with pytest.raises(RevokedToken):
        await site.kit.authenticate(old.tokens.access_token)


@pytest.mark.parametrize("ahead", [{"seconds": 0}, {"hours": 2}], ids=["several", "fast clock"])
async def test_a_lost_epoch_that_was_ahead_of_the_clock_refuses_no_login(
    site: Site, ahead: dict[str, float]
) -> None:
    signed_in = await site.kit.register(EMAIL, PASSWORD)
    await site.replicate()
    now = site.clock.now
    site.clock.advance(**ahead)
    for _ in range(3):
        await site.kit.logout_all(str(signed_in.user.id))
    site.clock.now = now

    await site.fail_over()

    new = await site.kit.login(EMAIL, PASSWORD)
    await site.use(new)
    rotated = await site.rotate(new)
    await site.use(rotated)
    assert (await site.kit.authenticate(rotated.tokens.access_token)).id == str(signed_in.user.id)


async def test_a_process_that_saw_nothing_else_forgets_an_epoch_that_the_store_lost(
    site: Site,
) -> None:
    shared: dict[str, Any] = {
        "users": site.kit.users,
        "tokens": site.kit.tokens,
        "keys": site.kit.jwt.keys,
        "clock": site.clock,
        "settings": {"revocation_interval": 0},
    }
    here, there = make_kit(**shared), make_kit(**shared)
    signed_in = await here.register(EMAIL, PASSWORD)
    await site.replicate()
    await here.set_role(str(signed_in.user.id), "editor")
    await site.fail_over()
    with pytest.raises(RevokedToken):
        await here.authenticate((await there.login(EMAIL, PASSWORD)).tokens.access_token)

    site.clock.advance(minutes=31)

    await here.authenticate((await there.login(EMAIL, PASSWORD)).tokens.access_token)
    await here.aclose()
    await there.aclose()
