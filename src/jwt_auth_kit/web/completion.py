"""What is added to the OpenAPI document of an application: locks, refusals, names and limits."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

from fastapi import FastAPI

from ..errors import (
    AuthError,
    AuthErrorBody,
    CrossSiteRequest,
    NotAuthenticated,
    NotJSON,
    StoreUnavailable,
    error_responses,
)
from ..passwords.policy import PasswordPolicy
from .bodies import EXAMPLE_PASSWORD, TOKEN_FIELDS, AuthSignedInBody
from .cross_site import SAFE_METHODS
from .operations import (
    TAGS,
    Place,
    find_operation,
    find_token_path,
    list_shown_routes,
    name_operations,
)
from .routing import FlatRoute

SCHEME_NAME = "OAuth2PasswordBearer"
COOKIE_SCHEME_NAME = "CookieAuth"
REF = "#/components/schemas/"
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


class Document:
    """What the OpenAPI of an application depends on beside its routes.

    Until something is installed this is what ``install(app, AuthKit())`` would choose.
    """

    def __init__(self) -> None:
        self.cookie_names: Sequence[str | None] = (None,)
        """Of each transport, the cookie of its access token; None for a header."""

        self.password_policy: PasswordPolicy = PasswordPolicy()

        self.unavailable: type[AuthError] | None = StoreUnavailable
        """What a route answers while nobody can tell whether a token is good."""

        self.list_locked: Callable[[], Iterable[Place]] = tuple
        """The operations that need a user whatever they depend on."""


class Completion:
    """What is done to the document of one application; doing it twice changes nothing.

    Routes of ours, their bodies and answers are known by their functions and classes. Names are
    not enough: a model of the application may have the same one.
    """

    def __init__(self, app: FastAPI, document: Document, root_path: str) -> None:
        self._document = document
        self._routes = list_shown_routes(app)
        self._locked = frozenset(document.list_locked())
        self._server = (root_path if app.root_path_in_servers else "") or "/"
        self._cookies = [name for name in document.cookie_names if name is not None]
        self._schemes: dict[str, Any] = {}
        if None in document.cookie_names:
            self._schemes[SCHEME_NAME] = _bearer_scheme(root_path, find_token_path(app))
        if self._cookies:
            cookie = {"type": "apiKey", "in": "cookie", "name": self._cookies[0]}
            self._schemes[COOKIE_SCHEME_NAME] = cookie

    def complete(self, incomplete: Mapping[str, Any]) -> dict[str, Any]:
        """Return the document as it is to be published."""
        schema: dict[str, Any] = deepcopy({**incomplete})
        operations = dict(_list_operations(schema))
        ours = {place for place in operations if find_operation(self._routes.get(place))}
        users = {place for place in operations if self._needs_user(place, operations[place])}
        if not ours and not users:
            return schema
        components = schema.setdefault("components", {})
        self._name(operations)
        self._add_errors(components, operations, users)
        for place in users:
            operations[place]["security"] = self._security(place, operations[place])
        if users:
            schemes = components.get("securitySchemes", {})
            schemes.pop(SCHEME_NAME, None)
            components["securitySchemes"] = {**schemes, **self._schemes}
        if "security" not in schema:  # what is not locked is open
            for operation in operations.values():
                operation.setdefault("security", [])
        self._complete_bodies(components.get("schemas", {}), operations)
        _describe_tags(schema, [operations[place] for place in ours])
        schema["servers"] = schema.get("servers") or [{"url": self._server}]
        return schema

    def _needs_user(self, place: Place, operation: Mapping[str, Any]) -> bool:
        is_shown = any(SCHEME_NAME in each for each in operation.get("security", ()))
        return is_shown or place in self._locked

    def _name(self, operations: Mapping[Place, dict[str, Any]]) -> None:
        # Names by a function of the application that replaced app.openapi stay.
        unnamed = {
            place: route
            for place, route in self._routes.items()
            if place in operations and operations[place].get("operationId") == route.unique_id
        }
        taken = [operation.get("operationId", "") for operation in operations.values()]
        for place, name in name_operations(unnamed, taken).items():
            operations[place]["operationId"] = name

    def _security(self, place: Place, operation: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Name every way a token may come; an optional user is also nothing."""
        requirements = operation.get("security", ())
        ours = {SCHEME_NAME, COOKIE_SCHEME_NAME}
        scopes = {scope: None for item in requirements for scope in item.get(SCHEME_NAME, ())}
        others = [item for item in requirements if item and not ours & item.keys()]
        is_optional = {} in requirements or _is_optional(self._routes.get(place))
        nothing: list[dict[str, Any]] = [{}] if is_optional and place not in self._locked else []
        return [*nothing, *({name: [*scopes]} for name in self._schemes), *others]

    def _add_errors(
        self,
        components: dict[str, Any],
        operations: Mapping[Place, dict[str, Any]],
        users: Collection[Place],
    ) -> None:
        schemas = components.get("schemas", {})
        name = self._find_error_body(operations)
        definitions = {} if name else _error_schemas(schemas)
        for place, operation in operations.items():
            responses = operation.setdefault("responses", {})
            for error in self._list_errors(place, needs_user=place in users):
                status = str(error.status)
                if not {status, f"{status[0]}XX", "default"} & responses.keys():
                    responses[status] = _response(error, name or next(iter(definitions)))
                    components["schemas"] = schemas | definitions

    def _list_errors(self, place: Place, *, needs_user: bool) -> Iterator[type[AuthError]]:
        """List what *place* may answer; the routes of ours say most of it themselves."""
        operation = find_operation(self._routes.get(place))
        if needs_user and operation is None:
            yield NotAuthenticated
            if self._document.unavailable is not None:
                yield self._document.unavailable
        is_guarded = needs_user or (operation is not None and operation.is_guarded)
        if self._cookies and is_guarded:
            yield CrossSiteRequest
            if place[1].upper() not in SAFE_METHODS:
                yield NotJSON

    def _find_error_body(self, operations: Mapping[Place, Mapping[str, Any]]) -> str | None:
        for place, route in self._routes.items():
            responses = operations.get(place, {}).get("responses", {})
            for status, response in route.responses.items():
                if response.get("model") is AuthErrorBody and str(status) in responses:
                    return _model_of(responses[str(status)])
        return None

    def _complete_bodies(
        self, schemas: Mapping[str, Any], operations: Mapping[Place, Mapping[str, Any]]
    ) -> None:
        for place, route in self._routes.items():
            operation = operations.get(place, {})
            if route.response_model is AuthSignedInBody:
                status = str(route.status_code or 200)
                answer = _model_of(operation.get("responses", {}).get(status, {}))
                self._complete_tokens(schemas.get(answer or "", {}))
            ours = find_operation(route)
            if ours is not None and ours.new_password is not None:
                request = operation.get("requestBody", {})
                model = schemas.get(_model_of(request) or "", {})
                self._limit_password(model, request, ours.new_password)

    def _complete_tokens(self, model: dict[str, Any]) -> None:
        """Say which of the token fields are there: all, none, or those of the transport."""
        fields = model.get("properties", {})
        for name in TOKEN_FIELDS:
            if SCHEME_NAME not in self._schemes:
                fields.pop(name, None)
            elif name in fields:
                fields[name].pop("default", None)
                if not self._cookies and name not in model["required"]:
                    model["required"].append(name)

    def _limit_password(
        self, model: Mapping[str, Any], request: Mapping[str, Any], name: str
    ) -> None:
        policy = self._document.password_policy
        field = model.get("properties", {}).get(name, {})
        field.update(minLength=policy.min_length, maxLength=policy.max_length)
        for media in request.get("content", {}).values():
            for example in media.get("examples", {}).values():
                shown = example["value"]
                while len(shown[name]) < policy.min_length:
                    shown[name] = f"{shown[name]} {EXAMPLE_PASSWORD}"[: policy.max_length]


