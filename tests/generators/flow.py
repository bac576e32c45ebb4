"""Signs in, refreshes and signs out with a client that openapi-python-client generated."""

import json
import sys
from http import HTTPStatus

from generated import AuthenticatedClient, Client
from generated.api.auth import get_me, login, logout, refresh, register
from generated.models import (
    AuthErrorBody,
    AuthLoginBody,
    AuthProfile,
    AuthRefreshBody,
    AuthRegisterBody,
    AuthSignedInBody,
)

base_url, email, password = sys.argv[1:]


def signed_in(answer: object) -> AuthSignedInBody:
    """Return the answer of a sign-in."""
    assert isinstance(answer, AuthSignedInBody), answer
    return answer


anonymous = Client(base_url=base_url)
registered = register.sync_detailed(
    client=anonymous, body=AuthRegisterBody(email=email, password=password)
)
logged_in = login.sync_detailed(
    client=anonymous, body=AuthLoginBody(email=email, password=password)
)
tokens = signed_in(logged_in.parsed)
user = AuthenticatedClient(base_url=base_url, token=tokens.access_token)
before = get_me.sync_detailed(client=user)
refreshed = refresh.sync_detailed(
    client=anonymous, body=AuthRefreshBody(refresh_token=tokens.refresh_token)
)
user = AuthenticatedClient(base_url=base_url, token=signed_in(refreshed.parsed).access_token)
after = get_me.sync_detailed(client=user)
signed_out = logout.sync_detailed(client=user, body=AuthRefreshBody())
gone = get_me.sync_detailed(client=user)

answers = [registered, logged_in, before, refreshed, after, signed_out, gone]
assert isinstance(after.parsed, AuthProfile)
assert isinstance(gone.parsed, AuthErrorBody)
print(
    json.dumps(
        {
            "statuses": [HTTPStatus(answer.status_code).value for answer in answers],
            "email": after.parsed.email,
            "code": gone.parsed.detail.code,
        }
    )
)
