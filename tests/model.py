"""Every run of clients, messages and a thief against the rotation rule, by exhaustive search.

Time is counted in ticks of half a reuse window: a message takes up to one tick each way, so a
round trip fits into the window. The rule only compares generations, so their order is kept and
their numbers are not, and ages end at "later than the window". States repeat then, and the search
ends although runs do not: what it finds holds for runs of any length.

In a FailingStore the search also takes every way for the store to lose its last writes. There the
generations that were handed out and lost keep their numbers, since the store makes them again.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple, Protocol

from jwt_auth_kit.sessions import Decision, Outcome, Session, confirm, decide

TICK = timedelta(seconds=15)
WINDOW = 2
LATE = WINDOW + 1
START = datetime(2026, 1, 1, tzinfo=UTC)
NOON = START + timedelta(days=1)


class Answer(NamedTuple):
    """What a server gives: the generation to hold, and whether the cookie is sent again."""

    row: Any
    gen: int | None
    sets_cookie: bool = True


class Rule(Protocol):
    """A rotation policy over a row of its own; ``None`` as the row means the session ended."""

    @property
    def start(self) -> Any: ...

    def refresh(self, row: Any, gen: int) -> Answer: ...
    def sight(self, row: Any, gen: int) -> Any: ...
    def wait(self, row: Any) -> Any: ...
    def gens(self, row: Any) -> tuple[int, ...]: ...
    def newest(self, row: Any) -> int: ...
    def rename(self, row: Any, names: Mapping[int, int]) -> Any: ...


class Row(NamedTuple):
    """Our session as far as ``decide`` looks at it; ``age`` counts from ``window_from``."""

    gen: int
    parent: int
    confirmed: bool
    age: int
    known: int | None = None


class OurRule:
    """The library's own ``decide`` and ``confirm``."""

    start = Row(gen=0, parent=-1, confirmed=False, age=0)

    def refresh(self, row: Row, gen: int) -> Answer:
        outcome, changed = _decide(row, gen)
        if outcome in {Outcome.DEAD, Outcome.REUSE}:
            return Answer(None, None)
        kept = outcome in {Outcome.KEEP, Outcome.ADOPT}
        return Answer(changed, changed.gen, sets_cookie=not kept)

    def sight(self, row: Row, gen: int) -> Row | None:
        outcome, changed = _confirm(row, gen)
        return None if outcome is Outcome.REUSE else changed

    def wait(self, row: Row) -> Row:
        return row._replace(age=min(row.age + 1, LATE))

    def gens(self, row: Row) -> tuple[int, ...]:
        return (row.parent, row.gen, *(() if row.known is None else (row.known,)))

    def newest(self, row: Row) -> int:
        return row.gen

    def rename(self, row: Row, names: Mapping[int, int]) -> Row:
        known = None if row.known is None else names[row.known]
        return row._replace(gen=names[row.gen], parent=names[row.parent], known=known)


class BlindRule(OurRule):
    """Takes what was lost in a failover for orphans: it does not know what it never saw."""

    def refresh(self, row: Row, gen: int) -> Answer:
        answer = super().refresh(row, gen)
        if answer.gen is None or answer.row.known is None:
            return answer
        return answer._replace(row=answer.row._replace(known=None))


class StrictRule:
    """Single use: whatever is not the newest token ends the session."""

    start = 0

    def refresh(self, row: int, gen: int) -> Answer:
        return Answer(row + 1, row + 1) if gen == row else Answer(None, None)

    def sight(self, row: int, gen: int) -> int:
        return row

    def wait(self, row: int) -> int:
        return row

    def gens(self, row: int) -> tuple[int, ...]:
        return (row,)

    def newest(self, row: int) -> int:
        return row

    def rename(self, row: int, names: Mapping[int, int]) -> int:
        return names[row]


class GraceForkRule:
    """A spent token makes a further child within the window, and ends the session after it.

    The row holds (generation, age since it was spent, or None while unspent); each child is a
    new generation.
    """

    start = ((0, None),)

    def refresh(self, row: Any, gen: int) -> Answer:
        spent = dict(row)
        age = spent.get(gen, LATE)
        if age is not None and age > WINDOW:
            return Answer(None, None)
        child = self.gens(row)[-1] + 1
        spent[gen] = 0 if age is None else age
        spent[child] = None
        return Answer(tuple(sorted(spent.items())), child)

    def sight(self, row: Any, gen: int) -> Any:
        return row

    def wait(self, row: Any) -> Any:
        older = ((gen, None if age is None else min(age + 1, LATE)) for gen, age in row)
        return tuple((gen, age) for gen, age in older if age is None or age < LATE)

    def gens(self, row: Any) -> tuple[int, ...]:
        return tuple(gen for gen, _ in row)

    def newest(self, row: Any) -> int:
        return self.gens(row)[-1]

    def rename(self, row: Any, names: Mapping[int, int]) -> Any:
        return tuple((names[gen], age) for gen, age in row)


