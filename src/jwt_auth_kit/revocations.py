"""What was revoked, remembered in this process for as long as an access token lives."""

from collections import OrderedDict
from datetime import datetime, timedelta

from .errors import RevokedToken


class RevocationFeed:
    """Ended sessions and raised epochs; looking one up costs two dictionary reads.

    Args:
        keep: how long an entry matters, the longest life of an access token.
    """

    def __init__(self, *, keep: timedelta) -> None:
        self._keep = keep
        self._sessions: OrderedDict[str, datetime] = OrderedDict()
        self._epochs: OrderedDict[str, tuple[int, datetime]] = OrderedDict()

    def add_session(self, session_id: str, now: datetime) -> None:
        """Refuse the access tokens of a session from now on."""
        self._sessions[session_id] = now + self._keep
        self._sessions.move_to_end(session_id)
        self._forget(now)

    def add_epoch(self, user_id: str, epoch: int, now: datetime) -> None:
        """Refuse a user's access tokens made below *epoch* from now on."""
        known, _ = self._epochs.get(user_id, (0, now))
        self._epochs[user_id] = (max(known, epoch), now + self._keep)
        self._epochs.move_to_end(user_id)
        self._forget(now)

    def check(self, user_id: str, epoch: int, session_id: str | None) -> None:
        """Let a token of this user, epoch and session pass.

        Raises:
            RevokedToken: the session ended, or the user's rights changed since.
        """
        if session_id in self._sessions:
            raise RevokedToken
        entry = self._epochs.get(user_id)
        if entry is not None and epoch < entry[0]:
            raise RevokedToken

    def __len__(self) -> int:
        return len(self._sessions) + len(self._epochs)

    def _forget(self, now: datetime) -> None:
        while self._sessions and next(iter(self._sessions.values())) < now:
            self._sessions.popitem(last=False)
        while self._epochs and next(iter(self._epochs.values()))[1] < now:
            self._epochs.popitem(last=False)
