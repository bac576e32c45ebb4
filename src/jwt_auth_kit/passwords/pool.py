"""A few threads for hashing, and a queue before them in which no network keeps out the others."""

import asyncio
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, Literal, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

from ..errors import Busy

T = TypeVar("T")

Priority = Literal["login", "sign_up"]
"""Logins, and whatever else an account's owner waits for, come before new accounts."""

MAX_LOGINS_IN_A_ROW = 9
"""While sign-ups wait: the turn after so many logins is theirs, or a flood would starve them."""


class PasswordPool:
    """Runs functions in threads, as many at once as there are threads; the others wait in line.

    Args:
        threads: functions that run at once.
        queue: calls that may wait; when it is full, the network that holds most of it loses.
    """

    def __init__(self, *, threads: int, queue: int) -> None:
        self._threads = threads
        self._queue = queue
        self._desks: anyio.lowlevel.RunVar[_Desk] = anyio.lowlevel.RunVar(
            f"jwt_auth_kit.passwords.{id(self)}"
        )

    async def run(
        self,
        function: Callable[..., T],
        *arguments: object,
        network: str | None,
        priority: Priority,
    ) -> T:
        """Call *function* in a thread when it is the turn of *network*; None where it is unknown.

        Raises:
            Busy: the queue is full, and no other network holds more of it.
        """
        desk = self._desk()
        place = _Place(network, priority)
        desk.enter(place)
        try:
            await place.turn()
        except BaseException:
            desk.leave_line(place)
            raise
        return await desk.work(lambda: function(*arguments))

    def _desk(self) -> "_Desk":
        """Return the threads and the queue of the running event loop; loops cannot share them."""
        desk = self._desks.get(None)
        if desk is None:
            desk = _Desk(self._threads, self._queue)
            self._desks.set(desk)
        return desk


class _Place:
    """A call that waits, or waited, for its turn."""

    def __init__(self, network: str | None, priority: Priority) -> None:
        self.network = network
        self.priority = priority
        self.has_thread = False
        self._is_decided = anyio.Event()

    async def turn(self) -> None:
        """Wait for a thread.

        Raises:
            Busy: the place went to another network.
        """
        if not self.has_thread:
            await self._is_decided.wait()
        if not self.has_thread:
            raise Busy

    def give_thread(self) -> None:
        self.has_thread = True
        self._is_decided.set()

    def refuse(self) -> None:
        self._is_decided.set()


class _Desk:
    """Hands the threads of one event loop to those who wait.

    Nothing here awaits between a decision and its effect, so no two calls get one thread, and a
    thread that gets free goes straight to whoever is next.
    """

    def __init__(self, threads: int, queue: int) -> None:
        self._free = threads
        self._queue = queue
        self._limiter = anyio.CapacityLimiter(max(threads, 1))
        self._logins = _Line()
        self._sign_ups = _Line()
        self._logins_in_a_row = 0

    def enter(self, place: _Place) -> None:
        """Give *place* a free thread, or let it wait.

        Raises:
            Busy: the queue is full, and no other network holds more of it.
        """
        if self._free > 0:
            self._free -= 1
            place.give_thread()
            return
        if len(self._logins) + len(self._sign_ups) >= self._queue:
            self._make_room(place)
        self._line(place).add(place)

    def leave_line(self, place: _Place) -> None:
        """Take away *place*, whose caller left; its thread, if it has got one, goes to the next."""
        if place.has_thread:
            self._give_back_thread()
        else:
            self._line(place).discard(place)

    async def work(self, function: Callable[[], T]) -> T:
        """Call *function* in the thread that was given, and pass the thread on afterwards."""
        job = _Job(function, self._give_back_thread)
        try:
            return await anyio.to_thread.run_sync(job.run, limiter=self._limiter)
        finally:
            job.end()

    def _give_back_thread(self) -> None:
        place = self._take_next()
        if place is None:
            self._free += 1
        else:
            place.give_thread()

    def _take_next(self) -> _Place | None:
        is_turn_of_sign_ups = self._logins_in_a_row >= MAX_LOGINS_IN_A_ROW
        if self._sign_ups and (is_turn_of_sign_ups or not self._logins):
            self._logins_in_a_row = 0
            return self._sign_ups.take()
        if not self._logins:
            return None
        self._logins_in_a_row = self._logins_in_a_row + 1 if self._sign_ups else 0
        return self._logins.take()

    def _make_room(self, newcomer: _Place) -> None:
        if newcomer.priority == "login" and self._sign_ups:
            loser: _Place | None = self._sign_ups.find_dispensable()
        else:
            loser = self._line(newcomer).find_loser(newcomer)
        if loser is None:
            raise Busy
        self._line(loser).discard(loser)
        loser.refuse()

    def _line(self, place: _Place) -> "_Line":
        return self._logins if place.priority == "login" else self._sign_ups


