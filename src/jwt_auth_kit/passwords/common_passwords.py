"""Which passwords are guessed first: listed ones, also in disguise, patterns and dates."""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import pairwise

LEAST_CHARACTERS = 8  # of a password, and of what stays when a repeated part is taken out
LONGEST_UNIT = 32  # characters; what is repeated is looked for no further
RUN_LENGTH = 4  # characters; with 3, pioneered and Stuttgart would be runs
LEAST_WORD = 4
LONGEST_AT_LEAST_WORD = 7  # digits and marks around a word of four letters that are no date
LEAST_REVERSED = 6
LEAST_UNDOUBLED = 6  # letters; a shorter word with a doubled letter may be another word
LONGEST_UNDOUBLED = 24  # so that a text of doubled letters takes no longer than others
LEAST_RUN = 5  # characters, where something is added to a run
DOUBLED = re.compile(r"([^\W\d_])\1")
LONGEST_ADDITION = 10  # digits and marks around a word: a date and two marks
ADDITION = re.compile(r"[!-/:-@[-`{-~ ]{0,3}\d*[!-/:-@[-`{-~ ]{0,3}", re.ASCII)
FIRST_YEAR, LAST_YEAR = 1900, 2099
KEYBOARDS = """
    1234567890 !@#$%^&*()
    qwertyuiop asdfghjkl zxcvbnm
    qwertzuiop yxcvbnm
    azertyuiop qsdfghjklm wxcvbn
    1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik
    1q2w3e4r5t6y7u8i9o0p q1w2e3r4t5y6u7i8o9p0
"""
"""Ways that fingers walk: rows of three layouts, columns, and zigzags with the digits."""

KEY_STEPS = frozenset(
    step for row in KEYBOARDS.split() for a, b in pairwise(row) for step in (a + b, b + a)
)
UNSHIFTED = str.maketrans("!@#$%^&*()", "1234567890")

LOOK_ALIKES = ("a@4", "b8", "c(<{[", "e3", "g69", "ilt17!|+", "o0", "s5$", "x%", "z2")
"""Letters, digits and marks that are put in each other's place; the first stands for all."""

LATIN = str.maketrans(
    "асеһіјкмнорѕтухвԁԛԝ" + "αεικνορτυχβγηωζ" + "ıłøđħ",
    "acehijkmhopstyxbdqw" + "aeikvoptuxbynwz" + "ilodh",
)
"""Cyrillic and Greek letters that look like Latin ones, and Latin ones that do not decompose."""

TRANSCRIBED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})

SKELETON = str.maketrans({sign: group[0] for group in LOOK_ALIKES for sign in group})

CALENDAR = """
    spring summer autumn fall winter january february march april june july august september october
    november december monday tuesday wednesday thursday friday saturday sunday
    frühling frühjahr sommer herbst jänner januar feber februar märz juni juli oktober dezember
    montag dienstag mittwoch donnerstag freitag samstag sonntag
    printemps automne hiver janvier février mars avril juin juillet août septembre octobre novembre
    décembre lundi mardi mercredi jeudi vendredi samedi dimanche
    primavera verano otoño invierno enero febrero marzo abril mayo junio julio agosto septiembre
    octubre noviembre diciembre lunes martes miércoles jueves viernes sábado domingo
    estate autunno inverno gennaio febbraio aprile maggio giugno luglio settembre ottobre dicembre
    lunedì martedì mercoledì giovedì venerdì sabato domenica
    verão outono janeiro fevereiro março maio junho julho setembro outubro novembro dezembro
    lente zomer herfst januari februari maart april juni juli augustus
    maandag dinsdag woensdag donderdag vrijdag zaterdag zondag
"""
"""Months, days and seasons in English, German, French, Spanish, Italian, Portuguese, Dutch."""

SHORT_CALENDAR = "ete mai may mei jan feb mar mrz apr jun jul aug sep oct okt nov dec dez"
"""The same in three letters; with a year only."""

SHORT_MONTH_WITH_YEAR = re.compile(
    rf"[\W_]{{0,3}}({SHORT_CALENDAR.replace(' ', '|')})[\W_]{{0,3}}(19|20)\d\d[\W_]{{0,3}}",
    re.ASCII,
)

