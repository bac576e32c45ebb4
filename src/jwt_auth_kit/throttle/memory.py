"""Logs of attempts, and the networks accounts signed in from, in this process."""

import secrets
import threading
import time
from collections import OrderedDict, defaultdict
from datetime import timedelta
from typing import NamedTuple

from .limits import MAX_NETWORKS, SALT_BYTES, Limit
from .remembered_networks import RememberedNetworks

MAX_SUBJECTS = 100_000  # that are remembered for a limit


class _Entry(NamedTuple):
    at: float
    attempt_id: str


class MemoryLogs:
    """Logs in this process. Safe under threads and event loops.

    The memory storages of ``limits`` walk all their keys at an increment, so each guess would
    cost more the more accounts an attacker has tried. Here every call takes constant time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Of each limit, by subject; the one that was counted last comes last.
        self._logs: defaultdict[str, OrderedDict[str, list[_Entry]]] = defaultdict(OrderedDict)
        self._networks = RememberedNetworks(most_of_account=MAX_NETWORKS, most=MAX_SUBJECTS)
        self._salt = secrets.token_bytes(SALT_BYTES)

    async def count(self, limit: Limit, subject: str, attempt_id: str) -> float:
        with self._lock:
            now = time.monotonic()
            logs = self._logs[limit.name]
            log = logs.get(subject, [])
            waits = (
                log[-amount].at + seconds - now
                for amount, seconds in limit.windows
                if len(log) >= amount
            )
            wait = max(waits, default=0.0)
            if wait > 0:
                return wait
            logs[subject] = [entry for entry in log if entry.at + limit.longest > now]
            logs[subject].append(_Entry(now, attempt_id))
            logs.move_to_end(subject)
            self._forget_old_logs(logs, now - limit.longest)
            return 0.0

    @staticmethod
    def _forget_old_logs(logs: OrderedDict[str, list[_Entry]], before: float) -> None:
        # Two for each one that comes: old ones melt away, and no call has to walk them all.
        for _ in range(2):
            oldest = next(iter(logs.values()))
            if oldest[-1].at <= before or len(logs) > MAX_SUBJECTS:
                logs.popitem(last=False)

    async def give_back(self, limit: Limit, subject: str, attempt_id: str) -> None:
        with self._lock:
            log = self._logs[limit.name].pop(subject, [])
            if left := [entry for entry in log if entry.attempt_id != attempt_id]:
                self._logs[limit.name][subject] = left

    async def clear(self, limit: Limit, subject: str) -> None:
        with self._lock:
            self._logs[limit.name].pop(subject, None)

    async def salt(self) -> bytes:
        return self._salt

    async def remember(
        self, account: str, network: str, span: timedelta, *, alone: bool = False
    ) -> None:
        with self._lock:
            if alone:
                self._networks.forget(account)
            now = time.monotonic()
            self._networks.add(account, network, now + span.total_seconds(), now)

    async def is_remembered(self, account: str, network: str) -> bool:
        with self._lock:
            return time.monotonic() < self._networks.until(account, network)

    async def forget_networks(self, account: str) -> None:
        with self._lock:
            self._networks.forget(account)

    async def aclose(self) -> None:
        pass

    def __repr__(self) -> str:
        return "'memory://'"
