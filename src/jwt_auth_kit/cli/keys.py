"""The commands that keep a directory of keys: ``python -m jwt_auth_kit keys list`` and others."""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

from ..errors import ConfigurationError
from ..keys.key import AlgorithmName, Key
from ..keys.ring import ALWAYS, KeyRing, RingKey, in_order
from ..keys.sources import KeyDirectory
from ..settings import AuthSettings
from ..tokens.manager import longest_life
from .terminal import in_utc, say_table

LEAD = timedelta(minutes=15)
"""Who reads our JWK Set keeps it for ten minutes; a key should be known before it signs."""

COLUMNS = ("KID", "ALG", "STATE", "PUBLISHED", "SIGNS FROM", "SIGNS UNTIL", "REVOKED")
UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def add_key_commands(commands: Any) -> None:
    """Add ``keys`` and its verbs to the commands of a parser."""
    keys = commands.add_parser("keys", help="make, change and show the signing keys of a directory")
    verbs = keys.add_subparsers(dest="verb", required=True, metavar="VERB")
    new = _add(verbs, "new", "make a key and print its id; the first one signs at once")
    new.add_argument(
        "--alg",
        choices=get_args(AlgorithmName),
        default="EdDSA",
        help="what it signs with (default: %(default)s)",
    )
    new.add_argument("--draft", action="store_true", help="keep it unpublished for now")
    new.add_argument("--activate", action="store_true", help="let it sign at once")
    _add(verbs, "list", "show every key with its state and its moments")
    _add(verbs, "jwks", "print the public keys as a JWK Set, for services that verify tokens")
    for verb, description in (
        ("publish", "let a draft verify, and show it in the JWK Set"),
        ("activate", "let a key sign; the one that signs now goes on verifying"),
        ("retire", "let a key sign no more; it verifies until its tokens have expired"),
    ):
        with_time = _add(verbs, verb, description, takes_key=True)
        with_time.add_argument(
            "--at",
            metavar="TIME",
            type=_time,
            help="when: 2030-01-31T12:00Z, or +30m, +12h, +1d from now (default: now)",
        )
    _add(
        verbs,
        "revoke",
        "refuse everything a key signed, at once; another takes its place",
        takes_key=True,
    )


def run_key_command(options: argparse.Namespace) -> None:
    """Do what a ``keys`` command line says.

    Raises:
        ConfigurationError: it cannot be done; the message says why.
    """
    settings = AuthSettings()
    path = options.dir or settings.keys_dir
    if path is None:
        raise ConfigurationError("Which directory? Set JWT_KEYS_DIR or give --dir.")
    commands = KeyCommands(KeyDirectory(path), settings, now=datetime.now(UTC))
    match options.verb:
        case "new":
            commands.new(options.alg, draft=options.draft, activate=options.activate)
        case "list":
            commands.list()
        case "jwks":
            commands.jwks()
        case "revoke":
            commands.revoke(options.key)
        case verb:
            getattr(commands, verb)(options.key, at=options.at)


