"""What OpenAPI promises is what the example answers: Schemathesis finds nothing.

``SCHEMATHESIS_EXAMPLES=200 pytest -s tests/test_schemathesis.py`` looks further, and prints what
was asked and answered.
"""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, cycle
from typing import Any
from uuid import uuid4

import httpx
import pytest
import schemathesis
from pydantic import JsonValue
from schemathesis import AuthContext, Case, HookContext, Response
from schemathesis.core.failures import Failure
from schemathesis.engine import Status, StopReason, events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder
from schemathesis.openapi.checks import AllowHeaderMismatch, RejectedPositiveData

from apps import PASSWORD
from jwt_auth_kit import JWTManager, KeyRing
from live import live_server

ADMIN_EMAIL = "root@example.com"
FORGED = JWTManager(KeyRing.random()).create_access_token({"user_id": "1", "role": "admin"})
FEWEST_SUCCESSES = 2
PHASES = {"examples", "coverage", "fuzzing"}

CONFIG = {
    "seed": 1,
    "continue-on-failure": True,
    "generation": {
        "deterministic": True,
        "database": "none",
        "max-examples": int(os.environ.get("SCHEMATHESIS_EXAMPLES", "5")),
    },
    "phases": {
        # What answers teach would differ from run to run; ``Caller`` knows what there is.
        **{phase: {"extra-data-sources": {"responses": False}} for phase in PHASES},
        "examples": {"extra-data-sources": {"responses": False}, "fill-missing": True},
        "stateful": {"enabled": False},
    },
    "checks": {
        # The defaults, and 413: a text that breaks its limit may break that of the body.
        "negative_data_rejection": {
            "expected-statuses": [400, 401, 403, 404, 405, 409, 413, 415, 422, 429]
        }
    },
}
CHECKS = {
    "allow_header_conformance",
    "content_type_conformance",
    "ensure_resource_availability",
    "ignored_auth",
    "missing_required_header",
    "negative_data_rejection",
    "not_a_server_error",
    "object_level_authorization",
    "positive_data_acceptance",
    "response_headers_conformance",
    "response_schema_conformance",
    "status_code_conformance",
    "unsupported_method",
    "use_after_free",
}

BEYOND_JSON_SCHEMA = {"weak_password", "email", "not_printable"}
"""Why a body can be refused that fits its schema: a password that is on a list, for example."""

ADMINISTRATION = "/api/admin/"
FOR_EVERYBODY = {
    "GET /auth/session",
    "GET /health",
    "POST /auth/login",
    "POST /auth/logout",
    "POST /auth/refresh",
    "POST /auth/register",
    "POST /auth/token",
}
ENDS_SESSIONS = {
    "DELETE /auth/sessions",
    "DELETE /auth/sessions/{session_id}",
    "POST /auth/login",  # of the session that the browser was in
    "POST /auth/logout",
    "POST /auth/logout-all",
    "POST /auth/password",
    "POST /auth/register",  # as a login
}


@dataclass(frozen=True, slots=True)
class Person:
    """An account that is signed in."""

    id: str
    email: str
    access_token: str
    refresh_token: str

    @property
    def header(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access_token}"}