class Copies(NamedTuple):
    """A row, and the older copy of it that a failover would go back to."""

    row: Any
    kept: Any
    behind: int
    """For how many ticks writes have been lost."""
    failovers: int
    """How many may still come."""


@dataclass(frozen=True)
class FailingStore:
    """A rule over a store that loses its last writes and goes on: what a failover does.

    The store is away for a while then, so that no request is under way when it comes back. An
    *instant* failover has no such pause; what it loses begins with a new generation.
    """

    rule: Rule
    failovers: int = 1
    longest: int = 4
    """For how many ticks writes may be lost before a failover."""
    instant: bool = False

    def __str__(self) -> str:
        kind = "instant failover" if self.instant else "failover"
        return f"{type(self.rule).__name__} with {self.failovers} {kind} after {self.longest} ticks"

    @property
    def start(self) -> Copies:
        return Copies(self.rule.start, None, 0, self.failovers)

    def refresh(self, row: Copies, gen: int) -> Answer:
        answer = self.rule.refresh(row.row, gen)
        return (
            answer._replace(row=row._replace(row=answer.row)) if answer.row is not None else answer
        )

    def sight(self, row: Copies, gen: int) -> Copies | None:
        seen = self.rule.sight(row.row, gen)
        return None if seen is None else row._replace(row=seen)

    def wait(self, row: Copies) -> Copies:
        older = row._replace(row=self.rule.wait(row.row))
        if row.kept is None:
            return older
        if row.behind == self.longest:  # the copy has caught up
            return older._replace(kept=None, behind=0)
        return older._replace(kept=self.rule.wait(row.kept), behind=row.behind + 1)

    def gens(self, row: Copies) -> tuple[int, ...]:
        return tuple(gen for copy in _copies(row) for gen in self.rule.gens(copy))

    def newest(self, row: Copies) -> int:
        return min(self.rule.newest(copy) for copy in _copies(row))

    def rename(self, row: Copies, names: Mapping[int, int]) -> Copies:
        kept = None if row.kept is None else self.rule.rename(row.kept, names)
        return row._replace(row=self.rule.rename(row.row, names), kept=kept)

    def lose(self, row: Copies) -> Copies | None:
        """Lose the writes from here on; None where that cannot be, or has begun before."""
        return row._replace(kept=row.row) if row.kept is None and row.failovers else None

    def fail_over(self, row: Copies) -> Copies | None:
        """Go back to the copy; None where there is no other."""
        if row.kept is None or row.kept == row.row:
            return None
        return Copies(row.kept, None, 0, row.failovers - 1)


def _copies(row: Copies) -> list[Any]:
    return [copy for copy in (row.row, row.kept) if copy is not None]


class Message(NamedTuple):
    """Something on its way: a request, an answer, or the sight of an access token."""

    kind: str
    gen: int
    age: int = 0
    sets_cookie: bool = True


class World(NamedTuple):
    """Tabs with one cookie jar. ``access`` is the generation of the access token in it."""

    row: Any
    jar: int
    access: int
    messages: tuple[Message, ...]


@dataclass(frozen=True)
class HonestRun:
    """How many tabs there are and what may go wrong."""

    tabs: int = 2
    losses: bool = True
    sights: int = 1
    slowest_sight: int = 1


class Found(NamedTuple):
    """Result of a search."""

    states: int
    bad: int
    example: tuple[str, ...]


def search_honest(rule: Rule, run: HonestRun, *, limit: int | None = None) -> Found:
    """Search for runs in which an honest client is refused."""
    start = World(rule.start, jar=0, access=0, messages=())

    def steps(world: World) -> Iterator[tuple[str, World | None]]:
        yield from _honest_steps(rule, run, world)
        if isinstance(rule, FailingStore):
            yield from _failures(rule, run, world)

    return _search(start, steps, _honest_names(rule), limit)


def _honest_steps(rule: Rule, run: HonestRun, world: World) -> Iterator[tuple[str, World | None]]:
    """Yield what may happen next; None is an honest client refused."""
    busy = sum(message.kind != "sight" for message in world.messages)
    if busy < run.tabs:
        yield "send", _with(world, Message("request", world.jar))
    if len(world.messages) - busy < run.sights:
        yield "call", _with(world, Message("sight", world.access))
    for message in dict.fromkeys(world.messages):
        rest = _without(world, message)
        if run.losses:
            yield f"lose {message.kind}", rest
        yield f"deliver {message.kind}", _delivered(rule, rest, message)
    if all(message.age < _slowest(run, message) for message in world.messages):
        older = tuple(m._replace(age=m.age + 1) for m in world.messages)
        yield "tick", world._replace(row=rule.wait(world.row), messages=tuple(sorted(older)))


