"""Helpers for tests of your own: contracts of stores, and users who are signed in. Needs pytest.

A subclass with a ``store`` fixture is all it takes::

    class TestMyStore(TokenStoreContract):
        @pytest.fixture
        async def store(self) -> TokenStore:
            return MyStore()

Its tests are marked for anyio's pytest plugin, which comes with FastAPI.
"""

import pytest

# Before the import, so that a failing contract shows what it compared.
pytest.register_assert_rewrite(
    *(f"{__name__}.{name}" for name in ("failure_stores", "token_stores", "user_stores"))
)

from .failure_stores import FailureStoreContract  # noqa: E402
from .token_stores import TokenStoreContract  # noqa: E402
from .user_stores import UserStoreContract  # noqa: E402
from .users import signed_in_as  # noqa: E402

__all__ = ["FailureStoreContract", "TokenStoreContract", "UserStoreContract", "signed_in_as"]