def _list_operations(schema: Mapping[str, Any]) -> Iterator[tuple[Place, dict[str, Any]]]:
    for path, item in schema.get("paths", {}).items():
        for method, operation in item.items():
            if method in METHODS:
                yield (path, method), operation


def _bearer_scheme(root_path: str, token_path: str | None) -> dict[str, Any]:
    if token_path is None:  # the router is elsewhere; tokens are pasted
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    token_url = root_path + token_path
    return {
        "type": "oauth2",
        "flows": {
            "password": {"tokenUrl": token_url, "refreshUrl": token_url, "scopes": {}},
        },
    }


def _is_optional(route: FlatRoute | None) -> bool:
    """Tell whether all that *route* wants to know of a user is who it is, if anybody."""
    found = [] if route is None else [*_list_schemes(route.dependant)]
    return bool(found) and all(scheme.is_optional for scheme in found)


def _list_schemes(dependant: Any) -> Iterator[Any]:
    for dependency in dependant.dependencies:
        if getattr(dependency.call, "scheme_name", None) == SCHEME_NAME:
            yield dependency.call
        yield from _list_schemes(dependency)


def _model_of(body: Mapping[str, Any]) -> str | None:
    """Return the name of the schema that a request or a response has."""
    for media in body.get("content", {}).values():
        reference: str = media.get("schema", {}).get("$ref", "")
        if reference.startswith(REF):
            return reference.removeprefix(REF)
    return None


def _response(error: type[AuthError], model: str) -> dict[str, Any]:
    response = error_responses(error)[error.status]
    media = {"schema": {"$ref": REF + model}, **response["content"]["application/json"]}
    return {
        "description": response["description"],
        "headers": response["headers"],
        "content": {"application/json": media},
    }


def _error_schemas(taken: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an error and then what it refers to, by names that are not *taken*."""
    start = "AuthError"
    while not taken.keys().isdisjoint({f"{start}Body", f"{start}Detail"}):
        start = f"JWT{start}"
    schema = AuthErrorBody.model_json_schema(ref_template=f"{REF}{{model}}")
    detail = schema.pop("$defs")["AuthErrorDetail"]
    schema["properties"]["detail"] = {"$ref": f"{REF}{start}Detail"}
    return {f"{start}Body": schema, f"{start}Detail": detail}


def _describe_tags(schema: dict[str, Any], operations: Sequence[Mapping[str, Any]]) -> None:
    used = {tag for operation in operations for tag in operation.get("tags", ())}
    tags = schema.get("tags", [])
    for name in sorted(used & TAGS.keys() - {tag["name"] for tag in tags}):
        tags = [*tags, {"name": name, "description": TAGS[name]}]
    if tags:
        schema["tags"] = tags