def _failures(rule: FailingStore, run: HonestRun, world: World) -> Iterator[tuple[str, World]]:
    lossy, back = rule.lose(world.row), rule.fail_over(world.row)
    is_quiet = all(message.kind == "sight" for message in world.messages)
    if lossy is not None and not rule.instant:
        yield "writes are lost", world._replace(row=lossy)
    if lossy is not None and rule.instant:
        for name, after in _honest_steps(rule, run, world._replace(row=lossy)):
            if after is not None and after.row.row.gen != world.row.row.gen:
                yield f"{name}, the write is lost", after
    if back is not None and (is_quiet or rule.instant):
        yield "failover", world._replace(row=back)


def _delivered(rule: Rule, world: World, message: Message) -> World | None:
    if message.kind == "answer":
        jar = message.gen if message.sets_cookie else world.jar
        return world._replace(jar=jar, access=message.gen)
    if message.kind == "sight":
        row = rule.sight(world.row, message.gen)
        return None if row is None else world._replace(row=row)
    answer = rule.refresh(world.row, message.gen)
    if answer.gen is None:
        return None
    reply = Message("answer", answer.gen, sets_cookie=answer.sets_cookie)
    return _with(world._replace(row=answer.row), reply)


def _slowest(run: HonestRun, message: Message) -> int:
    return run.slowest_sight if message.kind == "sight" else 1


def _with(world: World, message: Message) -> World:
    return world._replace(messages=tuple(sorted((*world.messages, message))))


def _without(world: World, message: Message) -> World:
    messages = list(world.messages)
    messages.remove(message)
    return world._replace(messages=tuple(messages))


def _honest_names(rule: Rule) -> Callable[[World], World]:
    def named(world: World) -> World:
        held = [world.jar, world.access, *(message.gen for message in world.messages)]
        names = _names(rule, world.row, held)
        return World(
            row=rule.rename(world.row, names),
            jar=names[world.jar],
            access=names[world.access],
            messages=tuple(sorted(m._replace(gen=names[m.gen]) for m in world.messages)),
        )

    return named


def _names(rule: Rule, row: Any, held: Iterable[int]) -> dict[int, int]:
    """Number the generations anew from the newest one of the row down, keeping their order.

    Those that the row does not know keep their distance: the store will make them again.
    """
    newest = rule.newest(row)
    known = {*rule.gens(row), *held}
    ordered = sorted(gen for gen in known if gen <= newest)
    names = {gen: place - len(ordered) + 1 for place, gen in enumerate(ordered)}
    return {**names, **{gen: gen - newest for gen in known if gen > newest}}


class Theft(NamedTuple):
    """A victim and a thief; whoever moves after the other moves later than the window."""

    row: Any
    victim: int
    victim_access: int
    thief: tuple[int, ...]
    """The generations the thief holds, refresh and access token of each."""
    last: str
    turns: int
    """Successful refreshes of thief, victim, thief ... so far, in this order."""


def search_theft(rule: Rule, *, turns: int, limit: int | None = None) -> Found:
    """Search for runs in which thief and victim refresh in turn, *turns* times, unnoticed.

    Either may use an access token, keep it unused for ever, refresh often or never, and the
    victim may lose answers. After a failover the turns are counted anew.
    """

    def steps(theft: Theft) -> Iterator[tuple[str, Theft | None]]:
        yield from _theft_steps(rule, turns, theft)
        if isinstance(rule, FailingStore):
            yield from _failures_beside(rule, theft)

    found = [_search(start, steps, _theft_names(rule), limit) for start in _thefts(rule)]
    example = next((f.example for f in found if f.bad), ())
    return Found(sum(f.states for f in found), sum(f.bad for f in found), example)


def _thefts(rule: Rule) -> Iterator[Theft]:
    """The stolen token is the newest one: just given, or confirmed."""
    newest = rule.gens(rule.start)[-1]
    for row in (rule.start, rule.sight(rule.start, newest)):
        yield Theft(row, newest, newest, thief=(newest,), last="victim", turns=0)


def _theft_steps(rule: Rule, turns: int, theft: Theft) -> Iterator[tuple[str, Theft | None]]:
    """Yield what may happen next; None is a thief who got away with *turns* turns.

    A step that ends the session is not taken: there the theft is noticed.
    """
    for party, moves in (("victim", _victim_moves), ("thief", _thief_moves)):
        late = theft._replace(row=_long_after(rule, theft.row))
        for before in (theft, late) if party == theft.last else (late,):
            for name, after in moves(rule, before):
                yield name, None if after.turns >= turns else after._replace(last=party)


