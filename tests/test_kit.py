"""AuthKit: the use cases without HTTP, and the races between them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from apps import EMAIL, PASSWORD, Clock, Events, make_kit
from jwt_auth_kit import (
    AuthKit,
    ExpiredToken,
    InvalidCredentials,
    InvalidToken,
    KeyRing,
    MemoryTokenStore,
    MemoryUserStore,
    NewUser,
    RevokedToken,
    Session,
    SessionExpired,
    SessionRevoked,
    SignedIn,
    StoreUnavailable,
    User,
)
from jwt_auth_kit.stores.base import Epochs

NEW_PASSWORD = "a new staple every day"


async def register(kit: AuthKit) -> SignedIn:
    return await kit.register(EMAIL, PASSWORD, display_name="Ada")


async def test_register_refuses_what_is_no_address_without_repeating_it() -> None:
    with pytest.raises(ValueError, match=r"^Not a valid e-mail address$"):
        await make_kit().register("no address", PASSWORD)


async def test_create_user_makes_an_admin_and_signs_nobody_in() -> None:
    events = Events()
    kit = make_kit(on_event=events)

    user = await kit.create_user(EMAIL, PASSWORD, role="admin")

    assert user.role == "admin"
    assert events.names == ["registered"]


@pytest.mark.parametrize("setting", ["issuer", "audience"])
async def test_the_first_issuer_or_audience_signs_everybody_out(setting: str) -> None:
    stores = {"users": MemoryUserStore(), "tokens": MemoryTokenStore(), "keys": KeyRing.random()}
    without, with_one, with_another = (
        make_kit(settings=values, **stores) for values in ({}, {setting: "shop"}, {setting: "bank"})
    )
    before = (await register(without)).tokens
    after = (await with_one.login(EMAIL, PASSWORD)).tokens

    for kit, tokens in [(with_one, before), (with_another, before), (with_another, after)]:
        with pytest.raises(InvalidToken):
            await kit.authenticate(tokens.access_token)
        with pytest.raises(InvalidToken):
            await kit.refresh(tokens.refresh_token)

    assert (await without.refresh(before.refresh_token)).user.email == EMAIL


async def test_taking_the_issuer_away_signs_nobody_out_and_taking_the_audience_does() -> None:
    stores = {"users": MemoryUserStore(), "tokens": MemoryTokenStore(), "keys": KeyRing.random()}
    without, from_shop, for_shop = (
        make_kit(settings=values, **stores)
        for values in ({}, {"issuer": "shop"}, {"audience": "shop"})
    )
    issued = (await register(from_shop)).tokens
    intended = (await for_shop.login(EMAIL, PASSWORD)).tokens

    assert (await without.refresh(issued.refresh_token)).user.email == EMAIL
    with pytest.raises(InvalidToken):
        await without.refresh(intended.refresh_token)


async def test_a_token_without_a_session_ends_none() -> None:
    kit = make_kit()
    signed_in = await register(kit)
    user = await kit.authenticate(signed_in.tokens.access_token)

    assert not await kit.end_session(user.id, None)
    assert await kit.end_session(user.id, user.session_id)


async def test_an_old_account_whose_address_is_none_today_can_log_in() -> None:
    users = MemoryUserStore()
    kit = make_kit(users=users)
    await _insert(kit, "admin@localhost")

    signed_in = await kit.login("Admin@localhost", PASSWORD)

    assert signed_in.user.email == "admin@localhost"


@pytest.mark.parametrize("email", ["a\x00b@example.com", "x" * 400, "\x00", "@"])
async def test_an_address_no_account_can_have_is_answered_like_an_unknown_one(email: str) -> None:
    with pytest.raises(InvalidCredentials):
        await make_kit().login(email, PASSWORD)


async def test_an_account_without_a_password_cannot_log_in() -> None:
    class WithoutPassword(MemoryUserStore):
        async def get_by_id(self, user_id: str) -> Any:
            user = await super().get_by_id(user_id)
            return None if user is None else _without_hash(user)

    kit = make_kit(users=WithoutPassword())
    await kit.create_user(EMAIL, PASSWORD)

    with pytest.raises(InvalidCredentials):
        await kit.login(EMAIL, PASSWORD)


async def test_login_replaces_an_old_hash() -> None:
    users, events = MemoryUserStore(), Events()
    await make_kit(users=users).create_user(EMAIL, PASSWORD)
    kit = make_kit(users=users, hasher=None, on_event=events)

    await kit.login(EMAIL, PASSWORD)

    user = await users.get_by_email(EMAIL)
    assert user is not None
    assert "m=19456,t=2,p=1" in (user.password_hash or "")
    assert "password_rehashed" in events.names
    await kit.login(EMAIL, PASSWORD)
    assert events.names.count("password_rehashed") == 1


async def test_a_rehash_never_brings_the_old_password_back() -> None:
    users = RacingUserStore()
    await make_kit(users=users).create_user(EMAIL, PASSWORD)
    kit = make_kit(users=users, hasher=None)
    user = await users.get_by_email(EMAIL)
    assert user is not None

    async def change() -> None:
        await kit.change_password(user.id, PASSWORD, NEW_PASSWORD)

    users.before_write = change
    with pytest.raises(InvalidCredentials):
        await kit.login(EMAIL, PASSWORD)

    assert (await kit.login(EMAIL, NEW_PASSWORD)).user.id == user.id


async def test_change_password_survives_a_rehash_that_comes_between() -> None:
    users = RacingUserStore()
    await make_kit(users=users).create_user(EMAIL, PASSWORD)
    kit = make_kit(users=users, hasher=None)
    user = await users.get_by_email(EMAIL)
    assert user is not None

    async def log_in() -> None:
        await kit.login(EMAIL, PASSWORD)

    users.before_write = log_in
    await kit.change_password(user.id, PASSWORD, NEW_PASSWORD)

    assert (await kit.login(EMAIL, NEW_PASSWORD)).user.id == user.id


async def test_change_password_ends_every_session_and_begins_one() -> None:
    events = Events()
    kit = make_kit(on_event=events)
    old = await register(kit)

    new = await kit.change_password(str(old.user.id), PASSWORD, NEW_PASSWORD)

    with pytest.raises(SessionRevoked):
        await kit.refresh(old.tokens.refresh_token)
    with pytest.raises(RevokedToken):
        await kit.authenticate(old.tokens.access_token)
    assert (await kit.authenticate(new.tokens.access_token)).id == old.user.id
    assert (await kit.refresh(new.tokens.refresh_token)).session_id == new.session_id
    assert new.session_id != old.session_id
    assert "password_changed" in events.names


async def test_change_password_needs_the_current_one() -> None:
    kit = make_kit()
    signed_in = await register(kit)

    with pytest.raises(InvalidCredentials):
        await kit.change_password(str(signed_in.user.id), "wrong", NEW_PASSWORD)

    assert (await kit.refresh(signed_in.tokens.refresh_token)).session_id == signed_in.session_id


async def test_change_password_of_nobody_is_refused() -> None:
    with pytest.raises(InvalidCredentials):
        await make_kit().change_password("nobody", PASSWORD, NEW_PASSWORD)


async def test_logout_all_ends_every_session_and_lets_a_new_login_in() -> None:
    kit = make_kit()
    phone = await register(kit)
    laptop = await kit.login(EMAIL, PASSWORD)
    await kit.authenticate(laptop.tokens.access_token)

    await kit.logout_all(str(phone.user.id))

    for signed_in in (phone, laptop):
        with pytest.raises(SessionRevoked):
            await kit.refresh(signed_in.tokens.refresh_token)
        with pytest.raises(RevokedToken):
            await kit.authenticate(signed_in.tokens.access_token)
    again = await kit.login(EMAIL, PASSWORD)
    assert (await kit.authenticate(again.tokens.access_token)).id == phone.user.id


class Overtaken(MemoryUserStore):
    """Lets somebody act right after an account was read, or right before its hash is written."""

    after_reading: Callable[[], Awaitable[Any]] | None = None
    before_writing: Callable[[], Awaitable[Any]] | None = None

    async def get_by_email(self, email: str) -> Any:
        user = await super().get_by_email(email)
        act, self.after_reading = self.after_reading, None
        if act is not None:
            await act()
        return user

    async def set_password_hash(self, user_id: str, new: str, *, expected: str | None) -> bool:
        act, self.before_writing = self.before_writing, None
        if act is not None:
            await act()
        return await super().set_password_hash(user_id, new, expected=expected)

    async def set_role(self, user_id: str, role: str) -> bool:
        act, self.before_writing = self.before_writing, None
        if act is not None:
            await act()
        return await super().set_role(user_id, role)


async def test_an_account_that_is_disabled_while_a_login_reads_it_does_not_sign_in() -> None:
    users = Overtaken()
    kit = make_kit(users=users)
    user_id = str((await register(kit)).user.id)
    users.after_reading = lambda: kit.disable_user(user_id)

    with pytest.raises(InvalidCredentials):
        await kit.login(EMAIL, PASSWORD)

    assert await kit.list_sessions(user_id) == []


async def test_a_login_with_the_old_password_right_before_the_new_one_is_written_is_over() -> None:
    users, early = Overtaken(), list[SignedIn]()
    kit = make_kit(users=users)
    user_id = str((await register(kit)).user.id)

    async def sign_in() -> None:
        early.append(await kit.login(EMAIL, PASSWORD))

    users.before_writing = sign_in
    changed = await kit.change_password(user_id, PASSWORD, NEW_PASSWORD)

    assert [session.id for session in await kit.list_sessions(user_id)] == [changed.session_id]
    with pytest.raises(SessionRevoked):
        await kit.refresh(early[0].tokens.refresh_token)
    with pytest.raises(RevokedToken):
        await kit.authenticate(early[0].tokens.access_token)


async def test_set_role_voids_access_tokens_and_keeps_sessions() -> None:
    kit = make_kit()
    signed_in = await register(kit)

    await kit.set_role(str(signed_in.user.id), "admin")

    with pytest.raises(RevokedToken):
        await kit.authenticate(signed_in.tokens.access_token)
    fresh = await kit.refresh(signed_in.tokens.refresh_token)
    assert (await kit.authenticate(fresh.tokens.access_token)).role == "admin"


async def test_a_refresh_right_before_a_role_is_written_gets_no_token_that_keeps_the_old_one() -> (
    None
):
    users, early = Overtaken(), list[SignedIn]()
    kit = make_kit(users=users)
    signed_in = await register(kit)

    async def refresh() -> None:
        early.append(await kit.refresh(signed_in.tokens.refresh_token))

    users.before_writing = refresh
    await kit.set_role(str(signed_in.user.id), "admin")

    with pytest.raises(RevokedToken):
        await kit.authenticate(early[0].tokens.access_token)


async def test_a_role_that_the_user_has_already_changes_nothing() -> None:
    events = Events()
    kit = make_kit(on_event=events)
    signed_in = await register(kit)
    told = len(events.names)

    await kit.set_role(str(signed_in.user.id), "user")
    await kit.enable_user(str(signed_in.user.id))

    assert (await kit.authenticate(signed_in.tokens.access_token)).role == "user"
    assert "role_changed" not in events.names[told:]


@pytest.mark.parametrize("fails_at", [1, 2])
async def test_a_role_change_that_failed_halfway_leaves_no_token_with_the_old_role(
    fails_at: int,
) -> None:
    tokens = FailingVoids(fails_at)
    kit = make_kit(tokens=tokens)
    signed_in = await register(kit)
    user_id = str(signed_in.user.id)
    with pytest.raises(StoreUnavailable):
        await kit.set_role(user_id, "admin")

    await kit.set_role(user_id, "admin")

    with pytest.raises(RevokedToken):
        await kit.authenticate(signed_in.tokens.access_token)
    assert (await kit.get_user(user_id)).role == "admin"


@pytest.mark.parametrize("change", ["set_role", "disable_user", "enable_user"])
async def test_changing_an_unknown_user_is_a_lookup_error(change: str) -> None:
    kit = make_kit()
    arguments = ["nobody", "admin"] if change == "set_role" else ["nobody"]

    with pytest.raises(LookupError):
        await getattr(kit, change)(*arguments)


async def test_get_user_of_a_disabled_account_is_refused() -> None:
    kit = make_kit()
    signed_in = await register(kit)
    await kit.disable_user(str(signed_in.user.id))

    with pytest.raises(SessionRevoked):
        await kit.get_user(str(signed_in.user.id))


async def test_refresh_of_a_purged_session_is_session_expired() -> None:
    clock = Clock()
    tokens = MemoryTokenStore()
    kit = make_kit(tokens=tokens, clock=clock)
    signed_in = await register(kit)
    await tokens.revoke(str(signed_in.user.id), signed_in.session_id, "test", clock())
    clock.advance(days=2)
    assert await tokens.purge(clock(), limit=10) == 1

    with pytest.raises(SessionExpired):
        await kit.refresh(signed_in.tokens.refresh_token)


async def test_a_session_that_ended_by_its_own_clock_is_session_expired() -> None:
    clock = Clock()
    kit = make_kit(clock=clock, settings={"leeway": 60})
    signed_in = await register(kit)
    clock.advance(days=7, seconds=1)  # the token passes by the leeway, the session does not

    with pytest.raises(SessionExpired):
        await kit.refresh(signed_in.tokens.refresh_token)


async def test_a_token_newer_than_the_row_is_taken_at_its_word() -> None:
    clock, events = Clock(), Events()
    tokens = MemoryTokenStore()
    kit = make_kit(tokens=tokens, clock=clock, on_event=events)
    first = await register(kit)
    before = await tokens.get(str(first.user.id), first.session_id)
    assert before is not None
    clock.advance(minutes=5)
    second = await kit.refresh(first.tokens.refresh_token)
    await tokens.create(before.session)  # a failover lost the rotation

    third = await kit.refresh(second.tokens.refresh_token)

    assert third.tokens.refresh_token == second.tokens.refresh_token
    assert "session_adopted" in events.names
    clock.advance(minutes=5)
    assert (await kit.refresh(third.tokens.refresh_token)).session_id == first.session_id


async def test_a_used_access_token_confirms_its_generation_once() -> None:
    clock, tokens = Clock(), CountingStore()
    kit = make_kit(tokens=tokens, clock=clock)
    signed_in = await register(kit)

    for _ in range(100):
        await kit.authenticate(signed_in.tokens.access_token)
        await anyio.lowlevel.checkpoint()
    await kit.aclose()

    stored = await tokens.get(str(signed_in.user.id), signed_in.session_id)
    assert stored is not None
    assert stored.session.confirmed
    assert tokens.writes == 1


async def test_a_confirmation_that_failed_is_tried_again() -> None:
    tokens = CountingStore()
    kit = make_kit(tokens=tokens)
    signed_in = await register(kit)
    tokens.is_down = True
    await kit.authenticate(signed_in.tokens.access_token)
    await kit.aclose()
    tokens.is_down = False

    await kit.authenticate(signed_in.tokens.access_token)
    await kit.aclose()

    stored = await tokens.get(str(signed_in.user.id), signed_in.session_id)
    assert stored is not None
    assert stored.session.confirmed


async def test_a_confirmation_that_a_broken_store_lost_is_tried_again() -> None:
    tokens = CountingStore()
    kit = make_kit(tokens=tokens)
    signed_in = await register(kit)
    tokens.is_broken = True
    await kit.authenticate(signed_in.tokens.access_token)
    await kit.aclose()
    tokens.is_broken = False

    await kit.authenticate(signed_in.tokens.access_token)
    await kit.aclose()

    assert tokens.writes == 1


async def test_a_confirmation_that_always_loses_gives_up_for_now() -> None:
    tokens = CountingStore()
    kit = make_kit(tokens=tokens)
    signed_in = await register(kit)
    tokens.always_loses = True
    await kit.authenticate(signed_in.tokens.access_token)
    await kit.aclose()
    tried = tokens.writes
    tokens.always_loses = False

    await kit.authenticate(signed_in.tokens.access_token)
    await kit.aclose()

    assert tried == 10
    stored = await tokens.get(str(signed_in.user.id), signed_in.session_id)
    assert stored is not None
    assert stored.session.confirmed


async def test_confirming_a_session_that_is_gone_does_nothing() -> None:
    tokens = CountingStore()
    kit = make_kit(tokens=tokens)
    signed_in = await register(kit)
    tokens.is_empty = True

    await kit.authenticate(signed_in.tokens.access_token)
    await kit.aclose()

    assert tokens.writes == 0


async def test_an_access_token_without_a_session_passes_until_its_user_is_changed() -> None:
    kit = make_kit()
    signed_in = await register(kit)
    token = kit.jwt.create_access_token({"user_id": str(signed_in.user.id)})
    assert (await kit.authenticate(token)).session_id is None

    await kit.logout_all(str(signed_in.user.id))

    with pytest.raises(RevokedToken):
        await kit.authenticate(token)


async def test_logout_takes_an_expired_access_token() -> None:
    clock = Clock()
    kit = make_kit(clock=clock)
    signed_in = await register(kit)
    clock.advance(minutes=16)
    with pytest.raises(ExpiredToken):
        await kit.authenticate(signed_in.tokens.access_token)

    await kit.logout(signed_in.tokens.access_token, "access")

    with pytest.raises(SessionRevoked):
        await kit.refresh(signed_in.tokens.refresh_token)


async def test_sixteen_refreshes_at_once_have_one_successor() -> None:
    clock, events = Clock(), Events()
    kit = make_kit(clock=clock, on_event=events)
    first = await register(kit)
    clock.advance(minutes=5)
    answers: list[SignedIn] = []

    async def refresh() -> None:
        answers.append(await kit.refresh(first.tokens.refresh_token))

    async with anyio.create_task_group() as group:
        for _ in range(16):
            group.start_soon(refresh)

    assert len({answer.tokens.refresh_token for answer in answers}) == 1
    assert events.names.count("token_refreshed") == 1


@pytest.mark.parametrize("ending", ["logout_all", "disable_user"])
async def test_a_login_beside_the_end_of_all_sessions_leaves_nothing_refreshable(
    ending: str,
) -> None:
    tokens = SlowCreate()
    kit = make_kit(tokens=tokens)
    user = await kit.create_user(EMAIL, PASSWORD)

    async def end() -> None:
        tokens.before_create = None
        await getattr(kit, ending)(str(user.id))

    tokens.before_create = end
    try:
        signed_in = await kit.login(EMAIL, PASSWORD)
    except InvalidCredentials:
        assert ending == "disable_user"
    else:
        stored = await tokens.get(str(user.id), signed_in.session_id)
        assert stored is not None
        assert stored.session.epoch == stored.epochs.sessions_from == 1


async def test_a_login_that_is_always_overtaken_gives_up_with_503() -> None:
    tokens = SlowCreate()
    kit = make_kit(tokens=tokens)
    user = await kit.create_user(EMAIL, PASSWORD)

    async def end() -> None:
        await kit.logout_all(str(user.id))

    tokens.before_create = end

    with pytest.raises(StoreUnavailable):
        await kit.login(EMAIL, PASSWORD)


async def test_an_unknown_account_costs_the_same_reads_and_one_hash() -> None:
    users, tokens = CountingUsers(), CountingStore()
    hasher = CountingHasher()
    kit = make_kit(users=users, tokens=tokens, hasher=hasher)
    await kit.create_user(EMAIL, PASSWORD)
    costs: list[tuple[int, int, int]] = []

    for email in (EMAIL, "nobody@example.com"):
        users.reads = tokens.reads = hasher.verifications = 0
        with pytest.raises(InvalidCredentials):
            await kit.login(email, "wrong password")
        costs.append((users.reads, tokens.reads, hasher.verifications))

    assert costs == [(2, 1, 1), (2, 1, 1)]


async def test_an_event_hook_that_fails_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def hook(event: object) -> None:
        raise RuntimeError("the audit database is away")

    signed_in = await register(make_kit(on_event=hook))

    assert signed_in.session_id
    assert "The event hook failed on logged_in" in caplog.text


async def test_a_foreign_refresh_token_of_the_same_key_is_refused() -> None:
    kit = make_kit()
    await register(kit)

    with pytest.raises(InvalidToken):
        await kit.refresh(kit.jwt.create_refresh_token("somebody"))


class CountingStore(MemoryTokenStore):
    """Counts what it is asked, and fails when told to."""

    writes = reads = 0
    is_down = is_empty = is_broken = always_loses = False

    async def get(self, *arguments: Any) -> Any:
        if self.is_down:
            raise StoreUnavailable
        if self.is_broken:
            raise RuntimeError("a bug in the store")
        return None if self.is_empty else await super().get(*arguments)

    async def epochs(self, user_id: str) -> Epochs:
        self.reads += 1
        return await super().epochs(user_id)

    async def compare_and_set(self, *arguments: Any) -> bool:
        self.writes += 1
        return not self.always_loses and await super().compare_and_set(*arguments)


class CountingUsers(MemoryUserStore):
    """Counts reads."""

    reads = 0

    async def get_by_id(self, user_id: str) -> Any:
        self.reads += 1
        return await super().get_by_id(user_id)

    async def get_by_email(self, email: str) -> Any:
        self.reads += 1
        return await super().get_by_email(email)


class CountingHasher:
    """A hasher that does nothing and counts it."""

    hashes = verifications = 0

    def hash(self, password: str) -> str:
        self.hashes += 1
        return f"hash of {password}"

    def verify(self, password: str, password_hash: str) -> bool:
        self.verifications += 1
        return password_hash == f"hash of {password}"

    def needs_rehash(self, password_hash: str) -> bool:
        return False


class RacingUserStore(MemoryUserStore):
    """Lets something happen just before the next password hash is written."""

    before_write: Callable[[], Awaitable[None]] | None = None

    async def set_password_hash(self, *arguments: Any, **options: Any) -> bool:
        happen, self.before_write = self.before_write, None
        if happen is not None:
            await happen()
        return await super().set_password_hash(*arguments, **options)


class SlowCreate(MemoryTokenStore):
    """Lets something happen just before a session is created."""

    before_create: Callable[[], Awaitable[None]] | None = None

    async def create(self, session: Session, **options: Any) -> Sequence[str]:
        if self.before_create is not None:
            await self.before_create()
        return await super().create(session, **options)


async def _insert(kit: AuthKit, email: str) -> User:
    return await kit.users.create(
        NewUser(email=email, display_name="x", password_hash=await kit.passwords.hash(PASSWORD))
    )


def _without_hash(user: Any) -> Any:
    return replace(user, password_hash=None)


class FailingVoids(MemoryTokenStore):
    """A store that is away at the n-th time that access tokens are voided."""

    def __init__(self, fails_at: int) -> None:
        super().__init__()
        self._left = fails_at

    async def void_access_tokens(self, user_id: str, now: datetime) -> int:
        self._left -= 1
        if self._left == 0:
            raise StoreUnavailable
        return await super().void_access_tokens(user_id, now)