class Caller:
    """Signs calls in, and makes each second one that fits its schema about things that exist.

    Where *who* is nobody, each second call carries a forged token.
    """

    def __init__(self, url: str, *, who: str, has_cookies: bool) -> None:
        self._http = httpx.Client(base_url=url, headers={"Sec-Fetch-Site": "same-origin"})
        self._has_cookies = has_cookies
        self._forges = cycle([who == "nobody", False])
        self._addresses = count()
        self._turns: Counter[str] = Counter()
        self._callers: dict[str, Person] = {}
        self._spare: Person | None = None
        self._bystander = self._sign_up()
        self._person = self._sign("/auth/login", ADMIN_EMAIL) if who == "admin" else self._sign_up()

    def is_still_signed_in(self) -> bool:
        """Tell whether nothing has ended the session that most calls need."""
        return self._http.get("/auth/me", headers=self._person.header).is_success

    def choose_person(self, case: Case[Any]) -> Person:
        """Return somebody who can make the call, and does not need her session afterwards."""
        if case.operation.label not in ENDS_SESSIONS:
            return self._person
        person = self._spare or self._sign_up()
        self._spare = None if fits_the_schema(case) else person
        return person

    def sign_in(self, case: Case[Any], person: Person) -> None:
        """Let *person* make the call."""
        self._callers[case.id] = person
        if self._has_cookies:
            case.cookies["__Host-access_token"] = person.access_token
            case.cookies["__Host-refresh_token"] = person.refresh_token
        else:
            case.headers.update(person.header)

    def prepare(self, case: Case[Any]) -> None:
        """Change a call before it is sent."""
        case.headers["X-Forwarded-For"] = self._address()
        if self._has_cookies:
            case.headers["Sec-Fetch-Site"] = "same-origin"
        if next(self._forges):
            case.headers["Authorization"] = f"Bearer {FORGED}"
        caller = self._callers.pop(case.id, None)
        if not fits_the_schema(case):
            return
        label = case.operation.label
        self._turns[label] += 1
        if self._turns[label] % 2:
            self._make_real(case, label, caller or self.choose_person(case))

    def _make_real(self, case: Case[Any], label: str, person: Person) -> None:
        case.path_parameters = {
            name: self._find(name, case.path, person) for name in case.path_parameters
        }
        if isinstance(case.body, dict):
            case.body = {**case.body, **self._body(label, person)}

    def _find(self, name: str, path: str, person: Person) -> Any:
        """Return the id of something that *person* may use."""
        match name:
            case "user_id":
                return self._bystander.id if path.startswith(ADMINISTRATION) else person.id
            case "project_id":
                return self._make("/api/projects", person, name="x")
            case "task_id":
                return self._make(f"/api/{person.id}/tasks", person, title="x")
            case "session_id":
                return self._http.get("/auth/sessions", headers=person.header).json()[0]["id"]
        raise LookupError(name)

    def _body(self, label: str, person: Person) -> dict[str, str]:
        """Return what belongs into the body of an operation."""
        match label:
            case "POST /auth/register":
                return {"email": _new_email(), "password": PASSWORD}
            case "POST /auth/login":
                return {"email": person.email, "password": PASSWORD}
            case "POST /auth/token":
                token = {"grant_type": "refresh_token", "refresh_token": person.refresh_token}
                password = {"grant_type": "password", "password": PASSWORD}
                is_login = self._turns[label] % 4 == 1
                return {"username": person.email, **(password if is_login else token)}
            case "POST /auth/password":
                return {"current_password": PASSWORD, "new_password": "battery staple horse"}
            case "POST /auth/refresh" | "POST /auth/logout":
                return {"refresh_token": person.refresh_token}
        return {}

    def _sign_up(self) -> Person:
        return self._sign("/auth/register", _new_email())

    def _sign(self, path: str, email: str) -> Person:
        answer = self._post(path, json={"email": email, "password": PASSWORD})
        body, cookies = answer.json(), answer.cookies
        if self._has_cookies:
            body |= {name.removeprefix("__Host-"): cookies[name] for name in cookies}
        return Person(body["user_id"], email, body["access_token"], body["refresh_token"])

    def _make(self, path: str, person: Person, **fields: str) -> int:
        return int(self._post(path, json=fields, headers=person.header).json()["id"])

    def _post(self, path: str, *, json: object, headers: dict[str, str] | None = None) -> Any:
        headers = {"X-Forwarded-For": self._address(), **(headers or {})}
        answer = self._http.post(path, json=json, headers=headers)
        assert answer.is_success, answer.text
        return answer

    def _address(self) -> str:
        """Return another address each time, or the throttle would soon refuse all logins."""
        number = next(self._addresses)
        return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def fits_the_schema(case: Case[Any]) -> bool:
    return case.meta is not None and case.meta.generation.mode.is_positive


def _new_email() -> str:
    return f"{uuid4().hex}@example.com"


@dataclass
class Findings:
    """What was answered, what was checked and what was wrong."""

    phases: set[str] = field(default_factory=set)
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    problems: dict[str, str] = field(default_factory=dict)

    def successes(self, label: str) -> int:
        """Count the calls of an operation that did what it is for."""
        return sum(
            number
            for (operation, status), number in self.answers.items()
            if operation == label and 200 <= status < 300
        )

    def add(self, recorder: ScenarioRecorder) -> None:
        for case_id, interaction in recorder.interactions.items():
            assert interaction.response is not None
            label = recorder.cases[case_id].value.operation.label
            self.answers[label, interaction.response.status_code] += 1
        for case_id, nodes in recorder.checks.items():
            self.checks.update(node.name for node in nodes)
            for info in filter(None, (node.failure_info for node in nodes)):
                response = recorder.interactions[case_id].response
                answer = "" if response is None else response.content[:500].decode()
                title = f"{info.failure.operation}: {info.failure.title}"
                self.problems.setdefault(
                    title, f"{info.failure.message}\n{info.code_sample}\n{answer}"
                )

    def __str__(self) -> str:
        lines = [
            f"{number:5} {status} {label}"
            for (label, status), number in sorted(self.answers.items())
        ]
        return "\n".join([*lines, str(self.checks), f"{sum(self.answers.values())} calls"])


