"""Who a request is from: decided before its body is read, and once for the whole request."""

from collections.abc import Awaitable, Callable, Container, Iterator
from typing import Any, TypeVar

from fastapi import HTTPException, Request
from fastapi.security import SecurityScopes
from starlette.types import Message, Receive, Scope

from .routing import find_dependant

_KEY = "jwt_auth_kit.beginning"
_MARK = "jwt_auth_kit_decided_first"

T = TypeVar("T")
DependencyT = TypeVar("DependencyT", bound=Callable[..., Any])


def decided_first(dependency: DependencyT) -> DependencyT:
    """Decorate a dependency: a route that has it decides by it before the body is read.

    It takes the connection, and then the scopes if it finds the user itself, or the user that the
    dependency below it has found. It is called again in its own place, so what may change while
    a body arrives is to be asked by ``decide_once``.
    """
    # Itself, since functools.wraps copies marks to functions that take something else.
    setattr(dependency, _MARK, dependency)
    return dependency


def begin(scope: Scope, receive: Receive) -> Receive:
    """Return what receives the body of a request, once it is decided who sends it."""
    # The application around this one would decide by the same route, and refuse a second time.
    end_beginning(scope)
    beginning = scope[_KEY] = _Beginning(scope, receive)
    return beginning


def end_beginning(scope: Scope) -> None:
    """Note that the dependencies of the route run, so that nothing is left to decide before."""
    beginning: _Beginning | None = scope.get(_KEY)
    if beginning is not None:
        beginning.is_over = True


def decide_once(
    scope: Scope, about: object, question: str, decide: Callable[[], Awaitable[T]]
) -> Awaitable[T]:
    """Return or raise what *decide* did when this request asked *question* for the first time."""
    beginning: _Beginning | None = scope.get(_KEY)
    # None for a WebSocket, and in an application that was not installed yet.
    return decide() if beginning is None else beginning.decide_once(about, question, decide)


class _Beginning:
    """The beginning of a request, which lasts until its body is asked for or its route runs.

    FastAPI reads the body of a request first and asks dependencies afterwards. A stranger could
    make the application take any number of gigabytes before the 401, and a user whose token
    expires meanwhile would be refused at the end of a long upload.
    """

    __slots__ = ("_decisions", "_receive", "_scope", "is_over")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._scope = scope
        self._receive = receive
        self._decisions: dict[tuple[int, str], tuple[object, Any, HTTPException | None]] = {}
        self.is_over: bool = False

    def __call__(self) -> Awaitable[Message]:
        """Receive a message; it is no coroutine itself, since an upload has very many of them."""
        return self._receive() if self.is_over else self._decide_and_receive()

    async def decide_once(
        self, about: object, question: str, decide: Callable[[], Awaitable[Any]]
    ) -> Any:
        key = id(about), question
        known = self._decisions.get(key)
        if known is None:
            try:
                known = about, await decide(), None
            except HTTPException as error:
                known = about, None, error
            self._decisions[key] = known  # holds what it is about, so that no other has its id
        _, answer, refusal = known
        if refusal is not None:
            raise refusal
        return answer

    async def _decide_and_receive(self) -> Message:
        # Before anything else: a handler of the application may read the body of a request that
        # is refused here.
        self.is_over = True
        try:
            await self._decide()
        except HTTPException:  # passes through FastAPI's reading of the body as it is
            raise
        except Exception:  # noqa: BLE001, S110  the dependency raises it again, and not as a 400
            pass
        return await self._receive()

    async def _decide(self) -> None:
        dependant = find_dependant(self._scope)
        if dependant is None:
            return
        overrides = getattr(self._scope.get("app"), "dependency_overrides", ())
        connection = Request(self._scope)
        user = None
        for dependency in _list_first(dependant, overrides):
            if not dependency.dependencies:
                user = await dependency.call(connection, SecurityScopes(_scopes(dependency)))
            elif user is not None:
                await dependency.call(connection, user)


def _list_first(dependant: Any, overrides: Container[Any]) -> Iterator[Any]:
    """List what a route decides by first, in the order in which FastAPI asks.

    A dependency that is overridden does not run, and neither does what it depends on.
    """
    for dependency in dependant.dependencies:
        if dependency.call in overrides:
            continue
        yield from _list_first(dependency, overrides)
        if getattr(dependency.call, _MARK, None) is dependency.call:
            yield dependency


def _scopes(dependency: Any) -> list[str]:
    inherited, own = dependency.parent_oauth_scopes, dependency.own_oauth_scopes
    return list(dict.fromkeys([*(inherited or ()), *(own or ())]))
