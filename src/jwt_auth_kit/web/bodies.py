"""The JSON bodies of the router's requests and answers."""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal
from unicodedata import category

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from ..emails import MAX_EMAIL_LENGTH, check_email

MAX_SENT_LENGTH = 1024
"""Characters of a password or a token that are looked at; new passwords have fewer."""

EXAMPLE_EMAIL = "ada@example.com"
EXAMPLE_PASSWORD = "correct horse battery staple"
EXAMPLE_TOKEN = "eyJhbGciOiJIUzI1NiIsInR5cCI6..."

CONTROL = {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"}
BIDI_CONTROLS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def _email(value: str) -> str:
    try:
        return check_email(value)
    except ValueError as error:
        raise PydanticCustomError("email", "{why}", {"why": str(error)}) from None


def _printable(value: str) -> str:
    # Joiners are letters' neighbours in Persian and in emoji; what turns the direction of the
    # text around is for deceiving.
    if any(category(sign) in CONTROL or sign in BIDI_CONTROLS for sign in value):
        raise PydanticCustomError("not_printable", "Must not hold control characters")
    return value


Email = Annotated[
    str,
    Field(max_length=MAX_EMAIL_LENGTH, json_schema_extra={"format": "email"}),
    AfterValidator(_email),
]
Password = Annotated[
    str, Field(repr=False, max_length=MAX_SENT_LENGTH, json_schema_extra={"format": "password"})
]
DisplayName = Annotated[str, Field(max_length=100), AfterValidator(_printable)]


class SecretBody(BaseModel):
    """A body that holds a secret, so that errors about it do not repeat it."""

    model_config: ClassVar[ConfigDict] = ConfigDict(hide_input_in_errors=True)


class AuthRegisterBody(SecretBody):
    """A new account. Anything else in the body, a role for example, is ignored."""

    email: Email
    password: Password
    display_name: DisplayName | None = Field(
        default=None, description="By default the part of the address before the @."
    )


class AuthLoginBody(SecretBody):
    """Who signs in."""

    email: Annotated[str, Field(max_length=MAX_EMAIL_LENGTH)]
    password: Password


class AuthPasswordBody(SecretBody):
    """A change of password."""

    current_password: Password
    new_password: Password


class AuthRefreshBody(SecretBody):
    """The refresh token, where the client keeps it."""

    refresh_token: str | None = Field(default=None, repr=False)


class AuthProfile(BaseModel):
    """The account of the caller, as it is now."""

    user_id: str
    email: str
    display_name: str | None
    role: str


class AuthSignedInBody(AuthProfile, SecretBody):
    """The user and the tokens of a session; where cookies carry the tokens, they are left out."""

    expires_in: Annotated[int, Field(description="Life of the access token in seconds.")]
    access_token: str = Field(default="", repr=False)
    refresh_token: str = Field(default="", repr=False)
    token_type: Literal["bearer"] = "bearer"


TOKEN_FIELDS = ("access_token", "refresh_token", "token_type")


class AuthSessionBody(BaseModel):
    """Who is signed in, if anybody."""

    user: AuthProfile | None
    expires_in: Annotated[
        int | None,
        Field(description="Seconds the access token still lives. 0: refresh first. null: sign in."),
    ]


class AuthSessionInfo(BaseModel):
    """A device that is signed in."""

    id: str
    ip: str | None
    user_agent: str | None
    created_at: datetime
    last_seen_at: Annotated[
        datetime,
        Field(
            description="When a token was refreshed or first used, to the hour; "
            "not before created_at."
        ),
    ]
    expires_at: Annotated[
        datetime, Field(description="When it ends unless it is refreshed, to the hour.")
    ]
    current: Annotated[bool, Field(description="Whether it is the one that asks.")]


def _example(summary: str, **body: str) -> dict[str, Any]:
    return {"summary": summary, "value": body}


REGISTER_EXAMPLES = {
    "ada": _example(
        "A new account", email=EXAMPLE_EMAIL, password=EXAMPLE_PASSWORD, display_name="Ada"
    )
}
LOGIN_EXAMPLES = {
    "ada": _example("An account", email=EXAMPLE_EMAIL, password=EXAMPLE_PASSWORD),
}
PASSWORD_EXAMPLES = {
    "ada": _example(
        "Both passwords",
        current_password=EXAMPLE_PASSWORD,
        new_password="seven purple lanterns drift ashore",
    )
}
REFRESH_EXAMPLES = {
    "bearer": _example("A client that keeps its tokens", refresh_token=EXAMPLE_TOKEN),
    "cookies": _example("A browser, which sends a cookie"),
}