def _failures_beside(rule: FailingStore, theft: Theft) -> Iterator[tuple[str, Theft]]:
    lossy, back = rule.lose(theft.row), rule.fail_over(theft.row)
    if lossy is not None:
        yield "writes are lost", theft._replace(row=lossy)
    if back is not None:
        yield "failover", theft._replace(row=back, turns=0)


def _victim_moves(rule: Rule, theft: Theft) -> Iterator[tuple[str, Theft]]:
    answer = rule.refresh(theft.row, theft.victim)
    if answer.gen is not None:
        lost = theft._replace(row=answer.row)
        yield "victim refreshes, the answer is lost", lost
        turns = theft.turns + (theft.turns % 2 == 1)
        yield (
            "victim refreshes",
            lost._replace(victim=answer.gen, victim_access=answer.gen, turns=turns),
        )
    row = rule.sight(theft.row, theft.victim_access)
    if row is not None:
        yield "victim calls", theft._replace(row=row)


def _thief_moves(rule: Rule, theft: Theft) -> Iterator[tuple[str, Theft]]:
    for gen in theft.thief:
        answer = rule.refresh(theft.row, gen)
        if answer.gen is not None:
            turns = theft.turns + (theft.turns % 2 == 0)
            held = tuple(sorted({*theft.thief, answer.gen}))
            yield "thief refreshes", theft._replace(row=answer.row, thief=held, turns=turns)
        row = rule.sight(theft.row, gen)
        if row is not None:
            yield "thief calls", theft._replace(row=row)


def _long_after(rule: Rule, row: Any) -> Any:
    for _ in range(LATE):
        row = rule.wait(row)
    return row


def _theft_names(rule: Rule) -> Callable[[Theft], Theft]:
    def named(theft: Theft) -> Theft:
        held = _worth_holding(rule, theft.row, theft.thief)
        names = _names(rule, theft.row, (theft.victim, theft.victim_access, *held))
        return theft._replace(
            row=rule.rename(theft.row, names),
            victim=names[theft.victim],
            victim_access=names[theft.victim_access],
            thief=tuple(names[gen] for gen in held),
        )

    return named


def _worth_holding(rule: Rule, row: Any, held: tuple[int, ...]) -> tuple[int, ...]:
    """Of several generations between the same two the row knows, one stands for all."""
    known, newest = set(rule.gens(row)), rule.newest(row)
    by_place = {
        (sum(k < gen for k in known), gen if gen in known or gen > newest else None): gen
        for gen in held
    }
    return tuple(sorted(by_place.values()))


def _search(
    start: Any,
    steps: Callable[[Any], Iterator[tuple[str, Any]]],
    named: Callable[[Any], Any],
    limit: int | None,
) -> Found:
    """Visit every state once, breadth first; keep one shortest bad run as an example."""
    first = named(start)
    came_from: dict[Any, tuple[Any, str] | None] = {first: None}
    queue = deque([first])
    bad = 0
    example: tuple[str, ...] = ()
    while queue and (limit is None or len(came_from) < limit):
        state = queue.popleft()
        for name, after in steps(state):
            if after is None:
                bad += 1
                example = example or (*_path(came_from, state), name)
                continue
            reached = named(after)
            if reached not in came_from:
                came_from[reached] = (state, name)
                queue.append(reached)
    return Found(len(came_from), bad, example)


def _path(came_from: dict[Any, tuple[Any, str] | None], state: Any) -> list[str]:
    names: list[str] = []
    while (step := came_from[state]) is not None:
        state, name = step
        names.append(name)
    return names[::-1]


FIRST = 1000
"""Added to a number of the model to make a generation, which is never below 1."""


@cache
def _decide(row: Row, gen: int) -> tuple[Outcome, Row]:
    session = _session(row)
    decision = decide(
        session,
        FIRST + gen,
        NOON,
        sessions_from=0,
        window=WINDOW * TICK,
        idle_ttl=timedelta(days=7),
    )
    return _result(session, decision)


@cache
def _confirm(row: Row, gen: int) -> tuple[Outcome, Row]:
    session = _session(row)
    return _result(session, confirm(session, FIRST + gen, NOON, sessions_from=0))


def _session(row: Row) -> Session:
    session = Session.start(
        "user", START, epoch=0, idle_ttl=timedelta(days=7), absolute_ttl=timedelta(days=30)
    )
    return replace(
        session,
        gen=FIRST + row.gen,
        parent=FIRST + row.parent,
        confirmed=row.confirmed,
        known_gen=0 if row.known is None else FIRST + row.known,
        window_from=NOON - row.age * TICK,
    )


def _result(session: Session, decision: Decision) -> tuple[Outcome, Row]:
    after = session.changed(decision.changes or {})
    age = (NOON - after.window_from) // TICK
    known = after.known_gen - FIRST if after.known_gen >= after.parent else None
    return decision.outcome, Row(
        after.gen - FIRST, after.parent - FIRST, after.confirmed, age, known
    )