class _Line:
    """Those who wait, with a turn for each network.

    Callers whose address is not known may be one or many, so they are no network: they have
    every other turn while networks wait too, and half of a full queue. With fewer turns one
    network could keep them out, with more a flood of them would keep out the networks.
    """

    def __init__(self) -> None:
        # The network whose turn is next comes first.
        self._known: OrderedDict[str, deque[_Place]] = OrderedDict()
        self._unknown: deque[_Place] = deque()
        self._is_turn_of_unknown = False

    def __len__(self) -> int:
        return self._count_known() + len(self._unknown)

    def add(self, place: _Place) -> None:
        """Let *place* wait behind those of its network."""
        if place.network is None:
            self._unknown.append(place)
        else:
            self._known.setdefault(place.network, deque()).append(place)

    def take(self) -> _Place:
        """Take away whoever is next."""
        if self._unknown and (self._is_turn_of_unknown or not self._known):
            self._is_turn_of_unknown = False
            return self._unknown.popleft()
        self._is_turn_of_unknown = True
        network, places = self._known.popitem(last=False)
        place = places.popleft()
        if places:
            self._known[network] = places
        return place

    def discard(self, place: _Place) -> None:
        """Take away *place*, if it still waits."""
        waiting = self._unknown if place.network is None else self._known.get(place.network, ())
        if place in waiting:
            waiting.remove(place)  # type: ignore[union-attr]  # the tuple is empty
        if place.network is not None and not waiting:
            self._known.pop(place.network, None)

    def find_dispensable(self) -> _Place:
        """Find who gives way to a call of higher priority: the newest of those who hold most."""
        biggest = self._biggest_network()
        return self._unknown[-1] if len(self._unknown) > len(biggest) else biggest[-1]

    def find_loser(self, newcomer: _Place) -> _Place | None:
        """Find who gives way to *newcomer*; None where nobody holds more than its share."""
        known, unknown = self._count_known(), len(self._unknown)
        if newcomer.network is not None and unknown > known:
            return self._unknown[-1]
        if newcomer.network is None and unknown >= known:
            return None
        biggest = self._biggest_network()
        own = self._known.get(newcomer.network or "", ())
        return biggest[-1] if len(biggest) > len(own) + 1 else None

    def _biggest_network(self) -> deque[_Place]:
        return max(reversed(self._known.values()), key=len, default=deque())

    def _count_known(self) -> int:
        return sum(map(len, self._known.values()))


class _Job(Generic[T]):
    """A function that runs in a thread, which is passed on when the function has returned.

    anyio waits for the thread when a scope is cancelled, but a task of asyncio that is cancelled
    leaves at once, while the thread still hashes. Were the thread passed on then, more would run
    than are allowed.
    """

    def __init__(self, function: Callable[[], T], give_back_thread: Callable[[], None]) -> None:
        self._function = function
        self._give_back_thread = give_back_thread
        self._lock = threading.Lock()
        self._state: Literal["waits", "runs", "over"] = "waits"
        self._abandoned_in: asyncio.AbstractEventLoop | None = None

    def run(self) -> T:
        """Call the function: what the thread does.

        Raises:
            Busy: the caller left before; nobody sees it.
        """
        with self._lock:
            if self._state == "over":
                raise Busy
            self._state = "runs"
        try:
            return self._function()
        finally:
            with self._lock:
                self._state = "over"
            if self._abandoned_in is not None:
                with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
                    self._abandoned_in.call_soon_threadsafe(self._give_back_thread)

    def end(self) -> None:
        """Pass the thread on, at once or when the function returns: what the caller does."""
        with self._lock:
            if self._state == "runs":
                self._abandoned_in = asyncio.get_running_loop()
                return
            self._state = "over"
        self._give_back_thread()
