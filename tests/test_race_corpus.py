"""Races that cost other systems their users' sessions or safety, each played against this one.

A test is named after the report. Memory stores are enough: what is tested is the rule.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from apps import EMAIL, PASSWORD, Clock, make_app, make_kit
from jwt_auth_kit import (
    AuthKit,
    InvalidCredentials,
    MemoryTokenStore,
    RefreshReused,
    RevokedToken,
    Session,
    SessionRevoked,
    SignedIn,
)
from jwt_auth_kit.stores.base import StoredSession

NEW_PASSWORD = "staple battery horse"
ACCESS_LIFE = 15 * 60
WINDOW = 30


class Interleaved(MemoryTokenStore):
    """Lets other requests run between a read and the write that follows it.

    With a *gate*, each reader also waits there, after it has read.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gate: Gate | None = None

    async def get(self, user_id: str, session_id: str) -> StoredSession | None:
        stored = await super().get(user_id, session_id)
        await asyncio.sleep(0)
        if self.gate is not None:
            await self.gate.wait()
        return stored

    async def create(self, session: Session, **options: Any) -> Sequence[str]:
        await asyncio.sleep(0)
        if self.gate is not None:
            await self.gate.wait()
        return await super().create(session, **options)


@dataclass
class Gate:
    """Stops whoever comes until it is opened."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self) -> None:
        self.reached.set()
        await self.opened.wait()


class Site:
    """One application, its clock and its store."""

    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.store = Interleaved()
        self.kit: AuthKit = make_kit(
            tokens=self.store, clock=self.clock, settings=settings, on_event=lambda event: None
        )

    async def sign_in(self) -> SignedIn:
        if await self.kit.users.get_by_email(EMAIL) is None:
            await self.kit.create_user(EMAIL, PASSWORD)
        return await self.kit.login(EMAIL, PASSWORD)

    async def generation(self, signed_in: SignedIn) -> int:
        stored = await self.store.get(str(signed_in.user.id), signed_in.session_id)
        assert stored is not None
        return stored.session.gen

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(app=make_app(self.kit))
        async with httpx.AsyncClient(transport=transport, base_url="https://testserver") as client:
            yield client

    async def refresh_at_once(self, token: str, times: int) -> Sequence[httpx.Response]:
        async with self.client() as client:
            return await asyncio.gather(*(post_refresh(client, token) for _ in range(times)))


async def post_refresh(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post("/auth/refresh", json={"refresh_token": token})


def successors(answers: Sequence[httpx.Response]) -> set[str]:
    return {answer.json()["refresh_token"] for answer in answers}


@pytest.fixture
def site() -> Site:
    return Site()


async def test_auth_js_213_tabs_whose_timers_fire_together_stay_signed_in(site: Site) -> None:
    """The tabs learned the expiry from one storage, refreshed at one instant and lost the session.

    https://github.com/supabase/auth-js/issues/213
    """
    token = (await site.sign_in()).tokens.refresh_token

    for _ in range(5):
        site.clock.advance(seconds=ACCESS_LIFE)
        answers = await site.refresh_at_once(token, 3)
        assert [answer.status_code for answer in answers] == [200] * 3
        (token,) = successors(answers)


async def test_nocturne_326_parallel_requests_of_one_page_make_no_siblings(site: Site) -> None:
    """A rotation that read first and wrote later made up to 18 siblings; then all were revoked.

    https://github.com/nightscout/nocturne/pull/326
    """
    page = await site.sign_in()
    phone = await site.sign_in()
    site.clock.advance(seconds=ACCESS_LIFE)

    answers = await site.refresh_at_once(page.tokens.refresh_token, 18)

    assert len(successors(answers)) == 1
    assert await site.generation(page) == 2
    live = await site.kit.list_sessions(str(page.user.id))
    assert {session.id for session in live} == {page.session_id, phone.session_id}


async def test_nocturne_391_the_losers_of_a_rotation_are_signed_in_too(site: Site) -> None:
    """The losers were told they were nobody, and the page showed the login screen.

    https://github.com/nightscout/nocturne/pull/391
    """
    page = await site.sign_in()
    site.clock.advance(seconds=ACCESS_LIFE)

    answers = await site.refresh_at_once(page.tokens.refresh_token, 8)

    for answer in answers:
        assert answer.json()["email"] == EMAIL
        user = await site.kit.authenticate(answer.json()["access_token"])
        assert user.id == str(page.user.id)


@pytest.mark.parametrize("last", range(4))
async def test_bike4mind_1801_whichever_answer_the_cookie_jar_keeps_is_good(
    site: Site, last: int
) -> None:
    """Two winners got two tokens, one jar kept the last; an access life later the other was theft.

    https://github.com/Bike4Mind/bike4mind/pull/1801
    """
    session = await site.sign_in()
    site.clock.advance(seconds=ACCESS_LIFE)
    answers = await site.refresh_at_once(session.tokens.refresh_token, 4)
    for answer in answers:
        await site.kit.authenticate(answer.json()["access_token"])
    await site.kit.aclose()  # the confirmation is written
    site.clock.advance(seconds=ACCESS_LIFE)

    jar = answers[last].json()["refresh_token"]
    later = await site.refresh_at_once(jar, 4)

    assert [answer.status_code for answer in later] == [200] * 4
    assert await site.generation(session) == 3


async def test_openrisk_700_no_answer_of_a_lost_race_clears_the_session(site: Site) -> None:
    """Two tabs refreshed at once; the loser's 401 cleared the cookies of both.

    https://github.com/opendefender/OpenRisk/issues/700
    """
    session = await site.sign_in()
    site.clock.advance(seconds=ACCESS_LIFE)

    answers = await site.refresh_at_once(session.tokens.refresh_token, 2)

    assert [answer.status_code for answer in answers] == [200, 200]
    assert not any("set-cookie" in answer.headers for answer in answers)
    (successor,) = successors(answers)
    assert (await site.kit.refresh(successor)).session_id == session.session_id


async def test_revel_frontend_950_a_failed_refresh_takes_nothing_from_a_newer_login(
    site: Site,
) -> None:
    """The loser's late failure deleted the refresh cookie that the winner had just set.

    https://github.com/letsrevel/revel-frontend/issues/950
    """
    old = await site.sign_in()
    await site.kit.logout(old.tokens.refresh_token, "refresh")

    new, refused = await asyncio.gather(
        site.sign_in(), site.refresh_at_once(old.tokens.refresh_token, 2)
    )

    assert [answer.status_code for answer in refused] == [401, 401]
    assert not any("set-cookie" in answer.headers for answer in refused)
    assert (await site.kit.refresh(new.tokens.refresh_token)).session_id == new.session_id


async def test_keycloak_45647_a_token_is_never_exchanged_for_two(site: Site) -> None:
    """Requests at once passed the check for single use before any of them had counted itself.

    https://github.com/keycloak/keycloak/issues/45647
    """
    session = await site.sign_in()
    spent = session.tokens.refresh_token
    site.clock.advance(seconds=ACCESS_LIFE)

    answers = await site.refresh_at_once(spent, 50)

    (successor,) = successors(answers)
    assert await site.generation(session) == 2
    await site.kit.refresh(successor)
    site.clock.advance(seconds=WINDOW + 1)
    with pytest.raises(RefreshReused):
        await site.kit.refresh(spent)
    with pytest.raises(SessionRevoked):
        await site.kit.refresh(successor)


async def test_keycloak_50999_rotations_within_one_second_leave_no_stale_token() -> None:
    """Ages were compared in whole seconds, so an older token of the same second stayed good.

    https://github.com/keycloak/keycloak/issues/50999
    """
    site = Site(reuse_window=0)
    session = await site.sign_in()
    first = token = session.tokens.refresh_token
    for _ in range(3):
        site.clock.advance(milliseconds=1)
        token = (await site.kit.refresh(token)).tokens.refresh_token

    with pytest.raises(RefreshReused):
        await site.kit.refresh(first)

    assert await site.generation(session) == 4
    with pytest.raises(SessionRevoked):
        await site.kit.refresh(token)


async def test_keycloak_51312_a_refresh_in_flight_does_not_survive_a_logout(site: Site) -> None:
    """Refreshing took a lock that revoking did not, so a refresh could outlive the revocation.

    https://github.com/keycloak/keycloak/issues/51312
    """
    session = await site.sign_in()
    site.clock.advance(seconds=ACCESS_LIFE)
    site.store.gate = gate = Gate()
    in_flight = asyncio.create_task(site.kit.refresh(session.tokens.refresh_token))
    await gate.reached.wait()
    site.store.gate = None

    await site.kit.logout(session.tokens.refresh_token, "refresh")
    gate.opened.set()

    with pytest.raises(SessionRevoked):
        await in_flight
    assert await site.generation(session) == 1
    with pytest.raises(SessionRevoked):
        await site.kit.refresh(session.tokens.refresh_token)


async def test_keycloak_50721_two_clients_of_one_user_do_not_lose_each_other(site: Site) -> None:
    """Two clients below one sign-in refreshed at once, and one vanished from the shared entry.

    https://github.com/keycloak/keycloak/issues/50721
    """
    clients = [await site.sign_in() for _ in range(2)]
    for _ in range(5):
        site.clock.advance(seconds=ACCESS_LIFE)

        clients = await asyncio.gather(
            *(site.kit.refresh(client.tokens.refresh_token) for client in clients)
        )

        live = await site.kit.list_sessions(str(clients[0].user.id))
        assert {session.id for session in live} == {client.session_id for client in clients}


async def test_better_auth_11073_logins_at_once_are_all_listed_and_all_ended(site: Site) -> None:
    """Three sign-ins at once left two in the list, and the third outlived the end of all others.

    https://github.com/better-auth/better-auth/issues/11073
    """
    await site.sign_in()

    logins = await asyncio.gather(*(site.sign_in() for _ in range(3)))

    user_id = str(logins[0].user.id)
    listed = {session.id for session in await site.kit.list_sessions(user_id)}
    assert {login.session_id for login in logins} < listed
    await site.kit.logout_all(user_id)
    for login in logins:
        await assert_over(site, login)


async def test_better_auth_11073_an_end_of_all_sessions_needs_no_list_of_them() -> None:
    """The list of a user's sessions was lost, and ending them all succeeded and ended none.

    https://github.com/better-auth/better-auth/issues/11073
    """

    class Unlisted(Interleaved):
        async def list_by_user(self, *arguments: Any, **options: Any) -> Sequence[Session]:
            return []

        async def revoke(self, *arguments: Any) -> bool:
            return False

    site = Site()
    site.store = Unlisted()
    site.kit = make_kit(tokens=site.store, clock=site.clock)
    logins = [await site.sign_in() for _ in range(2)]

    await site.kit.logout_all(str(logins[0].user.id))

    for login in logins:
        await assert_over(site, login)


async def test_better_auth_11073_a_refresh_in_flight_does_not_bring_a_session_back(
    site: Site,
) -> None:
    """A refresh had read the session, which was then deleted, and wrote it back.

    https://github.com/better-auth/better-auth/issues/11073
    """
    session = await site.sign_in()
    user_id = str(session.user.id)
    site.clock.advance(seconds=ACCESS_LIFE)
    site.store.gate = gate = Gate()
    in_flight = asyncio.create_task(site.kit.refresh(session.tokens.refresh_token))
    await gate.reached.wait()

    assert await site.kit.end_session(user_id, session.session_id)
    gate.opened.set()

    with pytest.raises(SessionRevoked):
        await in_flight
    assert await site.kit.list_sessions(user_id) == []


async def test_better_auth_11073_a_login_in_flight_does_not_outlive_a_password_change(
    site: Site,
) -> None:
    """A login that had checked the password wrote its session after all sessions were ended.

    https://github.com/better-auth/better-auth/issues/11073
    """
    user_id = str((await site.sign_in()).user.id)
    site.store.gate = gate = Gate()
    in_flight = asyncio.create_task(site.kit.login(EMAIL, PASSWORD))
    await gate.reached.wait()
    site.store.gate = None

    changed = await site.kit.change_password(user_id, PASSWORD, NEW_PASSWORD)
    gate.opened.set()

    with pytest.raises(InvalidCredentials):
        await in_flight
    live = await site.kit.list_sessions(user_id)
    assert [session.id for session in live] == [changed.session_id]


async def test_yuzu_952_a_login_beside_a_disable_leaves_no_session(site: Site) -> None:
    """Ending a user's sessions did not stop a login that was on its way with the password.

    https://github.com/Tr3kkR/Yuzu/issues/952
    """
    user_id = str((await site.sign_in()).user.id)
    site.store.gate = gate = Gate()
    in_flight = asyncio.create_task(site.kit.login(EMAIL, PASSWORD))
    await gate.reached.wait()
    site.store.gate = None

    await site.kit.disable_user(user_id)
    gate.opened.set()

    with pytest.raises(InvalidCredentials):
        await in_flight
    await site.kit.enable_user(user_id)
    assert await site.kit.list_sessions(user_id) == []


async def test_xerj_74_refreshes_beside_a_logout_leave_nothing_to_refresh(site: Site) -> None:
    """The corpus names this race and does not tell it; its invariants I3 and I4 are held here."""
    for _ in range(20):
        session = await site.sign_in()
        token = session.tokens.refresh_token
        site.clock.advance(seconds=ACCESS_LIFE)

        answers, _ = await asyncio.gather(
            site.refresh_at_once(token, 6), site.kit.logout(token, "refresh")
        )

        given = [answer.json()["refresh_token"] for answer in answers if answer.is_success]
        assert {answer.status_code for answer in answers} <= {200, 401}
        assert len(set(given)) <= 1
        for held in {token, *given}:
            with pytest.raises(SessionRevoked):
                await site.kit.refresh(held)


async def test_initiative_822_the_loser_does_not_revoke_the_child_of_the_winner(
    site: Site,
) -> None:
    """The loser of a race took the spent token for theft and revoked the winner's new session.

    https://github.com/Morelitea/initiative/pull/822
    """
    session = await site.sign_in()
    spent = session.tokens.refresh_token
    site.clock.advance(seconds=ACCESS_LIFE)
    site.store.gate = gate = Gate()
    loser = asyncio.create_task(site.kit.refresh(spent))
    await gate.reached.wait()
    site.store.gate = None
    winner = await site.kit.refresh(spent)

    gate.opened.set()
    late = await loser

    assert late.tokens.refresh_token == winner.tokens.refresh_token
    await site.kit.refresh(winner.tokens.refresh_token)
    assert await site.generation(session) == 2


async def assert_over(site: Site, signed_in: SignedIn) -> None:
    with pytest.raises(SessionRevoked):
        await site.kit.refresh(signed_in.tokens.refresh_token)
    with pytest.raises(RevokedToken):
        await site.kit.authenticate(signed_in.tokens.access_token)