USUAL_WORDS = """
    passwort kennwort geheim geheimnis willkommen hallo schatz schatzi liebling liebe sonne
    sonnenschein sterne himmel blume schmetterling engel prinzessin fußball deutschland österreich
    schweiz münchen bayern schalke dortmund borussia familie freiheit weihnachten ostern urlaub
    katze pferd schnecke mausi sicherheit zugang benutzer schule ichliebedich meinschatz
    lassmichrein arschloch ficken
    motdepasse azerty bonjour bonsoir salut coucou soleil étoile étoiles amour monamour jetaime
    chouchou doudou loulou nounours chocolat princesse papillon bienvenue secret maison famille
    france marseille toulouse bordeaux liberté vacances bisous merci musique cheval
    contraseña clave hola secreto bienvenido bienvenidos estrella estrellas amor teamo tequiero
    teamomucho mariposa princesa corazón cariño hermosa bonita familia amigos fútbol españa madrid
    barcelona méxico navidad felicidad gatito perro
    ciao benvenuto benvenuti buongiorno segreto amore amoremio tiamo stella stellina farfalla
    principessa tesoro famiglia calcio italia milano napoli juventus forzamilan forzainter forzajuve
    senha segredo bemvindo obrigado estrela estrelas euteamo meuamor coração borboleta saudade
    família felicidade futebol portugal brasil benfica flamengo corinthians palmeiras
    wachtwoord welkom geheim zonnetje voetbal amsterdam feyenoord
"""
"""Words that people choose first in German, French, Spanish, Italian, Portuguese and Dutch."""


def is_guessable(password: str) -> bool:
    """Tell whether *password*, which is casefolded, is tried among the first."""
    return any(map(_is_guessable, {password, _without_accents(password)}))


def _is_guessable(password: str) -> bool:
    return (
        _is_listed(password)
        or _is_pattern(password)
        or _is_date(password)
        or _is_date(_repeated_unit(_without_separators(password)))
        or not _known().isdisjoint(disguises(password))
        or not _known().isdisjoint(disguises(password[::-1], least=LEAST_REVERSED))
        or _is_pattern(password.translate(UNSHIFTED))
        or _has_pattern(password)
        or SHORT_MONTH_WITH_YEAR.fullmatch(password) is not None
    )


def disguises(password: str, *, least: int = LEAST_WORD) -> Iterator[str]:
    """Return the skeletons of the words that *password* may be made of, *least* signs or longer."""
    plain = _without_accents(password)
    yield from _disguises(plain, least)
    if (joined := _without_separators(plain)) != plain:
        yield from _disguises(joined, LEAST_CHARACTERS)


