"""Two processes whose clocks differ, slow messages, and a store that loses its last write.

Clocks differ by at most W/2 and a message takes at most W/4 each way (W is the reuse window), so
that a round trip takes at most W/2. In all such runs two tabs with one cookie jar stay signed in.
"""

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps import EMAIL, PASSWORD, Clock, make_kit
from jwt_auth_kit import (
    AuthKit,
    KeyRing,
    MemoryTokenStore,
    MemoryUserStore,
    Session,
    SignedIn,
    Unauthorized,
)
from jwt_auth_kit.stores.base import StoredSession

WINDOW = 30.0
SKEW = WINDOW / 2
SLOWEST = WINDOW / 4
LONG = 600.0


class ForgetfulStore(MemoryTokenStore):
    """Can lose the last write of a session, as a failover to a replica that was behind does."""

    before: Session | None = None

    async def compare_and_set(self, user_id: str, session_id: str, *arguments: Any) -> bool:
        stored = await self.get(user_id, session_id)
        written = await super().compare_and_set(user_id, session_id, *arguments)
        if written and stored is not None:
            self.before = stored.session
        return written

    async def fail_over(self) -> None:
        if self.before is not None:
            await self.create(self.before)


class Site:
    """Two processes on one store, the second one *skew* seconds ahead."""

    def __init__(self, skew: float) -> None:
        self.clock = Clock()
        self.store = ForgetfulStore()
        ahead = Clock()
        users, keys = MemoryUserStore(), KeyRing.random()

        def skewed() -> Any:
            ahead.now = self.clock.now
            ahead.advance(seconds=skew)
            return ahead.now

        self.kits = [
            make_kit(
                users=users,
                tokens=self.store,
                keys=keys,
                clock=clock,
                on_event=lambda event: None,
                settings={"reuse_window": WINDOW},
            )
            for clock in (self.clock, skewed)
        ]

    async def sign_in(self, where: int = 0) -> SignedIn:
        kit = self.kits[where]
        if await kit.users.get_by_email(EMAIL) is None:
            await kit.create_user(EMAIL, PASSWORD)
        return await kit.login(EMAIL, PASSWORD)

    async def use(self, where: int, access_token: str) -> None:
        kit = self.kits[where]
        await kit.authenticate(access_token)
        await kit.aclose()  # the confirmation is written

    async def stored(self, signed_in: SignedIn) -> StoredSession:
        stored = await self.store.get(str(signed_in.user.id), signed_in.session_id)
        assert stored is not None
        return stored


@dataclass(frozen=True)
class Trip:
    """One refresh of a tab, and the first use of the access token it brought."""

    wait: float
    """Seconds after the tab's last answer (or the beginning) until it is sent."""
    there: float
    back: float
    to: int
    use_after: float | None
    use_at: int = 0


