"""The contract of UserStore."""

import asyncio
import uuid
from dataclasses import replace

import pytest

from ..errors import EmailTaken
from ..stores.base import NewUser, User, UserStore

NEW_ANN = NewUser(email="ann@example.com", display_name="Ann", password_hash="hash-of-ann")
NEW_BOB = NewUser(email="bob@example.com", display_name="Bob", password_hash="hash-of-bob")
IMPOSSIBLE_IDS = [
    *("", "0", "-1", "abc", "1.5", "1e0", "999", "None", "nan", "é", "\0", "' OR '1'='1"),
    *("3000000000", "9" * 30, "-" + "9" * 30, "9" * 5_000, "x" * 5_000, str(uuid.UUID(int=0))),
]


class UserStoreContract:
    """What every UserStore must do, races included."""

    pytestmark: pytest.MarkDecorator = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> str:
        """Run on asyncio alone, also where trio is installed."""
        return "asyncio"

    async def test_an_account_holds_what_it_was_made_of(self, store: UserStore) -> None:
        user = await store.create(replace(NEW_ANN, role="admin"))

        assert _seen(user) == ("ann@example.com", "Ann", "admin", True, "hash-of-ann")
        assert str(user.id)

    async def test_an_account_is_found_by_id_and_by_address(self, store: UserStore) -> None:
        ann, bob = await store.create(NEW_ANN), await store.create(NEW_BOB)

        for user in (ann, bob):
            for found in (
                await store.get_by_id(str(user.id)),
                await store.get_by_email(user.email),
            ):
                assert _seen(found) == _seen(user)
                assert found is not None
                assert str(found.id) == str(user.id)

    async def test_names_and_addresses_of_any_script_come_back(self, store: UserStore) -> None:
        new = NewUser(
            email="søren@bücher.example", display_name="Søren 李 😀'\"", password_hash="%s"
        )

        user = await store.create(new)

        assert _seen(await store.get_by_id(str(user.id))) == _seen(user)
        assert _seen(await store.get_by_email("søren@bücher.example")) == _seen(user)

    async def test_every_account_has_an_id_of_its_own(self, store: UserStore) -> None:
        users = [
            await store.create(replace(NEW_ANN, email=f"u{number}@example.com"))
            for number in range(5)
        ]

        assert len({str(user.id) for user in users}) == 5

    async def test_an_id_that_cannot_exist_finds_nobody(self, store: UserStore) -> None:
        await store.create(NEW_ANN)

        found = [user_id for user_id in IMPOSSIBLE_IDS if await store.get_by_id(user_id)]

        assert found == []

    async def test_an_id_that_cannot_exist_changes_nobody(self, store: UserStore) -> None:
        user = await store.create(NEW_ANN)

        for user_id in IMPOSSIBLE_IDS:
            assert not await store.set_password_hash(user_id, "new", expected="hash-of-ann")
            assert not await store.set_role(user_id, "admin")
            assert not await store.set_active(user_id, active=False)

        assert _seen(await store.get_by_id(str(user.id))) == _seen(user)

    async def test_an_id_has_one_spelling(self, store: UserStore) -> None:
        user = await store.create(NEW_ANN)
        spellings = [" {0}", "{0} ", "{0}\n", "+{0}", "0{0}", "{0}.0", "{{{0}}}", "urn:uuid:{0}"]
        others = [spelling.format(user.id) for spelling in spellings]
        others += [str(user.id).replace("-", ""), str(user.id).upper()]
        others = [text for text in others if text != str(user.id)]

        assert [text for text in others if await store.get_by_id(text)] == []

    async def test_an_address_nobody_has_finds_nobody(self, store: UserStore) -> None:
        await store.create(NEW_ANN)
        others = ["", "nobody@example.com", "ann@example.co", "nn@example.com", "%", "_nn@%"]

        assert [email for email in others if await store.get_by_email(email)] == []

    async def test_an_account_does_not_show_its_hash(self, store: UserStore) -> None:
        user = await store.create(NEW_ANN)

        assert "hash-of-ann" not in f"{user!r} {user} {NEW_ANN!r} {NEW_ANN}"

    async def test_an_address_is_given_once(self, store: UserStore) -> None:
        ann = await store.create(NEW_ANN)

        with pytest.raises(EmailTaken):
            await store.create(replace(NEW_BOB, email="ann@example.com"))

        assert _seen(await store.get_by_email("ann@example.com")) == _seen(ann)

    async def test_of_five_at_once_one_gets_the_address(self, store: UserStore) -> None:
        answers = await asyncio.gather(
            *(store.create(NEW_ANN) for _ in range(5)), return_exceptions=True
        )

        assert sum(isinstance(answer, EmailTaken) for answer in answers) == 4
        (winner,) = [answer for answer in answers if not isinstance(answer, BaseException)]
        found = await store.get_by_email("ann@example.com")
        assert found is not None
        assert str(found.id) == str(winner.id)

    async def test_after_a_refusal_the_store_goes_on(self, store: UserStore) -> None:
        await store.create(NEW_ANN)
        with pytest.raises(EmailTaken):
            await store.create(NEW_ANN)

        bob = await store.create(NEW_BOB)

        assert _seen(await store.get_by_id(str(bob.id))) == _seen(bob)

    async def test_a_hash_is_replaced_if_it_is_the_expected_one(self, store: UserStore) -> None:
        ann, bob = await store.create(NEW_ANN), await store.create(NEW_BOB)

        assert await store.set_password_hash(str(ann.id), "new", expected="hash-of-ann") is True

        found = await store.get_by_id(str(ann.id))
        assert _seen(found) == ("ann@example.com", "Ann", "user", True, "new")
        assert _seen(await store.get_by_id(str(bob.id))) == _seen(bob)

    @pytest.mark.parametrize("expected", ["hash-of-bob", "", "HASH-OF-ANN", "hash-of-ann ", None])
    async def test_a_hash_that_changed_meanwhile_stays(
        self, store: UserStore, expected: str | None
    ) -> None:
        user = await store.create(NEW_ANN)

        assert await store.set_password_hash(str(user.id), "new", expected=expected) is False

        assert _seen(await store.get_by_id(str(user.id))) == _seen(user)

    async def test_of_two_changes_at_once_one_wins(self, store: UserStore) -> None:
        user = await store.create(NEW_ANN)

        answers = await asyncio.gather(
            *(
                store.set_password_hash(str(user.id), f"new {number}", expected="hash-of-ann")
                for number in range(8)
            )
        )

        assert answers.count(True) == 1
        found = await store.get_by_id(str(user.id))
        assert found is not None
        assert found.password_hash == f"new {answers.index(True)}"

    async def test_a_role_is_changed(self, store: UserStore) -> None:
        ann, bob = await store.create(NEW_ANN), await store.create(NEW_BOB)

        assert await store.set_role(str(ann.id), "admin") is True

        found = await store.get_by_id(str(ann.id))
        assert _seen(found) == ("ann@example.com", "Ann", "admin", True, "hash-of-ann")
        assert _seen(await store.get_by_id(str(bob.id))) == _seen(bob)

    async def test_an_account_is_disabled_and_enabled(self, store: UserStore) -> None:
        ann, bob = await store.create(NEW_ANN), await store.create(NEW_BOB)

        assert await store.set_active(str(ann.id), active=False) is True
        disabled = await store.get_by_id(str(ann.id))
        assert await store.set_active(str(ann.id), active=True) is True
        enabled = await store.get_by_email(ann.email)

        assert _seen(disabled) == ("ann@example.com", "Ann", "user", False, "hash-of-ann")
        assert _seen(enabled) == _seen(ann)
        assert _seen(await store.get_by_id(str(bob.id))) == _seen(bob)

    async def test_saying_the_same_again_still_finds_the_user(self, store: UserStore) -> None:
        user = await store.create(NEW_ANN)

        assert await store.set_role(str(user.id), "user") is True
        assert await store.set_active(str(user.id), active=True) is True

    async def test_who_was_read_before_shows_what_was_then(self, store: UserStore) -> None:
        user = await store.create(NEW_ANN)

        await store.set_role(str(user.id), "admin")
        await store.set_password_hash(str(user.id), "new", expected="hash-of-ann")

        assert _seen(user) == ("ann@example.com", "Ann", "user", True, "hash-of-ann")


def _seen(user: User | None) -> tuple[object, ...]:
    assert user is not None
    return (user.email, user.display_name, user.role, user.is_active, user.password_hash)
