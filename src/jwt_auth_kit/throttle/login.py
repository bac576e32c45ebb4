"""Limits on password guesses and on sign-ups: by account, by network, and by wider network."""

import hmac
import logging
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from ..errors import ConfigurationError, TooManyAttempts
from ..networks import IPV6_PREFIX, IPV6_WIDE_PREFIX, get_network
from .limits import MAX_SPAN, Limit, parse_limit
from .open_logs import open_logs
from .redis import RedisLogs

logger: logging.Logger = logging.getLogger("jwt_auth_kit")

IPV6_BITS = 128
WHOLE_APPLICATION = "all"

Counted = tuple[Limit, str]
"""A limit, and the subject that was counted for it."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A password guess that was counted; hand it to ``confirm`` if the password was right."""

    id: str
    account: str
    """A keyed hash of the address."""

    network: str | None
    """None where the address of the caller is not known."""

    wide_network: str | None = None
    """What the network is a part of; None for IPv4."""

    @property
    def pair(self) -> str:
        """The account as seen from the network; no network has a bar in its name."""
        return f"{self.network}|{self.account}"


@dataclass(frozen=True, slots=True)
class SignUp:
    """A sign-up that was counted."""

    id: str
    counted: Sequence[Counted]


class LoginThrottle:
    """Counts an attempt before its password is hashed, so parallel guesses cannot overshoot.

    Limits are written as ``10/minute; 50/day``: an attempt has to fit into each window.
    ``""`` is no limit. Callers whose address is not known are no network: their guesses have
    the limit of the account alone, and their sign-ups one ceiling for the whole application.

    Args:
        storage: ``memory://`` counts for one process. ``redis://host:6379/0`` (also ``rediss``,
            ``redis+unix`` and ``redis+cluster``) counts for all and needs the ``redis`` extra.
        per_account_and_network: attempts on one account from one network.
        per_account: attempts on one account from all networks it has not signed in from.
        per_network: attempts from one network on all accounts.
        per_wide_network: attempts from one wide IPv6 network on all accounts.
        sign_ups_per_network: sign-ups from one network, for new and for taken addresses.
        sign_ups_per_wide_network: sign-ups from one wide IPv6 network.
        sign_ups_without_address: sign-ups of all callers whose address is not known.
        remember_networks: how long a sign-in exempts its network from *per_account*.
        ipv6_prefix: addresses that share this many bits are one network.
        ipv6_wide_prefix: addresses that share this many bits are one wide network.

    Raises:
        ConfigurationError: the storage or a limit cannot be used.
    """

    def __init__(
        self,
        storage: str = "memory://",
        *,
        per_account_and_network: str = "10/minute; 30/hour; 50/day",
        per_account: str = "60/hour; 100/day",
        per_network: str = "100/10 minutes; 1000/day",
        per_wide_network: str = "1000/10 minutes; 10000/day",
        sign_ups_per_network: str = "20/hour; 100/day",
        sign_ups_per_wide_network: str = "200/hour; 1000/day",
        sign_ups_without_address: str = "100/hour; 500/day",
        remember_networks: timedelta = timedelta(days=90),
        ipv6_prefix: int = IPV6_PREFIX,
        ipv6_wide_prefix: int = IPV6_WIDE_PREFIX,
    ) -> None:
        if not timedelta(0) <= remember_networks <= MAX_SPAN:
            raise ConfigurationError(
                f"remember_networks is {remember_networks}, but has to be from zero (never "
                f"remember) to {MAX_SPAN.days} days."
            )
        _check_prefix("ipv6_prefix", ipv6_prefix)
        _check_prefix("ipv6_wide_prefix", ipv6_wide_prefix)
        self._per_pair = parse_limit("per_account_and_network", per_account_and_network)
        self._per_account = parse_limit("per_account", per_account)
        self._per_network = parse_limit("per_network", per_network)
        self._per_wide = parse_limit("per_wide_network", per_wide_network)
        self._sign_ups = parse_limit("sign_ups_per_network", sign_ups_per_network)
        self._wide_sign_ups = parse_limit("sign_ups_per_wide_network", sign_ups_per_wide_network)
        self._other_sign_ups = parse_limit("sign_ups_without_address", sign_ups_without_address)
        self._remember_networks = remember_networks
        self._ipv6_prefix = ipv6_prefix
        self._ipv6_wide_prefix = ipv6_wide_prefix
        self._has_warned = False
        self._logs = open_logs(storage)

    @classmethod
    def unlimited(cls) -> Self:
        """Make one that lets everything pass: behind a gateway with limits, and in tests."""
        return cls(
            per_account_and_network="",
            per_account="",
            per_network="",
            per_wide_network="",
            sign_ups_per_network="",
            sign_ups_per_wide_network="",
            sign_ups_without_address="",
            remember_networks=timedelta(0),
        )

    @property
    def is_shared(self) -> bool:
        """Whether processes count together; in memory each counts for itself."""
        return isinstance(self._logs, RedisLogs)

    async def reserve(self, account: str, ip: str | None) -> Attempt:
        """Count an attempt on *account*, the same for accounts that do not exist.

        Raises:
            TooManyAttempts: a limit is reached; this attempt is counted nowhere.
            StoreUnavailable: Redis does not answer, so nobody may guess.
        """
        attempt = Attempt(
            id=secrets.token_hex(8),
            account=await self._pseudonym(account),
            network=self._network(ip),
            wide_network=self._wide_network(ip),
        )
        await self._count(attempt.id, await self._limits_on(attempt))
        return attempt

    async def confirm(self, attempt: Attempt) -> None:
        """Take *attempt* off the counts, as its password was right, and remember its network.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        if attempt.network is not None and self._per_pair.windows:
            await self._logs.clear(self._per_pair, attempt.pair)
        counted = [each for each in self._counted(attempt) if each[0] is not self._per_pair]
        await self._give_back(attempt.id, counted)
        # A caller without an address may be anybody, so nothing is remembered of him.
        if self._remember_networks and attempt.network is not None:
            await self._logs.remember(attempt.account, attempt.network, self._remember_networks)

    async def cancel(self, attempt: Attempt) -> None:
        """Take *attempt* off the counts, as nobody got to know whether its password was right.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        await self._give_back(attempt.id, self._counted(attempt))

    async def is_remembered(self, attempt: Attempt) -> bool:
        """Tell whether the account of *attempt* signed in from its network before.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        if attempt.network is None:
            return False
        return await self._logs.is_remembered(attempt.account, attempt.network)

    def is_network_of(self, attempt: Attempt, ip: str | None) -> bool:
        """Tell whether *ip* is in the network of *attempt*, where networks are remembered."""
        is_same = attempt.network is not None and attempt.network == self._network(ip)
        return is_same and bool(self._remember_networks)

    async def forget_networks(self, account: str, *, but: str | None = None) -> None:
        """Forget where *account* signed in from, but for the network of the address *but*.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        pseudonym, kept = await self._pseudonym(account), self._network(but)
        if kept is None or not self._remember_networks:
            await self._logs.forget_networks(pseudonym)
        else:
            await self._logs.remember(pseudonym, kept, self._remember_networks, alone=True)

    async def reserve_sign_up(self, ip: str | None) -> SignUp:
        """Count a sign-up, whether its address is new or taken.

        Raises:
            TooManyAttempts: a limit is reached; this sign-up is counted nowhere.
            StoreUnavailable: Redis does not answer.
        """
        sign_up = SignUp(secrets.token_hex(8), self._limits_on_sign_ups(ip))
        await self._count(sign_up.id, sign_up.counted)
        return sign_up

    async def cancel_sign_up(self, sign_up: SignUp) -> None:
        """Take *sign_up* off the counts, as it failed and told nothing.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        await self._give_back(sign_up.id, sign_up.counted)

    async def check_storage(self) -> None:
        """Read once from the storage.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        await self._logs.is_remembered("", "")

    async def aclose(self) -> None:
        """Close the connections to Redis; the next attempt would open new ones."""
        await self._logs.aclose()

    async def _count(self, attempt_id: str, limits: Sequence[Counted]) -> None:
        counted: list[Counted] = []
        for limit, subject in limits:
            if not limit.windows:
                continue
            wait = await self._logs.count(limit, subject, attempt_id)
            if wait > 0:
                # A client over his own limit must not use up what belongs to others.
                await self._give_back(attempt_id, counted)
                raise TooManyAttempts(math.ceil(wait))
            counted.append((limit, subject))

    async def _give_back(self, attempt_id: str, counted: Sequence[Counted]) -> None:
        for limit, subject in counted:
            if limit.windows:
                await self._logs.give_back(limit, subject, attempt_id)

    async def _limits_on(self, attempt: Attempt) -> Sequence[Counted]:
        limits = self._limits_on_network(attempt)
        # Strangers can use up the account's limit, but not where its owner signs in from:
        # locking her out would otherwise cost 60 requests an hour.
        if self._per_account.windows and not await self.is_remembered(attempt):
            return [*limits, (self._per_account, attempt.account)]
        return limits

    def _counted(self, attempt: Attempt) -> Sequence[Counted]:
        return [*self._limits_on_network(attempt), (self._per_account, attempt.account)]

    def _limits_on_network(self, attempt: Attempt) -> Sequence[Counted]:
        # Were all callers without an address one network, the guesses of one of them would
        # soon refuse everybody. Only the limit of the account bounds them.
        if attempt.network is None:
            return []
        limits = [(self._per_pair, attempt.pair), (self._per_network, attempt.network)]
        if attempt.wide_network is not None:
            limits.append((self._per_wide, attempt.wide_network))
        return limits

    def _limits_on_sign_ups(self, ip: str | None) -> Sequence[Counted]:
        network, wide_network = self._network(ip), self._wide_network(ip)
        if network is None:
            self._warn_of_unknown_address()
            return [(self._other_sign_ups, WHOLE_APPLICATION)]
        if wide_network is None:
            return [(self._sign_ups, network)]
        return [(self._sign_ups, network), (self._wide_sign_ups, wide_network)]

    def _warn_of_unknown_address(self) -> None:
        if self._has_warned or not self._other_sign_ups.windows:
            return
        self._has_warned = True
        logger.warning(
            "A sign-up came without the caller's address. All of these share one ceiling, %s for "
            "the whole application. Pass client= to kit.register(), or name the proxies in "
            "JWT_TRUSTED_PROXIES.",
            self._other_sign_ups.notation,
        )

    async def _pseudonym(self, account: str) -> str:
        # The storage may be read by others; it must not list who has an account. The salt is
        # its own: keys that sign tokens change, and all counts would begin again with them.
        return hmac.digest(await self._logs.salt(), account.encode(), "sha256").hex()

    def _network(self, ip: str | None) -> str | None:
        return get_network(ip, self._ipv6_prefix)

    def _wide_network(self, ip: str | None) -> str | None:
        # Whoever is given a /48 has 65,536 networks of 64 bits.
        if self._ipv6_wide_prefix >= self._ipv6_prefix:
            return None
        wide_network = get_network(ip, self._ipv6_wide_prefix)
        return None if wide_network == self._network(ip) else wide_network

    def __repr__(self) -> str:
        limits = (self._per_pair, self._per_account, self._per_network, self._per_wide)
        sign_ups = (self._sign_ups, self._wide_sign_ups, self._other_sign_ups)
        options = ", ".join(f"{limit.name}={limit.notation!r}" for limit in (*limits, *sign_ups))
        return f"{type(self).__name__}({self._logs!r}, {options})"


def _check_prefix(name: str, bits: int) -> None:
    if not 1 <= bits <= IPV6_BITS:
        raise ConfigurationError(
            f"{name} is {bits}, but has to be from 1 to {IPV6_BITS}; "
            "providers give a customer 64 bits or fewer."
        )
