"""Guessable passwords in disguise are refused, and good ones are not."""

import random
import string
from collections.abc import Callable, Iterator
from importlib.resources import files

import pytest

from jwt_auth_kit import PasswordPolicy, WeakPassword


def read_list(name: str) -> list[str]:
    return (files("jwt_auth_kit.passwords") / name).read_text("utf-8").splitlines()


LISTED = read_list("common_passwords.txt")
WORDS = [word for word in read_list("common_words.txt") if word.isalpha()]
LEET = {"a": "@4", "b": "8", "e": "3", "g": "9", "i": "1!", "l": "1", "o": "0", "s": "$5", "t": "7"}
YEARS = [*range(1950, 2030)]
MARKS = "!?.#$*@-_&+"
SEASONS = [
    *("Spring", "Summer", "Autumn", "Winter", "Sommer", "Herbst", "Verano", "Printemps", "Lente"),
    *("January", "February", "March", "April", "June", "July", "August", "September", "October"),
    *("November", "December", "Monday", "Friday", "Sunday", "Januar", "März", "Dezember", "Enero"),
    *("Février", "Août", "Décembre", "Gennaio", "Fevereiro", "Maart", "Samstag", "Mercredi"),
]


async def refusal(password: str, *personal: str) -> str | None:
    try:
        await PasswordPolicy().check(password, personal=personal)
    except WeakPassword as error:
        return error.reason
    return None


def in_leet(word: str, dice: random.Random) -> str:
    return "".join(dice.choice(LEET[sign]) if sign in LEET else sign for sign in word)


def partly_in_leet(word: str, dice: random.Random) -> str:
    return "".join(
        dice.choice(LEET[sign]) if sign in LEET and dice.random() < 0.5 else sign for sign in word
    )


def with_an_ending(word: str, dice: random.Random) -> str:
    number = dice.choice(["", "1", "12", "123", "1234", "7", "69", "007", str(dice.choice(YEARS))])
    return word + number + "".join(dice.choices(MARKS, k=dice.randint(0, 2)))


def with_a_beginning(word: str, dice: random.Random) -> str:
    return dice.choice(["1", "12", "123", "!", "#", "@", "2024", "99!"]) + word


def with_a_date(word: str, dice: random.Random) -> str:
    date = f"{dice.randint(1, 28):02}{dice.randint(1, 12):02}{dice.choice(YEARS)}"
    return word + date


def in_other_case(word: str, dice: random.Random) -> str:
    return "".join(dice.choice([sign.upper(), sign]) for sign in word)


RULES: list[Callable[[str, random.Random], str]] = [
    lambda word, dice: with_an_ending(word.capitalize(), dice),
    lambda word, dice: with_an_ending(in_leet(word, dice), dice),
    lambda word, dice: with_an_ending(partly_in_leet(word, dice).capitalize(), dice),
    lambda word, dice: with_an_ending(in_other_case(word, dice), dice),
    lambda word, dice: with_an_ending(with_a_beginning(word.upper(), dice), dice),
    lambda word, dice: with_a_date(word.capitalize(), dice),
    lambda word, dice: with_an_ending(word + word, dice),
    lambda word, dice: with_an_ending(word.capitalize() * 2, dice),
    lambda word, dice: with_an_ending(word[::-1], dice),
]
"""What people do with a common password when they are told to choose a better one."""


def make_variants() -> Iterator[str]:
    dice = random.Random(15)
    for word in LISTED:
        for rule in dice.sample(RULES, 4):
            yield rule(word, dice)
    # Short words are not spelled backwards or written in look-alikes alone.
    for word in WORDS[:1_500]:
        for rule in (RULES[0], RULES[3], RULES[5], RULES[6]):
            yield rule(word, dice)


async def test_of_thirty_thousand_variants_of_common_passwords_99_percent_are_refused() -> None:
    variants = [variant for variant in dict.fromkeys(make_variants()) if len(variant) >= 8]

    accepted = [variant for variant in variants if await refusal(variant) is None]

    assert len(variants) > 30_000
    assert len(accepted) < 0.01 * len(variants), accepted[:50]


async def test_months_and_seasons_with_a_year_are_refused() -> None:
    variants = [
        beginning + word + separator + str(year) + ending
        for word in SEASONS
        for year in (1999, 2024, 2026, 24, 26)
        for separator in ("", "-", "@")
        for beginning in ("", "12" if len(word) > 4 else "")
        for ending in ("", "!", "1!" if len(word) > 4 else "!!")
    ]

    accepted = [v for v in variants if len(v) >= 8 and await refusal(v.swapcase()) is None]

    assert accepted == []


CONSONANTS, VOWELS = "bcdfghjklmnprstvwz", "aeiou"


def make_words(dice: random.Random) -> list[str]:
    """Make 2,000 words that could be in a dictionary for dice."""
    return [
        "".join(dice.choice(CONSONANTS) + dice.choice(VOWELS) for _ in range(dice.randint(2, 3)))
        + dice.choice(["", *"nrstl"])
        for _ in range(2_000)
    ]


