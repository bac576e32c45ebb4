"""Every run of clients, messages and a thief against the rotation rule, by exhaustive search.

Time is counted in ticks of half a reuse window: a message takes up to one tick each way, so a
round trip fits into the window. The rule only compares generations, so their order is kept and
their numbers are not, and ages end at "later than the window". States repeat then, and the search
ends although runs do not: what it finds holds for runs of any length.
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

    start: Any

    def refresh(self, row: Any, gen: int) -> Answer: ...
    def sight(self, row: Any, gen: int) -> Any: ...
    def wait(self, row: Any) -> Any: ...
    def gens(self, row: Any) -> tuple[int, ...]: ...
    def rename(self, row: Any, names: Mapping[int, int]) -> Any: ...


class Row(NamedTuple):
    """Our session as far as ``decide`` looks at it; ``age`` counts from ``window_from``."""

    gen: int
    parent: int
    confirmed: bool
    age: int


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
        return (row.parent, row.gen)

    def rename(self, row: Row, names: Mapping[int, int]) -> Row:
        return row._replace(gen=names[row.gen], parent=names[row.parent])


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

    def rename(self, row: Any, names: Mapping[int, int]) -> Any:
        return tuple((names[gen], age) for gen, age in row)


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
    return _search(start, lambda world: _honest_steps(rule, run, world), _honest_names(rule), limit)


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
    """Number the generations anew from the newest one down, keeping their order."""
    ordered = sorted({*rule.gens(row), *held})
    return {gen: place - len(ordered) + 1 for place, gen in enumerate(ordered)}


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
    victim may lose answers.
    """
    found = [
        _search(start, lambda theft: _theft_steps(rule, turns, theft), _theft_names(rule), limit)
        for start in _thefts(rule)
    ]
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
        held = _worth_holding(rule.gens(theft.row), theft.thief)
        names = _names(rule, theft.row, (theft.victim, theft.victim_access, *held))
        return theft._replace(
            row=rule.rename(theft.row, names),
            victim=names[theft.victim],
            victim_access=names[theft.victim_access],
            thief=tuple(names[gen] for gen in held),
        )

    return named


def _worth_holding(known: tuple[int, ...], held: tuple[int, ...]) -> tuple[int, ...]:
    """Of several generations between the same two the row knows, one stands for all."""
    by_place = {(sum(k < gen for k in known), gen in known): gen for gen in held}
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


@cache
def _decide(row: Row, gen: int) -> tuple[Outcome, Row]:
    session = _session(row)
    decision = decide(
        session,
        gen,
        NOON,
        sessions_from=0,
        window=WINDOW * TICK,
        idle_ttl=timedelta(days=7),
    )
    return _result(session, decision)


@cache
def _confirm(row: Row, gen: int) -> tuple[Outcome, Row]:
    session = _session(row)
    return _result(session, confirm(session, gen, NOON, sessions_from=0))


def _session(row: Row) -> Session:
    session = Session.start(
        "user", START, epoch=0, idle_ttl=timedelta(days=7), absolute_ttl=timedelta(days=30)
    )
    return replace(
        session,
        gen=row.gen,
        parent=row.parent,
        confirmed=row.confirmed,
        window_from=NOON - row.age * TICK,
    )


def _result(session: Session, decision: Decision) -> tuple[Outcome, Row]:
    after = session.changed(decision.changes or {})
    age = (NOON - after.window_from) // TICK
    return decision.outcome, Row(after.gen, after.parent, after.confirmed, age)
