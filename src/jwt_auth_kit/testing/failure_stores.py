"""The contract of FailureStore."""

import asyncio

import pytest

from ..stores.base import FailureStore

ANN, BOB = "ann", "bob"


class FailureStoreContract:
    """What every TokenStore that counts failures must do, races included."""

    pytestmark: pytest.MarkDecorator = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> str:
        """Run on asyncio alone, also where trio is installed."""
        return "asyncio"

    async def test_the_store_counts_failures(self, store: FailureStore) -> None:
        assert isinstance(store, FailureStore)

    async def test_a_user_nothing_was_counted_of_has_no_failures(self, store: FailureStore) -> None:
        assert await store.failures(ANN) == 0

    async def test_each_failure_is_one_more(self, store: FailureStore) -> None:
        assert [await store.count_failure(ANN) for _ in range(3)] == [1, 2, 3]
        assert await store.failures(ANN) == 3

    async def test_failures_of_others_are_not_counted(self, store: FailureStore) -> None:
        await store.count_failure(ANN)

        assert await store.failures(BOB) == 0
        assert await store.count_failure("ANN") == 1

    async def test_an_id_may_hold_spaces_and_marks(self, store: FailureStore) -> None:
        assert await store.count_failure("unknown account 0001") == 1
        assert await store.count_failure("é:{😀}") == 1

    async def test_cleared_failures_begin_again(self, store: FailureStore) -> None:
        await store.count_failure(ANN)
        await store.count_failure(BOB)

        await store.clear_failures(ANN)

        assert await store.failures(ANN) == 0
        assert await store.failures(BOB) == 1
        assert await store.count_failure(ANN) == 1

    async def test_where_nothing_was_counted_nothing_is_cleared(self, store: FailureStore) -> None:
        await store.clear_failures(ANN)
        await store.clear_failures(ANN, below=2)

        assert await store.failures(ANN) == 0

    @pytest.mark.parametrize(("below", "left"), [(2, 2), (3, 0), (100, 0)])
    async def test_only_fewer_failures_are_cleared(
        self, store: FailureStore, below: int, left: int
    ) -> None:
        for _ in range(2):
            await store.count_failure(ANN)

        await store.clear_failures(ANN, below=below)

        assert await store.failures(ANN) == left

    async def test_sixteen_failures_at_once_are_sixteen(self, store: FailureStore) -> None:
        numbers = await asyncio.gather(*(store.count_failure(ANN) for _ in range(16)))

        assert sorted(numbers) == list(range(1, 17))
        assert await store.failures(ANN) == 16