@pytest.fixture(scope="module", params=["bearer", "cookies"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, bool]]:
    """Serve the example; yield its URL, and whether tokens travel in cookies."""
    has_cookies = request.param == "cookies"
    with live_server(
        ADMIN_EMAIL=ADMIN_EMAIL,
        ADMIN_PASSWORD=PASSWORD,
        AUTH_COOKIES=str(has_cookies),
        JWT_TRUSTED_PROXIES="127.0.0.1",
    ) as url:
        yield url, has_cookies


@pytest.mark.parametrize("who", ["nobody", "user", "admin"])
def test_schemathesis_finds_nothing(who: str, server: tuple[str, bool]) -> None:
    url, has_cookies = server
    caller = Caller(url, who=who, has_cookies=has_cookies)
    config = schemathesis.Config.from_dict(CONFIG)
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=config)
    labels = {f"{method.upper()} {path}" for path in schema for method in schema[path]}
    schema.hook(filter_failure)
    if who != "nobody":
        schema.auth(refresh_interval=None)(make_auth(caller))

    with prepared_by(caller):
        findings = run(from_schema(schema).execute())

    print(f"\n{who}\n{findings}")
    assert not findings.problems, "\n\n".join(map("\n".join, findings.problems.items()))
    assert findings.phases >= PHASES
    assert findings.checks.keys() >= CHECKS
    assert caller.is_still_signed_in()
    assert_it_was_worth_it(findings, labels, who)


def assert_it_was_worth_it(findings: Findings, labels: set[str], who: str) -> None:
    """A run in which nothing works finds nothing either."""
    allowed = {label for label in labels if is_allowed(label, who)}
    worked = {label for label in labels if findings.successes(label) >= FEWEST_SUCCESSES}
    refused = {label for label in labels if not findings.successes(label)}
    assert worked == allowed
    assert refused == labels - allowed


def is_allowed(label: str, who: str) -> bool:
    if label in FOR_EVERYBODY:
        return True
    return who == "admin" or (who == "user" and ADMINISTRATION not in label)


def run(stream: Iterator[events.EngineEvent]) -> Findings:
    """Let Schemathesis work to its end."""
    findings = Findings()
    for event in stream:
        match event:
            case events.PhaseFinished(status=Status.SUCCESS):
                findings.phases.add(event.phase.name.value)
            case events.ScenarioFinished():
                findings.add(event.recorder)
            case events.NonFatalError():
                raise event.value
            case events.FatalError():
                raise event.exception
            case events.EngineFinished():
                assert event.stop_reason is StopReason.COMPLETED
    return findings


def make_auth(caller: Caller) -> Any:
    class Auth:
        def get(self, case: Case[Any], context: AuthContext) -> Person:
            return caller.choose_person(case)

        def set(self, case: Case[Any], person: Person, context: AuthContext) -> None:
            caller.sign_in(case, person)

    return Auth


@contextmanager
def prepared_by(caller: Caller) -> Iterator[None]:
    def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
        caller.prepare(case)

    schemathesis.hook(before_call)
    try:
        yield
    finally:
        schemathesis.hooks.unregister(before_call)


@pytest.mark.parametrize(
    ("path", "body", "times", "status"),
    [
        ("/auth/login", {"email": ADMIN_EMAIL, "password": "wrong"}, 11, 429),
        ("/auth/login", {"email": ADMIN_EMAIL, "password": "x" * 20_000}, 1, 413),
        ("/auth/register", {"email": ADMIN_EMAIL, "password": PASSWORD}, 1, 409),
    ],
)
def test_rare_answers_are_as_promised_too(
    server: tuple[str, bool], path: str, body: dict[str, JsonValue], times: int, status: int
) -> None:
    url, _ = server
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    case = schema[path]["POST"].Case(body=body, media_type="application/json")

    answers = [case.call_and_validate() for _ in range(times)]

    assert answers[-1].status_code == status


def filter_failure(
    context: HookContext, failure: Failure, case: Case[Any], response: Response
) -> bool:
    """Tell whether a failure counts."""
    if isinstance(failure, AllowHeaderMismatch):
        # Two methods of one path are two routes for FastAPI, and the first of them answers
        # OPTIONS: with its own method only. What it does say must be true.
        return bool(failure.undocumented_methods)
    if isinstance(failure, RejectedPositiveData) and response.status_code == 422:
        problems = {problem["type"] for problem in response.json()["detail"]}
        return not problems <= BEYOND_JSON_SCHEMA
    return True
