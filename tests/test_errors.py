"""The error tree: the status, the code, the body and the headers of every error."""

import re
from collections.abc import Iterator
from typing import get_args

import pytest
from fastapi import HTTPException

from jwt_auth_kit import (
    AuthError,
    BodyTooLarge,
    Busy,
    ConfigurationError,
    CrossSiteRequest,
    EmailTaken,
    ExpiredToken,
    Forbidden,
    InsufficientRole,
    InsufficientScope,
    InvalidCredentials,
    InvalidEmail,
    InvalidToken,
    KeysUnavailable,
    NotAuthenticated,
    NotJSON,
    NotOwner,
    RecentLoginRequired,
    RefreshReused,
    RevokedToken,
    ServiceUnavailable,
    SessionExpired,
    SessionNotFound,
    SessionRevoked,
    StoreUnavailable,
    TooManyAttempts,
    Unauthorized,
    UserNotFound,
    WeakPassword,
    WrongTokenType,
    error_responses,
)
from jwt_auth_kit.errors import AuthErrorBody, ErrorCode

EXPECTED: dict[type[AuthError], tuple[int, str]] = {
    Unauthorized: (401, "unauthorized"),
    NotAuthenticated: (401, "not_authenticated"),
    InvalidCredentials: (401, "invalid_credentials"),
    RecentLoginRequired: (401, "recent_login_required"),
    InvalidToken: (401, "invalid_token"),
    ExpiredToken: (401, "token_expired"),
    WrongTokenType: (401, "wrong_token_type"),
    RevokedToken: (401, "token_revoked"),
    SessionExpired: (401, "session_expired"),
    SessionRevoked: (401, "session_revoked"),
    RefreshReused: (401, "refresh_reused"),
    Forbidden: (403, "forbidden"),
    InsufficientRole: (403, "insufficient_role"),
    InsufficientScope: (403, "insufficient_scope"),
    NotOwner: (403, "not_owner"),
    CrossSiteRequest: (403, "cross_site_request"),
    SessionNotFound: (404, "session_not_found"),
    UserNotFound: (404, "user_not_found"),
    EmailTaken: (409, "email_taken"),
    BodyTooLarge: (413, "body_too_large"),
    NotJSON: (415, "not_json"),
    InvalidEmail: (422, "invalid_email"),
    WeakPassword: (422, "weak_password"),
    TooManyAttempts: (429, "too_many_attempts"),
    ServiceUnavailable: (503, "service_unavailable"),
    StoreUnavailable: (503, "store_unavailable"),
    KeysUnavailable: (503, "keys_unavailable"),
    Busy: (503, "busy"),
}


def tree(error: type[AuthError]) -> Iterator[type[AuthError]]:
    for child in error.__subclasses__():
        if child.__module__.startswith("jwt_auth_kit"):
            yield child
            yield from tree(child)


def test_the_tree_holds_these_errors_and_no_other() -> None:
    assert set(tree(AuthError)) == EXPECTED.keys()


def test_the_closed_list_of_codes_is_that_of_the_tree() -> None:
    codes = [error.code for error in tree(AuthError)]

    assert sorted(get_args(ErrorCode)) == sorted(codes)
    assert list(get_args(ErrorCode)) == sorted(get_args(ErrorCode))
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("error", EXPECTED)
def test_an_error_has_its_status_and_its_code(error: type[AuthError]) -> None:
    raised = error()

    assert (raised.status_code, error.code) == EXPECTED[error]
    body = AuthErrorBody.model_validate({"detail": raised.detail})
    assert body.model_dump() == {"detail": {"code": error.code, "message": error.message}}


@pytest.mark.parametrize("error", EXPECTED)
def test_an_error_needs_no_handler(error: type[AuthError]) -> None:
    assert issubclass(error, HTTPException)
    assert repr(error()) == f"{error.__name__}()"


@pytest.mark.parametrize("error", EXPECTED)
def test_a_message_is_a_calm_sentence(error: type[AuthError]) -> None:
    assert re.fullmatch(r"[A-Z][A-Za-z0-9 ,:/'-]+", error.message)


@pytest.mark.parametrize("error", [Unauthorized, NotAuthenticated, InvalidCredentials])
def test_where_no_token_was_sent_the_challenge_names_no_error(error: type[AuthError]) -> None:
    assert error().headers == {"WWW-Authenticate": 'Bearer realm="api"'}


@pytest.mark.parametrize("error", [InvalidToken, *tree(InvalidToken)])
def test_a_bad_token_is_challenged_as_rfc_6750_says(error: type[AuthError]) -> None:
    headers = error().headers

    challenge = 'Bearer realm="api", error="invalid_token", error_description="{}"'
    assert headers == {"WWW-Authenticate": challenge.format(error.message)}
    assert re.fullmatch(r"[\x20\x21\x23-\x5B\x5D-\x7E]+", error.message)


def test_an_old_login_is_challenged_as_rfc_9470_says() -> None:
    headers = RecentLoginRequired().headers or {}

    assert headers["WWW-Authenticate"].startswith(
        'Bearer realm="api", error="insufficient_user_authentication", error_description="'
    )


@pytest.mark.parametrize(
    "error", [Forbidden, InsufficientRole, NotOwner, SessionNotFound, EmailTaken]
)
def test_a_refusal_asks_for_no_other_credentials(error: type[AuthError]) -> None:
    assert not error().headers


@pytest.mark.parametrize("error", [ServiceUnavailable, StoreUnavailable, KeysUnavailable, Busy])
def test_an_outage_says_when_to_try_again(error: type[AuthError]) -> None:
    assert error().headers == {"Retry-After": "1"}


def test_a_wrong_set_up_never_reaches_a_client() -> None:
    assert not issubclass(ConfigurationError, HTTPException)


class TestDocumentedErrors:
    def test_errors_of_one_status_share_one_answer(self) -> None:
        responses = error_responses(ExpiredToken, NotOwner, InvalidToken)

        examples = responses[401]["content"]["application/json"]["examples"]
        assert responses.keys() == {401, 403}
        assert examples == {
            "token_expired": {
                "value": {
                    "detail": {"code": "token_expired", "message": "The token has expired"},
                }
            },
            "invalid_token": {
                "value": {
                    "detail": {"code": "invalid_token", "message": "The token is invalid"},
                }
            },
        }

    @pytest.mark.parametrize("error", EXPECTED)
    def test_an_example_is_what_a_client_gets(self, error: type[AuthError]) -> None:
        response = error_responses(error)[error.status]

        example = response["content"]["application/json"]["examples"][error.code]["value"]
        assert example == {"detail": error().detail}
        assert response["model"] is AuthErrorBody

    @pytest.mark.parametrize("error", EXPECTED)
    def test_the_headers_are_documented(self, error: type[AuthError]) -> None:
        response = error_responses(error)[error.status]

        assert response["headers"].keys() == (error().headers or {}).keys()

    def test_no_error_documents_nothing(self) -> None:
        assert error_responses() == {}