def _disguises(text: str, least: int) -> Iterator[str]:
    is_doubled = DOUBLED.search(text) is not None
    for begin, end in _cuts(text, least):
        word = text[begin:end]
        half = word[: len(word) // 2]
        if len(word) >= LEAST_CHARACTERS or _is_ordinary(text, begin, end):
            yield skeleton(word)
            if is_doubled and LEAST_UNDOUBLED < len(word) <= LONGEST_UNDOUBLED:
                yield from _undoubled(word)
        if len(half) >= least and half + half == word:
            yield skeleton(half)


def _undoubled(word: str) -> Iterator[str]:
    """Return the skeletons of *word* without one letter that is there twice or more in a row."""
    for found in DOUBLED.finditer(word):
        yield skeleton(word[: found.start()] + word[found.start() + 1 :])


def _is_ordinary(text: str, begin: int, end: int) -> bool:
    """Tell whether a short word has around it what people add to one, and few look-alikes in it.

    A random password must not be refused because four of its signs could be read as a word.
    """
    word, before, after = text[begin:end], text[:begin], text[end:]
    letters = sum(map(str.isalpha, word))
    if len(word) == LEAST_WORD:
        is_short = len(before + after) <= LONGEST_AT_LEAST_WORD or _is_date(before + after)
        is_word = letters == len(word) and is_short
    else:
        is_word = 2 * letters >= len(word)
    splits_a_number = word[-1].isdecimal() and after[:1].isdecimal()
    return is_word and not splits_a_number and all(map(ADDITION.fullmatch, (before, after)))


def skeleton(text: str) -> str:
    """Return *text* with one sign for all that look alike: p@55w0rd and password are the same.

    A number stays as it is: 1 and 7 are not alike there.
    """
    plain = _without_accents(text)
    return plain if plain.isdecimal() else plain.translate(SKELETON)


def _is_listed(password: str) -> bool:
    unit = _repeated_unit(password)
    listed = _common_passwords()
    return not listed.isdisjoint((password, unit, _letters(unit)))


def _is_pattern(text: str) -> bool:
    """Tell whether *text* repeats a short part, or walks along an alphabet or a keyboard."""
    return len(text) >= LEAST_CHARACTERS > len(_repeated_unit(text)) or _is_run(text)


def _has_pattern(text: str) -> bool:
    """Tell whether *text* is a pattern of letters with digits and marks around it."""
    core = _core(text)
    return (
        len(core) >= LEAST_RUN and len(text) - len(core) <= LONGEST_ADDITION and _is_pattern(core)
    )


def _repeated_unit(text: str) -> str:
    """Return the shortest text that gives *text* when it is repeated: abc for abcabcab."""
    for length in range(1, min(len(text) // 2, LONGEST_UNIT) + 1):
        if text.startswith(text[length:]):
            return text[:length]
    return text


def _is_run(text: str) -> bool:
    """Tell whether *text* walks along an alphabet or a keyboard, with few leaps."""
    leaps = sum(abs(ord(a) - ord(b)) > 1 and a + b not in KEY_STEPS for a, b in pairwise(text))
    return len(text) >= RUN_LENGTH * (leaps + 1)


def _is_date(text: str) -> bool:
    """Tell whether *text* is a date in digits, with at most four marks in it or around it."""
    digits = re.sub(r"\D", "", text, flags=re.ASCII)
    if not digits or _has_letter(text) or len(text) > len(digits) + 4:
        return False
    if len(digits) == 8:  # noqa: PLR2004  a year with its century
        return _is_day(digits[:2], digits[2:4], digits[4:]) or _is_day(
            digits[6:], digits[4:6], digits[:4]
        )
    if len(digits) == 6:  # noqa: PLR2004  a year without
        return _is_day(digits[:2], digits[2:4], f"20{digits[4:]}") or _is_day(
            digits[4:], digits[2:4], f"20{digits[:2]}"
        )
    return False


def _is_day(first: str, second: str, year: str) -> bool:
    low, high = sorted((int(first), int(second)))
    return 1 <= low <= 12 and high <= 31 and FIRST_YEAR <= int(year) <= LAST_YEAR  # noqa: PLR2004


def _cuts(text: str, least: int) -> Iterator[tuple[int, int]]:
    """Return where a word in *text* may begin and end, with digits and marks around it."""
    first, last = _core_limits(text)
    yield from (
        (begin, len(text) - cut)
        for begin in range(min(first, LONGEST_ADDITION) + 1)
        for cut in range(min(len(text) - last, LONGEST_ADDITION - begin) + 1)
        if len(text) - cut - begin >= least
    )
    if last - first >= LEAST_CHARACTERS:  # nothing that is put around a long one hides it
        yield first, last


def _core(text: str) -> str:
    first, last = _core_limits(text)
    return text[first:last]


def _core_limits(text: str) -> tuple[int, int]:
    """Return where the letters of *text* begin and end; of a text without any, anything may go."""
    letters = [place for place, sign in enumerate(text) if sign.isalpha()]
    return (letters[0], letters[-1] + 1) if letters else (len(text), 0)


def _without_separators(text: str) -> str:
    return re.sub(r"[\s._,:;/\\'\"-]", "", text)


def _without_accents(text: str) -> str:
    """Return *text* without accents, and with Latin letters for those that look like them."""
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFKD", text)
    plain = "".join(sign for sign in decomposed if not unicodedata.combining(sign))
    return plain.translate(LATIN)


def _has_letter(text: str) -> bool:
    return any(map(str.isalpha, text))


def _letters(text: str) -> str:
    return "".join(filter(str.isalpha, text))


@cache
def _common_passwords() -> frozenset[str]:
    return frozenset(_read("common_passwords.txt"))


@cache
def _known() -> frozenset[str]:
    """Return the skeletons of everything that is listed here or in a file."""
    own = (*CALENDAR.split(), *USUAL_WORDS.split())
    transcribed = (word.translate(TRANSCRIBED) for word in own)
    words = (*_common_passwords(), *_read("common_words.txt"), *own, *transcribed)
    return frozenset(skeleton(word.casefold()) for word in words)


def _read(name: str) -> list[str]:
    """Read a list, which common_passwords.LICENSE.txt describes."""
    return (files("jwt_auth_kit.passwords") / name).read_text(encoding="utf-8").splitlines()
