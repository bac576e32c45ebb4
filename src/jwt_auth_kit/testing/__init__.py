"""Contracts that every store must pass, for the tests of stores of your own. Needs pytest.

A subclass with a ``store`` fixture is all it takes::

    class TestMyStore(TokenStoreContract):
        @pytest.fixture
        async def store(self) -> TokenStore:
            return MyStore()

Its tests are marked for anyio's pytest plugin, which comes with FastAPI.
"""

import pytest

# Before the import, so that a failing contract shows what it compared.
pytest.register_assert_rewrite(f"{__name__}.token_stores", f"{__name__}.user_stores")

from .token_stores import TokenStoreContract  # noqa: E402
from .user_stores import UserStoreContract  # noqa: E402

__all__ = ["TokenStoreContract", "UserStoreContract"]
