"""The command ``purge``: deletes sessions that are over."""

from ..kit.auth_kit import AuthKit

BATCH = 1000


async def purge_all(kit: AuthKit) -> int:
    """Purge in batches, so that no statement holds many rows; return how many went."""
    total = 0
    while deleted := await kit.purge(limit=BATCH):
        total += deleted
    return total