class KeyCommands:
    """What the verbs do; each prints what is true then.

    Args:
        directory: where the keys are.
        settings: how long tokens live.
        now: the moment.
    """

    def __init__(self, directory: KeyDirectory, settings: AuthSettings, *, now: datetime) -> None:
        self._directory = directory
        self._now = now
        self._access_life = longest_life(settings.access_ttl, settings.leeway)
        self._refresh_life = longest_life(settings.refresh_ttl, settings.leeway)

    def new(self, algorithm: AlgorithmName, *, draft: bool, activate: bool) -> None:
        """Make a key; print its id and nothing else, so that a script can keep it."""
        if draft and activate:
            raise ConfigurationError("A draft does not sign: leave out --draft or --activate.")
        key = Key.generate(algorithm)
        if not self._directory.read() and self._directory.add_first(key):
            print(key.id)
            return
        item = RingKey(
            key=key,
            published_at=None if draft else self._now,
            activate_at=self._now if activate else None,
        )
        self._directory.add(item)
        print(key.id)
        if activate:
            self._warn_if_unknown(item)
        elif not draft:
            _note(f"It is published. Let it sign tomorrow: keys activate {key.id} --at +1d")

    def list(self) -> None:
        """Print a table of the keys."""
        rows: list[tuple[str, ...]] = [COLUMNS]
        for item in in_order(self._directory.load()):
            moments = (item.published_at, item.activate_at, item.retired_at, item.revoked_at)
            state = item.state(self._now, keep=self._refresh_life)
            rows.append((item.key.id, item.key.algorithm, state, *map(_in_words, moments)))
        say_table(rows)

    def jwks(self) -> None:
        """Print the JWK Set that the route answers."""
        ring = KeyRing.from_source(self._directory)
        keys = ring.public_jwks(self._now, keep=self._access_life)
        if not keys:
            raise ConfigurationError("There are no public keys: who verifies needs the secret.")
        print(json.dumps({"keys": keys}, indent=2))

    def publish(self, key_id: str, *, at: datetime | None) -> None:
        """Publish a draft."""
        item = self._find(key_id)
        if item.state(self._now, keep=self._refresh_life) != "draft":
            raise ConfigurationError(f"{item.key.id} is no draft.")
        self._directory.replace(replace(item, published_at=at or self._now))
        print(f"{item.key.id} is published {_from(at)}.")

    def activate(self, key_id: str, *, at: datetime | None) -> None:
        """Let a key sign."""
        item = self._find(key_id)
        if not item.key.can_sign:
            raise ConfigurationError(f"{item.key.id} is a public key, which cannot sign.")
        state = item.state(self._now, keep=self._refresh_life)
        if state not in {"draft", "next"}:
            raise ConfigurationError(
                f"{item.key.id} is {state}; only a key that has not signed can begin to."
            )
        item = replace(
            item, published_at=item.published_at or self._now, activate_at=at or self._now
        )
        self._directory.replace(item)
        print(f"{item.key.id} signs {_from(at)}.")
        self._warn_if_unknown(item)

    def retire(self, key_id: str, *, at: datetime | None) -> None:
        """Let a key sign no more."""
        moment = at or self._now
        item = replace(self._find(key_id), retired_at=moment)
        others = [each for each in self._directory.read() if each.key.id != item.key.id]
        if not any(each.signs(moment) for each in in_order([*others, item])):
            raise ConfigurationError("No key would sign then. Activate another one before.")
        self._directory.replace(item)
        print(f"{item.key.id} signs no more {_from(at)}.")

    def revoke(self, key_id: str) -> None:
        """Refuse what a key signed; if it signs now, put another one in its place first."""
        item = self._find(key_id)
        if any(each.signs(self._now) for each in self._ordered() if each.key.id == item.key.id):
            print(f"{self._let_another_sign(item).id} signs from now on.")
        self._directory.replace(replace(item, revoked_at=self._now))
        print(f"{item.key.id} is revoked: its tokens are refused within seconds.")

    def _let_another_sign(self, old: RingKey) -> Key:
        waiting = [
            item
            for item in self._ordered()
            if item.key.can_sign
            and item.key.is_symmetric == old.key.is_symmetric  # others can verify, or nobody
            and item.key.id != old.key.id
            and item.state(self._now, keep=self._refresh_life) in {"next", "draft"}
        ]
        waiting.sort(key=lambda item: item.published_at or self._now)
        for item in waiting:  # the one that others know for the longest time
            with_dates = self._directory.get(item.key.id)
            if with_dates is not None:
                self._directory.replace(replace(with_dates, activate_at=self._now))
                return item.key
        new = RingKey(
            key=Key.generate(old.key.algorithm), published_at=self._now, activate_at=self._now
        )
        self._directory.add(new)
        return new.key

    def _ordered(self) -> Sequence[RingKey]:
        return in_order(self._directory.read())

    def _find(self, key_id: str) -> RingKey:
        """Return the key whose id begins so."""
        found = [item for item in self._directory.read() if item.key.id.startswith(key_id)]
        exact = [item for item in found if item.key.id == key_id] or found
        if len(exact) != 1:
            many = "no key" if not exact else "several keys"
            raise ConfigurationError(f"There is {many} {key_id}; `keys list` shows them.")
        item = self._directory.get(exact[0].key.id)
        if item is None:
            raise ConfigurationError(f"{key_id} has a PEM file, which has no dates: delete it.")
        return item

    def _warn_if_unknown(self, item: RingKey) -> None:
        known_since, begins = item.published_at, item.activate_at
        if item.key.is_symmetric or known_since is None or begins is None:
            return
        if begins - known_since < LEAD:
            _note(
                "Services that keep our JWK Set may refuse its tokens for some minutes; "
                "next time publish a key a day before it signs."
            )


def _add(
    verbs: Any, name: str, description: str, *, takes_key: bool = False
) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(
        name, help=description, description=f"{description[0].upper()}{description[1:]}."
    )
    if takes_key:
        verb.add_argument("key", metavar="KID", help="id of the key, or how it begins")
    verb.add_argument("--dir", type=Path, help="where the keys are (default: JWT_KEYS_DIR)")
    return verb


def _time(text: str) -> datetime:
    if span := re.fullmatch(r"\+(\d{1,4})([mhd])", text):
        return datetime.now(UTC) + timedelta(**{UNITS[span[2]]: int(span[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time like 2030-01-31T12:00Z or +1d"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _in_words(moment: datetime | None) -> str:
    if moment is None:
        return "-"
    if moment <= ALWAYS:
        return "always"
    return in_utc(moment)


def _from(at: datetime | None) -> str:
    return "from now on" if at is None else f"from {_in_words(at)} on"


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)
