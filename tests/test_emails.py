"""Every address has one spelling, however it is typed."""

import string
import unicodedata
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps import PASSWORD, make_kit, register, serve
from jwt_auth_kit import InvalidEmail
from jwt_auth_kit.emails import check_email, normalize_email

CASED = [*string.ascii_letters, *"ßẞıİIiſσςΣΩΥυϒΙιΪΰΐÅåÄäKK", *"ǅǆǄﬁﬀＡａ１։ԱևꙊꙋᏸᎰ"]
MARKS = [chr(code) for code in [*range(0x300, 0x346), 0x200C]]
ODD = [
    *("user@MÜNCHEN.de", "user@xn--mnchen-3ya.de", "user@ＥＸＡＭＰＬＥ.com", "Ｕｓｅｒ@a.com"),
    *("STRASSE@straße.de", "straße@STRASSE.de", "İstanbul@İSTANBUL.com.tr", "ΌΔΥΣΣΕΎΣ@ΣΕΎΣ.gr"),
    *("a\u200db@example.com", "a\u00adb@example.com", "a\ufeffb@example.com", "a@e\u00admple.com"),
    *('"quoted"@example.com', '"a b"@example.com', '"A@B"@example.com', "a.@example.com"),
    *("a@example.com.", "a@example。com", "a@[127.0.0.1]", "a@[IPv6:::1]", "a@localhost"),
    *("A+TAG@example.com", " a@example.com ", "a@@example.com", "a@", "@example.com", ""),
]
"""Addresses that are easily spelt in two ways, some of them no addresses at all."""


def spellings() -> list[str]:
    marked = [f"{letter}{mark}" for letter, mark in product(CASED, MARKS)]
    locals_ = [f"{text}@example.com" for text in marked]
    domains = [f"a@b{text}.de" for text in marked[::7]]
    return [*ODD, *CASED, *locals_, *domains]


def registered(email: str) -> str | None:
    try:
        return check_email(email)
    except ValueError:
        return None


def test_the_spelling_of_an_account_is_its_own_spelling() -> None:
    once = {email: spelling for email in spellings() if (spelling := registered(email))}

    changed = {email for email, spelling in once.items() if registered(spelling) != spelling}

    assert len(once) > 5_000
    assert not changed, f"{len(changed)} of {len(once)} change at the second time: {changed}"


def test_an_account_is_found_by_the_address_it_was_registered_with() -> None:
    once = {email: spelling for email in spellings() if (spelling := registered(email))}

    lost = {
        email
        for email, spelling in once.items()
        if {normalize_email(each) for each in (email, spelling, f" {email}\n")} != {spelling}
    }

    assert not lost


@settings(max_examples=300, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
    st.text(st.characters(categories=["Lu", "Ll", "Lt", "Lo", "Mn"]), min_size=1, max_size=8),
)
def test_any_address_is_spelt_once_and_for_all(local: str, domain: str) -> None:
    email = f"{local}@{domain}.example.com"

    spelling = normalize_email(email)

    assert normalize_email(spelling) == spelling
    assert registered(email) in {None, spelling}


def test_an_address_with_an_odd_letter_signs_in_however_it_is_typed() -> None:
    typed = "J\u030can@example.com"  # no code point is this capital, one is the small letter
    forms = {typed, typed.lower(), unicodedata.normalize("NFC", typed.lower())}
    body = {"email": typed, "password": PASSWORD}

    with serve() as client:
        register(client, typed)
        logins = [client.post("/auth/login", json=body | {"email": form}) for form in forms]
        again = [client.post("/auth/register", json=body | {"email": form}) for form in forms]

    assert len(forms) == 3
    assert {answer.status_code for answer in logins} == {200}
    assert {answer.status_code for answer in again} == {409}


def test_spaces_around_an_address_are_stripped_at_sign_up_as_at_sign_in() -> None:
    typed = " \tAda@Example.com\u00a0\n"
    body = {"email": typed, "password": PASSWORD}

    with serve() as client:
        signed_up = register(client, typed)
        again = client.post("/auth/register", json=body | {"email": "ada@example.com"})
        login = client.post("/auth/login", json=body)

    assert signed_up["email"] == "ada@example.com"
    assert again.status_code == 409
    assert login.json()["user_id"] == signed_up["user_id"]


async def test_code_that_makes_accounts_strips_spaces_too() -> None:
    kit = make_kit()

    registered = await kit.register(" ada@example.com ", PASSWORD)
    created = await kit.create_user("bob@example.com\n", PASSWORD)

    assert registered.user.email == "ada@example.com"
    assert (created.email, created.display_name) == ("bob@example.com", "bob")


@pytest.mark.parametrize(
    ("email", "why"),
    [
        ("test@localhost", ": the part after the @ has no dot"),
        (" test@localhost ", ": the part after the @ has no dot"),
        ("admin@intranet", ": the part after the @ has no dot"),
        ("ada@app.test", ": the part after the @ is reserved; use example.com in tests"),
        ("ada@printer.LOCAL", ": the part after the @ is reserved; use example.com in tests"),
        ("ada@localhost。test", ": the part after the @ is reserved; use example.com in tests"),
        ("ada", ""),
        ("ada@", ""),
        ("ada@[127.0.0.1]", ""),
        ("ada@b..de", ""),
        ("@localhost", ""),
    ],
)
async def test_who_is_refused_is_told_why_the_address_is_none(email: str, why: str) -> None:
    message = f"Not a valid e-mail address{why}"

    with serve() as client:
        answer = client.post("/auth/register", json={"email": email, "password": PASSWORD})
    with pytest.raises(InvalidEmail) as refused:
        await make_kit().create_user(email, PASSWORD)

    assert answer.status_code == 422
    assert [each["msg"] for each in answer.json()["detail"]] == [message]
    assert str(refused.value) == message


@pytest.mark.parametrize("email", ["admin@localhost", "J\u030c@localhost", "İ@LOCALHOST"])
def test_an_address_of_an_old_table_has_one_spelling_too(email: str) -> None:
    spelling = normalize_email(email)

    assert spelling != "0"
    assert normalize_email(spelling) == spelling
