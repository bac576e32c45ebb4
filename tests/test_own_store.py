"""The home-made store of the examples passes the contract."""

from pathlib import Path

import pytest

from examples.own_store import SQLiteStore
from jwt_auth_kit import TokenStore
from jwt_auth_kit.testing import FailureStoreContract, TokenStoreContract


class TestSQLiteStore(TokenStoreContract, FailureStoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> TokenStore:
        return SQLiteStore(tmp_path / "sessions.sqlite3")