@dataclass
class Run:
    """Tabs with one cookie jar; what they send and get is put in the order of the true time."""

    site: Site
    jar: str
    refusals: list[str] = field(default_factory=list)
    _events: list[tuple[float, int, Callable[[], Awaitable[None]]]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _now: float = 0.0

    async def play(self, *tabs: Sequence[Trip]) -> None:
        for tab in tabs:
            self._begin(list(tab))
        while self._events:
            moment, _, happen = heapq.heappop(self._events)
            self.site.clock.advance(seconds=moment - self._now)
            self._now = moment
            await happen()

    def _begin(self, trips: list[Trip]) -> None:
        if not trips:
            return
        trip, rest = trips[0], trips[1:]

        async def send() -> None:
            token = self.jar
            self._at(trip.there, lambda: process(token))

        async def process(token: str) -> None:
            try:
                given = (await self.site.kits[trip.to].refresh(token)).tokens
            except Unauthorized as error:
                self.refusals.append(f"{self._now}: refresh: {error.code}")
                return
            self._at(trip.back, lambda: receive(token, given.refresh_token, given.access_token))

        async def receive(sent: str, refresh_token: str, access_token: str) -> None:
            if refresh_token != sent:  # an unchanged one comes without Set-Cookie
                self.jar = refresh_token
            if trip.use_after is not None:
                self._at(trip.use_after, lambda: use(access_token))
            self._begin(rest)

        async def use(access_token: str) -> None:
            try:
                await self.site.use(trip.use_at, access_token)
            except Unauthorized as error:
                self.refusals.append(f"{self._now}: access: {error.code}")

        self._at(trip.wait, send)

    def _at(self, delay: float, happen: Callable[[], Awaitable[None]]) -> None:
        heapq.heappush(self._events, (self._now + delay, next(self._numbers), happen))


async def refusals_of(
    site: Site, *tabs: Sequence[Trip], began_at: int = 0, age: float = LONG
) -> list[str]:
    """Play *tabs* on a session of that age, then let each tab come back much later."""
    run = Run(site, (await site.sign_in(began_at)).tokens.refresh_token)
    site.clock.advance(seconds=age)
    later = Trip(wait=LONG, there=0, back=0, to=0, use_after=0)
    await run.play(*([*tab, later] for tab in tabs))
    return run.refusals


SKEWS = [SKEW, -SKEW]
WAYS = [0.0, SLOWEST]


@pytest.mark.parametrize("skew", SKEWS)
@pytest.mark.parametrize("age", [0.0, LONG], ids=["new", "old"])
async def test_no_two_tabs_are_refused_whatever_their_messages_and_clocks_do(
    skew: float, age: float
) -> None:
    site = Site(skew)
    runs = 0
    for there, back, to in itertools.product(WAYS, WAYS, (0, 1)):
        for use_after in (None, 0.0, WINDOW + SKEW):
            first = Trip(0.0, there, back, to, use_after, use_at=1 - to)
            for wait, there2, back2, to2 in itertools.product(
                (0.0, SLOWEST, 2 * SLOWEST, WINDOW), WAYS, WAYS, (0, 1)
            ):
                second = Trip(wait, there2, back2, to2, use_after=WINDOW + 1, use_at=to2)
                refused = await refusals_of(site, [first], [second], age=age)
                assert refused == [], (first, second)
                runs += 1
    print(f"\nskew {skew:+} s, age {age} s: {runs} runs of two tabs, 0 refused")


UNEVEN = [(0.0, 0.0), (SKEW, 0.0), (0.0, SKEW), (SLOWEST, SLOWEST)]


async def test_where_clocks_agree_a_round_trip_may_spend_half_the_window_on_one_way() -> None:
    site = Site(0)
    for (there, back), use_after in itertools.product(UNEVEN, (None, 0.0, WINDOW + SKEW)):
        first = Trip(0.0, there, back, 0, use_after)
        for wait, (there2, back2) in itertools.product((0.0, SLOWEST, SKEW, WINDOW), UNEVEN):
            second = Trip(wait, there2, back2, 1, use_after=WINDOW + 1)
            assert await refusals_of(site, [first], [second]) == [], (first, second)


async def test_the_way_back_the_way_in_and_the_skew_have_to_fit_into_the_window() -> None:
    """The promise and its limit: one way back, another way in and the skew make the window."""
    heard_late = Trip(0.0, there=0.0, back=SKEW, to=0, use_after=WINDOW + SKEW)
    asks_late = Trip(SLOWEST, there=SKEW, back=0.0, to=1, use_after=WINDOW + 1)

    within = await refusals_of(Site(0.0), [heard_late], [asks_late])
    beyond = await refusals_of(Site(SKEW), [heard_late], [asks_late])

    assert within == []
    assert beyond != []


ways = st.floats(0, SLOWEST)
moments = st.sampled_from([0.0, 1.0, SLOWEST, SKEW, WINDOW - 1, WINDOW + 1, WINDOW + SKEW, LONG])
trips = st.builds(
    Trip,
    wait=moments,
    there=ways,
    back=ways,
    to=st.integers(0, 1),
    use_after=st.none() | st.just(0.0) | moments,
    use_at=st.integers(0, 1),
)
tab = st.lists(trips, min_size=1, max_size=3)


@settings(max_examples=300, deadline=None)
@given(
    skew=st.floats(-SKEW, SKEW),
    tabs=st.lists(tab, min_size=2, max_size=2),
    began_at=st.integers(0, 1),
    age=moments,
)
def test_no_longer_run_of_two_tabs_is_refused(
    skew: float, tabs: list[list[Trip]], began_at: int, age: float
) -> None:
    refused = asyncio.run(refusals_of(Site(skew), *tabs, began_at=began_at, age=age))

    assert refused == []


@pytest.mark.parametrize("skew", [SKEW, -SKEW, 2 * SKEW, -2 * SKEW])
@pytest.mark.parametrize("began_at", [0, 1])
async def test_tokens_of_the_fast_process_are_good_at_the_slow_one_at_once(
    skew: float, began_at: int
) -> None:
    site = Site(skew)
    signed_in = await site.sign_in(began_at)

    await site.use(1 - began_at, signed_in.tokens.access_token)
    kept = await site.kits[1 - began_at].refresh(signed_in.tokens.refresh_token)
    await site.use(began_at, kept.tokens.access_token)

    assert kept.tokens.refresh_token == signed_in.tokens.refresh_token


@pytest.mark.parametrize("skew", SKEWS)
@pytest.mark.parametrize("first", [0, 1])
async def test_both_processes_give_one_successor_at_the_edges_of_the_window(
    skew: float, first: int
) -> None:
    site = Site(skew)
    signed_in = await site.sign_in()
    site.clock.advance(seconds=LONG)

    successor = await site.kits[first].refresh(signed_in.tokens.refresh_token)
    for seconds in (0.0, SLOWEST, SLOWEST):
        site.clock.advance(seconds=seconds)
        again = await site.kits[1 - first].refresh(signed_in.tokens.refresh_token)
        assert again.tokens.refresh_token == successor.tokens.refresh_token

    assert (await site.stored(signed_in)).session.gen == 2


async def test_time_that_runs_backwards_between_two_processes_shortens_no_session() -> None:
    site = Site(-SKEW)
    signed_in = await site.sign_in()
    site.clock.advance(seconds=LONG)
    ends = []

    token = signed_in.tokens.refresh_token
    for to in (0, 1, 0, 1):
        token = (await site.kits[to].refresh(token)).tokens.refresh_token
        site.clock.advance(seconds=WINDOW + SKEW + 1)
        ends.append((await site.stored(signed_in)).session.idle_expires_at)

    assert ends == sorted(ends)
    assert (await site.stored(signed_in)).session.gen == 5


PAUSES = (0.0, 1.0, WINDOW + 1)
ACTIONS = ("refresh", "repeat", "use")
STEPS = 3


@pytest.mark.parametrize("lost_after", range(STEPS))
async def test_a_failover_that_loses_the_last_write_refuses_nobody(lost_after: int) -> None:
    site = Site(0)
    runs = 0
    for pauses in itertools.product(PAUSES, repeat=STEPS):
        for actions in itertools.product(ACTIONS, repeat=STEPS):
            refused = await refused_after_failover(site, pauses, actions, lost_after)
            assert refused is None, (pauses, actions, refused)
            runs += 1
    print(f"\nfailover after step {lost_after}: {runs} runs, 0 refused")


async def refused_after_failover(
    site: Site, pauses: Sequence[float], actions: Sequence[str], lost_after: int
) -> str | None:
    """Play a client that refreshes, repeats its last request and uses what it got."""
    kit: AuthKit = site.kits[0]
    tokens = (await site.sign_in()).tokens
    site.store.before = None
    sent, repeat_until = tokens.refresh_token, site.clock.now
    site.clock.advance(seconds=LONG)
    for number, (pause, action) in enumerate(
        zip([*pauses, LONG, 0], [*actions, "refresh", "use"], strict=True)
    ):
        site.clock.advance(seconds=pause)
        try:
            if action == "use":
                await site.use(0, tokens.access_token)
            elif action == "repeat" and site.clock.now <= repeat_until:
                tokens = (await kit.refresh(sent)).tokens  # another tab, or an impatient client
            else:
                sent = tokens.refresh_token
                repeat_until = site.clock.now + timedelta(seconds=WINDOW / 2)
                tokens = (await kit.refresh(sent)).tokens
        except Unauthorized as error:
            return f"step {number}: {error.code}"
        if number == lost_after:
            await site.store.fail_over()
    return None