def make_good_passwords() -> Iterator[str]:
    dice = random.Random(16)
    invented = make_words(dice)
    for number in range(1_000):
        words = invented if number % 2 else WORDS  # words may well be common ones
        chosen = dice.sample(words, dice.randint(4, 6))
        text = dice.choice([" ", "-", ".", ""]).join(chosen)
        yield dice.choice([text, text.title(), f"{text}{dice.randint(0, 99)}!"])
    alphabets = [string.ascii_letters + string.digits, string.printable[:94]]
    for number in range(1_000):
        yield "".join(dice.choices(alphabets[number % 2], k=dice.randint(12, 32)))


GOOD = [
    *("correct horse battery staple", "Tr0ub4dor&3", "my dog ate 3 blue socks", "kV7#qLm2!xPz"),
    *("the 39 steps to nowhere", "iloveyou more than tea", "Qwerty is a bad start, Ann"),
    *("summer in Lisbon 2026!", "monkey, typewriter, hamlet", "purple-7-Trombone", "x9!Lorem4Gq"),
    *(
        "P@ssw0rd is no password",
        "dragons drink lemonade",
        "Wir fahren nach Łódź",
        "zitrone.wolke.9",
    ),
    *(
        "19 August, she left for Rome",
        "4 8 15 16 23 42 lost",
        "maybe-Tuesday-maybe-not",
        "Zk8-vQ2-tR5",
    ),
    *(
        "korrekte pferde batterie",
        "馬電池釘正確階段",
        "Надежда умирает последней",
        "🐎🔋📎🌵🐙🚲🎻🧊",
    ),
    *(
        "stay hungry, stay foolish 7x",
        "two cats & one parrot",
        "jalapeño-ananas-otter",
        "Ax7$kkq9Lw",
    ),
]


async def test_of_two_thousand_good_passwords_none_is_refused() -> None:
    good = [*make_good_passwords(), *GOOD]

    refused = [password for password in good if await refusal(password) is not None]

    assert len(good) > 2_000
    assert refused == []


@pytest.mark.parametrize(
    "password",
    [
        *("Qwerty123!", "P@ssw0rd!", "Summer2026!", "p4$$w0rd", "L3tm31n!!", "!!Dragon99"),
        *("drowssaP1", "321drowssap!", "PasswordPassword1!", "monkeymonkey!", "Iloveyou iloveyou2"),
        *("pässwörd", "ｐａｓｓｗｏｒｄ1", "pass-w0rd_99", "P.a.s.s.w.o.r.d", "Football19900704"),
        *("!QAZ2wsx", "1qaz@WSX", "Zxcvbnm123!", "asdfg2024!", "2024qwert!", "!@#$qwer"),
        *("25.12.1990", "12/25/1990", "1990-12-25", "19901225", "25121990!", "25-12-90!"),
        *("2512199025121990", "25.12.1990 25.12.1990", "123456789!!", "2024-123456789", "1111111a"),
        *("John07041987", "#1monkey", "90 12 25"),
        *("Willkommen1", "W1llk0mmen!", "Geheimnis1", "Passwort2026", "Hallo123!", "Schatz1990"),
        *("Fruehling2026", "Frühling2026!", "Fruhling26!!", "Maerz2026", "März2026!", "Hallo!2026"),
        *("MotDePasse1", "Azerty2026!", "Bonjour123", "Soleil2026!", "Étoiles1!", "Etoile2026"),
        *(
            "Été2026!!",
            "ete-2026!",
            "E\u0301te\u03012026!",
            "Printemps26!",
            "Hiver2026",
            "Automne-2026",
        ),
        *("Contraseña1", "contrasena2026", "Estrellas1", "Mariposa99!", "Ciao12345", "Benvenuto1"),
        *(
            "Bem-vindo1!",
            "Coração2026",
            "Jan2026!!",
            "Dez.2026",
            "Mai/2026!",
            "Obrigado1",
            "Fall2026!",
        ),
        *("Passwordd", "passsword1", "Paassword1", "Monkeyy99", "Willkommenn1"),
        *(
            "passw\u043erd1",
            "P\u0430ssword",
            "\u0440\u0430ssw\u043erd9",
            "p\u03b1ssw\u03bfrd!",
            "Pass99w\u043erd",
        ),
        *("qw\u0435rtyuiop", "PASSW\u041eRD1", "passw\u00f8rd1"),
    ],
)
async def test_a_common_password_in_disguise_is_refused(password: str) -> None:
    assert await refusal(password) == "too_common"


@pytest.mark.parametrize(
    "password",
    [
        *("31.13.1990", "99.99.1990", "25.12.1890", "00.12.1990", "25121990-4711", "731904-5528"),
        *("Été à Lisbonne 26", "Ete-2026-Wolke", "janitor-2026", "hotttub4", "wood-pillow"),
        *(
            "willkommen im garten",
            "абвгд-волна",
            "king7130954!",
            "love83920184710293",
            "nuxi-4-Ferrum",
            "rose;9[7<2",
            "%2!&lI4$",
        ),
    ],
)
async def test_what_only_looks_like_one_is_accepted(password: str) -> None:
    assert await refusal(password) is None


@pytest.mark.parametrize(
    "password", ["L0vel@ce1815!", "4da.L0v3l4c3", "10V31@C3", "Ad@l0vel4ce!!", "1852-l0velace"]
)
async def test_a_name_in_look_alikes_is_refused(password: str) -> None:
    assert await refusal(password, "ada.lovelace@example.com") == "personal"
    assert await refusal(password) is None
