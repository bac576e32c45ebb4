"""Guesses are limited, however they come; people who know their password are not in the way."""

import asyncio
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis, RedisCluster

import servers
from jwt_auth_kit.errors import ConfigurationError, StoreUnavailable, TooManyAttempts
from jwt_auth_kit.throttle.login import Attempt, LoginThrottle

HOME, OFFICE, CAFE = "192.0.2.1", "192.0.2.2", "192.0.2.3"
ATTACKER = "203.0.113.1"

LIMITS = [
    *("per_account_and_network", "per_account", "per_network", "per_wide_network"),
    *("sign_ups_per_network", "sign_ups_per_wide_network", "sign_ups_without_address"),
]

Make = Callable[..., LoginThrottle]


@pytest.fixture(params=["memory", "redis"])
def storage(request: pytest.FixtureRequest) -> str:
    return "memory://" if request.param == "memory" else empty_redis(request)


@pytest.fixture
def redis_storage(request: pytest.FixtureRequest) -> str:
    return empty_redis(request)


def empty_redis(request: pytest.FixtureRequest) -> str:
    server: servers.RedisServer = request.getfixturevalue("redis_server")
    with Redis.from_url(server.url) as client:
        client.flushdb()
    return server.url


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Make throttles with only the limits that are given, and close them after the test."""
    made: list[LoginThrottle] = []

    def make_throttle(storage: str, **options: Any) -> LoginThrottle:
        no_limits = dict.fromkeys(LIMITS, "")
        made.append(LoginThrottle(storage, **{**no_limits, **options}))
        return made[-1]

    yield make_throttle
    for throttle in made:
        await throttle.aclose()


async def passes(throttle: LoginThrottle, account: str, ip: str | None) -> bool:
    try:
        await throttle.reserve(account, ip)
    except TooManyAttempts:
        return False
    return True


async def signs_up(throttle: LoginThrottle, ip: str | None) -> bool:
    try:
        await throttle.reserve_sign_up(ip)
    except TooManyAttempts:
        return False
    return True


async def passing(throttle: LoginThrottle, attempts: Iterable[tuple[str, str]]) -> list[bool]:
    """Try one after the other."""
    return [await passes(throttle, account, ip) for account, ip in attempts]


async def retry_after(attempt: Awaitable[Attempt]) -> int:
    with pytest.raises(TooManyAttempts) as refused:
        await attempt
    return refused.value.retry_after


async def sign_in(throttle: LoginThrottle, account: str, ip: str | None) -> None:
    await throttle.confirm(await throttle.reserve(account, ip))


@pytest.mark.parametrize(
    ("limit", "counted", "not_counted"),
    [
        ("per_account_and_network", [("ada", HOME)] * 3, [("ada", CAFE), ("bob", HOME)]),
        ("per_account", [("ada", HOME), ("ada", CAFE), ("ada", OFFICE)], [("bob", HOME)]),
        ("per_network", [("ada", HOME), ("bob", HOME), ("eve", HOME)], [("ada", CAFE)]),
    ],
)
async def test_each_limit_counts_what_its_name_says(
    make: Make,
    storage: str,
    limit: str,
    counted: list[tuple[str, str]],
    not_counted: list[tuple[str, str]],
) -> None:
    throttle = make(storage, **{limit: "2/minute"})

    assert await passing(throttle, counted) == [True, True, False]
    assert all(await passing(throttle, not_counted))


async def test_defaults_let_ten_guesses_a_minute_pass(storage: str) -> None:
    throttle = LoginThrottle(storage)

    results = await passing(throttle, [("ada", HOME)] * 12)
    await throttle.aclose()

    assert results == [True] * 10 + [False] * 2


@pytest.mark.parametrize("limit", ["per_account_and_network", "per_account", "per_network"])
async def test_of_fifty_parallel_guesses_exactly_five_pass(
    make: Make, storage: str, limit: str
) -> None:
    throttle = make(storage, **{limit: "5/minute"})

    results = await asyncio.gather(*(passes(throttle, "ada", HOME) for _ in range(50)))

    assert results.count(True) == 5


async def test_processes_that_share_a_redis_count_together(make: Make, redis_storage: str) -> None:
    one = make(redis_storage, per_account_and_network="5/minute", per_network="40/minute")
    other = make(redis_storage, per_account_and_network="5/minute", per_network="40/minute")

    results = await asyncio.gather(
        *(passes(throttle, "ada", HOME) for _ in range(25) for throttle in (one, other))
    )

    assert results.count(True) == 5
    assert (one.is_shared, other.is_shared) == (True, True)


async def test_memory_counts_for_one_process_only(make: Make) -> None:
    one, other = (make("memory://", per_account="1/minute") for _ in range(2))

    assert await passes(one, "ada", HOME)
    assert await passes(other, "ada", HOME)
    assert not one.is_shared


async def test_a_cluster_counts_as_one_redis_does(make: Make, cluster_port: int) -> None:
    with RedisCluster(host="127.0.0.1", port=cluster_port) as client:
        client.flushall(target_nodes=RedisCluster.PRIMARIES)
    throttle = make(
        f"redis+cluster://127.0.0.1:{cluster_port}",
        per_account_and_network="5/minute",
        per_account="8/minute",
        per_network="20/minute",
    )

    await sign_in(throttle, "ada", HOME)
    attacks = await asyncio.gather(*(passes(throttle, "ada", ATTACKER) for _ in range(30)))
    others = await asyncio.gather(*(passes(throttle, "ada", CAFE) for _ in range(30)))

    assert (attacks.count(True), others.count(True)) == (5, 3)
    assert await passes(throttle, "ada", HOME)


async def test_a_redis_behind_a_socket_file_counts(
    make: Make, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    port, socket = servers.free_port(), tmp_path / "redis.sock"
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    server = servers.RedisServer(
        [*command, "--unixsocket", str(socket)], port, None, tmp_path / "log"
    )
    server.start()
    request.addfinalizer(server.stop)
    throttle = make(f"redis+unix://{socket}", per_account="2/minute")

    assert await passing(throttle, [("ada", HOME)] * 3) == [True, True, False]


@pytest.mark.parametrize(
    ("limit", "counted", "not_counted"),
    [
        ("sign_ups_per_network", [HOME] * 3, [CAFE, None]),
        ("sign_ups_per_network", [f"2001:db8::{host}" for host in range(3)], ["2001:db8:0:1::"]),
        ("sign_ups_per_wide_network", [f"2001:db8:0:{net}::1" for net in range(3)], [HOME, None]),
        ("sign_ups_without_address", [None, "", "testclient"], [HOME, "2001:db8::1"]),
    ],
)
async def test_each_limit_of_sign_ups_counts_what_its_name_says(
    make: Make,
    storage: str,
    limit: str,
    counted: list[str | None],
    not_counted: list[str | None],
) -> None:
    throttle = make(storage, **{limit: "2/hour"})

    assert [await signs_up(throttle, ip) for ip in counted] == [True, True, False]
    assert all([await signs_up(throttle, ip) for ip in not_counted])


async def test_sign_ups_at_once_and_in_several_processes_are_counted_exactly(
    make: Make, redis_storage: str
) -> None:
    throttles = [make(redis_storage, sign_ups_per_network="5/hour") for _ in range(2)]

    results = await asyncio.gather(
        *(signs_up(throttle, HOME) for _ in range(25) for throttle in throttles)
    )

    assert results.count(True) == 5


async def test_sign_ups_over_the_wide_limit_use_up_no_network(make: Make, storage: str) -> None:
    throttle = make(storage, sign_ups_per_network="1/hour", sign_ups_per_wide_network="1/hour")
    first = await throttle.reserve_sign_up("2001:db8:0:1::1")
    assert not await signs_up(throttle, "2001:db8:0:2::1")

    await throttle.cancel_sign_up(first)

    assert await signs_up(throttle, "2001:db8:0:2::1")


async def test_a_sign_up_that_told_nothing_is_taken_off(make: Make, storage: str) -> None:
    throttle = make(storage, sign_ups_per_network="1/hour", sign_ups_per_wide_network="1/hour")

    for _ in range(3):
        await throttle.cancel_sign_up(await throttle.reserve_sign_up("2001:db8::1"))

    assert await signs_up(throttle, "2001:db8::1")
    assert not await signs_up(throttle, "2001:db8::1")


async def test_the_networks_of_a_48_share_a_limit_on_guesses(make: Make, storage: str) -> None:
    throttle = make(storage, per_network="2/hour", per_wide_network="5/hour")
    networks = [f"2001:db8:0:{number:x}::1" for number in range(10)]

    guesses = [await passes(throttle, f"account {ip}", ip) for ip in networks]

    assert guesses == [True] * 5 + [False] * 5
    assert await passes(throttle, "ada", "2001:db8:1::1")
    assert await passes(throttle, "ada", HOME)


async def test_the_right_password_gives_the_wide_network_its_guess_back(
    make: Make, storage: str
) -> None:
    throttle = make(storage, per_wide_network="1/hour")

    for host in range(3):
        await sign_in(throttle, "ada", f"2001:db8:0:{host}::1")
        await throttle.cancel(await throttle.reserve("ada", f"2001:db8:0:{host}::1"))

    assert await passes(throttle, "ada", "2001:db8::1")
    assert not await passes(throttle, "bob", "2001:db8:0:9::1")


@pytest.mark.parametrize("options", [{"ipv6_prefix": 48}, {"ipv6_wide_prefix": 64}])
async def test_a_wide_network_that_is_no_wider_has_no_limit_of_its_own(
    make: Make, options: dict[str, int]
) -> None:
    throttle = make("memory://", per_wide_network="1/hour", per_network="2/hour", **options)

    assert [await passes(throttle, "ada", "2001:db8::1") for _ in range(3)] == [True, True, False]


async def test_every_window_has_to_have_room(make: Make, storage: str) -> None:
    throttle = make(storage, per_account="2/2 seconds; 3/minute")

    first = await passing(throttle, [("ada", HOME)] * 3)
    await asyncio.sleep(2.1)
    later = await passing(throttle, [("ada", HOME)] * 2)

    assert (first, later) == ([True, True, False], [True, False])
    assert 50 <= await retry_after(throttle.reserve("ada", HOME)) <= 60


async def test_no_span_of_a_window_holds_more_than_its_amount(make: Make, storage: str) -> None:
    throttle = make(storage, per_account="4/2 seconds")

    early = await passing(throttle, [("ada", HOME)])
    await asyncio.sleep(1.4)
    late = await passing(throttle, [("ada", HOME)] * 3)
    await asyncio.sleep(0.8)
    after_the_first_left = await passing(throttle, [("ada", HOME)] * 3)

    assert (early, late) == ([True], [True] * 3)
    assert after_the_first_left == [True, False, False]


async def test_retry_after_is_the_time_until_the_next_guess_passes(
    make: Make, storage: str
) -> None:
    throttle = make(storage, per_account="1/2 seconds")
    await throttle.reserve("ada", HOME)

    seconds = await retry_after(throttle.reserve("ada", HOME))
    await asyncio.sleep(seconds)

    assert 1 <= seconds <= 2
    assert await passes(throttle, "ada", HOME)


async def test_the_narrowest_limit_refuses_first(make: Make, storage: str) -> None:
    throttle = make(
        storage,
        per_account_and_network="1/5 seconds",
        per_network="1/minute",
        per_account="1/hour",
    )
    await throttle.reserve("ada", HOME)

    assert await retry_after(throttle.reserve("ada", HOME)) <= 5
    assert 50 <= await retry_after(throttle.reserve("bob", HOME)) <= 60
    assert 3500 <= await retry_after(throttle.reserve("ada", CAFE)) <= 3600


async def test_refused_guesses_do_not_prolong_the_wait(make: Make, storage: str) -> None:
    throttle = make(storage, per_account_and_network="1/2 seconds")
    await throttle.reserve("ada", HOME)
    allowed_from = time.monotonic() + 2

    refused = 0
    while not await passes(throttle, "ada", HOME):
        refused += 1
        await asyncio.sleep(0.05)

    assert refused > 10
    assert time.monotonic() < allowed_from + 1.5


async def test_guesses_over_the_own_limit_use_up_nothing_of_others(
    make: Make, storage: str
) -> None:
    throttle = make(
        storage,
        per_account_and_network="1/minute",
        per_network="2/minute",
        per_account="2/minute",
    )

    attacks = await passing(throttle, [("ada", ATTACKER)] * 20)

    assert attacks.count(True) == 1
    assert await passing(throttle, [("bob", ATTACKER), ("eve", ATTACKER)]) == [True, False]
    assert await passing(throttle, [("ada", HOME), ("ada", CAFE)]) == [True, False]


async def test_guesses_over_the_networks_limit_use_up_no_account(make: Make, storage: str) -> None:
    limits = {"per_account_and_network": "1/minute", "per_account": "1/minute"}
    throttle = make(storage, per_network="1/2 seconds", **limits)
    await throttle.reserve("bob", ATTACKER)

    attacks = await passing(throttle, [("ada", ATTACKER)] * 20)
    await asyncio.sleep(2.1)

    assert attacks == [False] * 20
    assert await passes(throttle, "ada", ATTACKER)


async def test_guesses_over_the_accounts_limit_use_up_no_network(make: Make, storage: str) -> None:
    throttle = make(storage, per_account="1/minute", per_network="2/minute")
    await throttle.reserve("ada", CAFE)

    attacks = await passing(throttle, [("ada", HOME)] * 20)

    assert attacks == [False] * 20
    assert await passing(throttle, [("bob", HOME), ("eve", HOME)]) == [True, True]


async def test_nobody_is_locked_out_where_they_signed_in_before(make: Make, storage: str) -> None:
    throttle = make(storage, per_account="3/minute")
    await sign_in(throttle, "ada", HOME)

    attacks = await passing(throttle, [("ada", f"203.0.113.{host}") for host in range(6)])

    assert attacks == [True] * 3 + [False] * 3
    assert await passing(throttle, [("ada", HOME)] * 5) == [True] * 5
    assert not await passes(throttle, "ada", CAFE)


async def test_a_known_network_is_known_for_one_account_only(make: Make, storage: str) -> None:
    throttle = make(storage, per_account="1/minute")

    await sign_in(throttle, "ada", HOME)

    assert await passing(throttle, [("ada", HOME)] * 2) == [True, True]
    assert await passing(throttle, [("bob", HOME)] * 2) == [True, False]


async def test_a_known_network_still_has_its_own_limit(make: Make, storage: str) -> None:
    throttle = make(storage, per_account="1/minute", per_account_and_network="2/minute")

    await sign_in(throttle, "ada", HOME)

    assert await passing(throttle, [("ada", HOME)] * 3) == [True, True, False]


async def test_the_owner_signs_in_from_a_new_network_during_an_attack(
    make: Make, storage: str
) -> None:
    throttle = make(storage, per_account_and_network="3/minute", per_account="6/minute")

    attacks = await passing(throttle, [("ada", ATTACKER)] * 50)
    for ip in (HOME, OFFICE, CAFE):
        await sign_in(throttle, "ada", ip)

    assert attacks.count(True) == 3


async def test_one_network_cannot_use_up_an_account_by_waiting_for_windows(
    make: Make, storage: str
) -> None:
    throttle = make(storage, per_account_and_network="3/2 seconds", per_account="5/2 seconds")

    # Were a window to begin at its first guess, five of these would fall into one of the account.
    await throttle.reserve("ada", CAFE)
    await asyncio.sleep(1)
    await throttle.reserve("ada", ATTACKER)
    await asyncio.sleep(1.2)
    await passing(throttle, [("ada", ATTACKER)] * 2)
    await asyncio.sleep(0.9)
    last = await passing(throttle, [("ada", ATTACKER)] * 3)

    assert last == [True, False, False]
    assert await passes(throttle, "ada", HOME)


async def test_the_right_password_costs_no_guess(make: Make, storage: str) -> None:
    throttle = make(
        storage,
        per_account_and_network="2/minute",
        per_account="2/minute",
        per_network="2/minute",
        remember_networks=timedelta(0),
    )

    for _ in range(5):
        await sign_in(throttle, "ada", HOME)

    assert await passing(throttle, [("ada", HOME)] * 3) == [True, True, False]


async def test_the_right_password_forgives_the_wrong_ones_before(make: Make, storage: str) -> None:
    throttle = make(storage, per_account_and_network="3/minute", per_network="4/minute")
    await passing(throttle, [("ada", HOME)] * 2)

    await sign_in(throttle, "ada", HOME)

    # The network's own limit holds on: somebody else may have made those guesses.
    assert await passing(throttle, [("ada", HOME)] * 3) == [True, True, False]


@pytest.mark.parametrize("limit", ["per_account", "per_network"])
async def test_an_attempt_is_taken_off_once(make: Make, storage: str, limit: str) -> None:
    throttle = make(storage, **{limit: "3/minute"}, remember_networks=timedelta(0))
    attempt = await throttle.reserve("ada", HOME)
    await passing(throttle, [("ada", HOME)] * 2)

    await asyncio.gather(*(throttle.confirm(attempt) for _ in range(10)))

    assert await passing(throttle, [("ada", HOME)] * 2) == [True, False]


@pytest.mark.parametrize("limit", ["per_account", "per_network"])
async def test_a_late_confirmation_gives_no_guess_in_the_next_window(
    make: Make, storage: str, limit: str
) -> None:
    throttle = make(storage, **{limit: "2/2 seconds"}, remember_networks=timedelta(0))
    attempt = await throttle.reserve("ada", HOME)
    await asyncio.sleep(2.1)

    await throttle.confirm(attempt)  # nothing is there to take it off from
    await passing(throttle, [("ada", HOME)] * 2)
    await throttle.confirm(attempt)

    assert not await passes(throttle, "ada", HOME)


async def test_a_confirmation_gives_no_guess_after_another_cleared_the_counts(
    make: Make, storage: str
) -> None:
    throttle = make(storage, per_account_and_network="2/minute")
    one, other = [await throttle.reserve("ada", HOME) for _ in range(2)]

    await throttle.confirm(one)
    await throttle.confirm(other)

    assert await passing(throttle, [("ada", HOME)] * 3) == [True, True, False]


async def test_logins_beside_guesses_never_let_one_more_guess_pass(
    make: Make, storage: str
) -> None:
    throttle = make(storage, per_network="10/minute")
    logins = [await throttle.reserve("ada", HOME) for _ in range(5)]

    guesses = asyncio.gather(*(passes(throttle, "bob", HOME) for _ in range(50)))
    await asyncio.gather(*(throttle.confirm(login) for login in logins))
    results = await guesses
    left = await passing(throttle, [("bob", HOME)] * 10)

    assert [*results, *left].count(True) == 10


@pytest.mark.parametrize(
    ("span", "second_passes"), [(timedelta(seconds=1), False), (timedelta(minutes=1), True)]
)
async def test_a_network_is_remembered_for_a_while(
    make: Make, storage: str, span: timedelta, second_passes: bool
) -> None:
    throttle = make(storage, per_account="1/minute", remember_networks=span)

    await sign_in(throttle, "ada", HOME)
    await asyncio.sleep(1.1)

    assert await passing(throttle, [("ada", HOME)] * 2) == [True, second_passes]


async def test_each_login_renews_the_memory_of_its_network(make: Make, storage: str) -> None:
    throttle = make(storage, per_account="1/minute", remember_networks=timedelta(seconds=2))

    await sign_in(throttle, "ada", HOME)
    await asyncio.sleep(1.2)
    await sign_in(throttle, "ada", HOME)
    await asyncio.sleep(1.2)

    assert await passing(throttle, [("ada", HOME)] * 2) == [True, True]


async def test_networks_are_not_remembered_for_no_time(make: Make, storage: str) -> None:
    throttle = make(storage, per_account="1/minute", remember_networks=timedelta(0))

    await sign_in(throttle, "ada", HOME)

    assert await passing(throttle, [("ada", HOME)] * 2) == [True, False]


@pytest.mark.parametrize(
    ("one", "other", "options"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", {}),
        ("fe80::1%eth0", "fe80::2", {}),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", {"ipv6_prefix": 48}),
        ("::ffff:192.0.2.1", "192.0.2.1", {}),
    ],
)
async def test_these_are_one_network(
    make: Make, one: str, other: str, options: dict[str, int]
) -> None:
    throttle = make("memory://", per_network="1/minute", **options)

    assert await passes(throttle, "ada", one)
    assert not await passes(throttle, "ada", other)


@pytest.mark.parametrize(
    ("one", "other", "options"),
    [
        ("192.0.2.1", "192.0.2.2", {}),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", {}),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", {}),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", {"ipv6_prefix": 80}),
        ("192.0.2.1", None, {}),
    ],
)
async def test_these_are_two_networks(
    make: Make, one: str | None, other: str | None, options: dict[str, int]
) -> None:
    throttle = make("memory://", per_network="1/minute", **options)

    assert await passes(throttle, "ada", one)
    assert await passes(throttle, "ada", other)


@pytest.mark.parametrize("ip", [None, "", "testclient", "192.0.2.1:443"])
async def test_callers_without_an_address_share_no_limit_of_a_network(
    make: Make, storage: str, ip: str | None
) -> None:
    throttle = make(storage, per_network="1/hour", per_account_and_network="1/hour")

    for account in ("ada", "bob", "ada", "eve"):
        await sign_in(throttle, account, ip)
        assert await passes(throttle, account, ip)


@pytest.mark.parametrize("ip", [None, "", "testclient"])
async def test_callers_without_an_address_are_bounded_by_the_account(
    make: Make, storage: str, ip: str | None
) -> None:
    throttle = make(storage, per_account="2/hour")

    guesses = [await passes(throttle, "ada", ip) for _ in range(3)]
    await sign_in(throttle, "bob", ip)

    assert guesses == [True, True, False]
    assert [await passes(throttle, "bob", ip) for _ in range(3)] == [True, True, False]


async def test_a_guess_without_an_address_that_was_not_looked_at_is_given_back(
    make: Make, storage: str
) -> None:
    throttle = make(storage, per_account="1/hour")

    for _ in range(3):
        await throttle.cancel(await throttle.reserve("ada", None))

    assert await passes(throttle, "ada", None)


@pytest.mark.parametrize("ip", [None, "testclient"])
async def test_an_unknown_network_never_becomes_a_known_one(make: Make, ip: str | None) -> None:
    throttle = make("memory://", per_account="1/minute")

    await sign_in(throttle, "ada", ip)

    assert await passes(throttle, "ada", ip)
    assert not await passes(throttle, "ada", ip)


async def test_without_limits_everything_passes() -> None:
    throttle = LoginThrottle.unlimited()

    results = await passing(throttle, [("ada", HOME)] * 2000)
    await sign_in(throttle, "ada", HOME)

    assert all(results)
    assert not throttle.is_shared


def test_memory_counts_over_threads_and_event_loops() -> None:
    throttle = LoginThrottle(per_account="", per_network="", per_account_and_network="500/minute")
    results: list[bool] = []

    def run_loops() -> None:
        for _ in range(2):
            results.extend(asyncio.run(passing(throttle, [("ada", HOME)] * 250)))

    threads = [threading.Thread(target=run_loops) for _ in range(4)]
    switch_interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads meet in every line
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(switch_interval)

    assert (len(results), results.count(True)) == (2000, 500)


async def test_memory_forgets_accounts_that_nobody_tries_any_more(make: Make) -> None:
    throttle = make("memory://", per_account="5/2 seconds")

    async def held_after(accounts: range) -> int:
        for account in accounts:
            await throttle.reserve(f"account {account}", HOME)
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    first = await held_after(range(2_000)) - before
    await asyncio.sleep(2.1)
    second = await held_after(range(2_000, 4_000)) - before
    tracemalloc.stop()

    assert second < 1.3 * first


async def test_memory_has_a_bound(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jwt_auth_kit.throttle.memory.MAX_SUBJECTS", 10)
    throttle = make("memory://", per_network="1/minute", per_account="1/minute")
    networks = [f"192.0.2.{host}" for host in range(11)]
    for ip in networks:
        await sign_in(throttle, "ada", ip)
    await passes(throttle, "ada", ATTACKER)

    tried_before = await passing(throttle, [("ada", ip) for ip in reversed(networks)])
    tried_again = await passing(throttle, [("bob", networks[1]), ("eve", networks[10])])

    assert tried_before == [True] * 10 + [False]  # the network of the oldest login is forgotten
    assert tried_again == [False, True]  # and so is the oldest guess


async def test_nobody_who_signs_in_from_everywhere_makes_us_forget_others(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jwt_auth_kit.throttle.memory.MAX_SUBJECTS", 10)
    throttle = make("memory://", per_account="1/minute")
    owners = [f"owner {number}" for number in range(5)]
    for owner in owners:
        await sign_in(throttle, owner, HOME)

    for host in range(50):
        await sign_in(throttle, "stranger", f"203.0.113.{host}")

    for owner in owners:
        assert await passing(throttle, [(owner, HOME)] * 3) == [True] * 3


async def test_where_all_hold_one_network_the_oldest_is_forgotten(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jwt_auth_kit.throttle.memory.MAX_SUBJECTS", 2)
    throttle = make("memory://", per_account="1/minute")

    for owner in ("ada", "bob", "eve"):
        await sign_in(throttle, owner, HOME)

    assert await passing(throttle, [("bob", HOME), ("bob", HOME)]) == [True, True]
    assert await passing(throttle, [("eve", HOME), ("eve", HOME)]) == [True, True]
    assert await passing(throttle, [("ada", HOME), ("ada", HOME)]) == [True, False]


async def test_the_latest_hundred_networks_of_an_account_are_remembered(
    make: Make, storage: str
) -> None:
    throttle = make(storage, per_account="1/minute")
    networks = [f"10.0.0.{host}" for host in range(101)]
    for ip in networks:
        await sign_in(throttle, "ada", ip)
    await passes(throttle, "ada", ATTACKER)

    tried = await passing(throttle, [("ada", ip) for ip in (networks[1], networks[100])])

    assert tried == [True, True]
    assert not await passes(throttle, "ada", networks[0])


async def test_networks_can_be_forgotten_but_for_one(make: Make, storage: str) -> None:
    throttle = make(storage, per_account="1/minute")
    for ip in (HOME, OFFICE, CAFE):
        await sign_in(throttle, "ada", ip)
        await sign_in(throttle, "bob", ip)

    await throttle.forget_networks("ada", but=OFFICE)

    assert await passing(throttle, [("ada", OFFICE)] * 2) == [True, True]
    assert await passing(throttle, [("ada", HOME), ("ada", CAFE)]) == [True, False]
    assert await passing(throttle, [("bob", HOME)] * 2) == [True, True]


@pytest.mark.parametrize("but", [None, "testclient"])
async def test_all_networks_can_be_forgotten(make: Make, storage: str, but: str | None) -> None:
    throttle = make(storage, per_account="1/minute")
    await sign_in(throttle, "ada", HOME)

    await throttle.forget_networks("ada", but=but)

    assert await passing(throttle, [("ada", HOME)] * 2) == [True, False]


async def test_where_no_network_is_remembered_none_is_kept(make: Make, storage: str) -> None:
    throttle = make(storage, per_account="1/minute", remember_networks=timedelta(0))

    await throttle.forget_networks("ada", but=HOME)

    assert await passing(throttle, [("ada", HOME)] * 2) == [True, False]


async def test_processes_agree_again_after_somebody_emptied_redis(
    make: Make, redis_storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jwt_auth_kit.throttle.redis.SALT_AGE", 0.0)
    one, other = (make(redis_storage, per_account="2/minute") for _ in range(2))
    await one.reserve("ada", HOME)
    with Redis.from_url(redis_storage) as client:
        client.flushdb()

    await one.reserve("ada", HOME)

    assert [await passes(other, "ada", CAFE) for _ in range(2)] == [True, False]


async def test_redis_does_not_show_which_accounts_were_tried(
    make: Make, redis_storage: str
) -> None:
    throttle = make(redis_storage, per_account="2/minute")

    await sign_in(throttle, "ada@example.com", HOME)
    await throttle.reserve("ada@example.com", CAFE)

    with Redis.from_url(redis_storage) as client:
        keys = client.keys()
    assert len(keys) == 3
    assert not [key for key in keys if b"ada" in key]


async def test_redis_forgets_everything_by_itself(make: Make, redis_storage: str) -> None:
    throttle = make(
        redis_storage,
        per_account_and_network="5/second; 9/3 seconds",
        per_account="5/20 seconds",
        per_network="5/minute",
        remember_networks=timedelta(hours=1),
    )

    await sign_in(throttle, "bob", CAFE)
    await throttle.reserve("ada", HOME)

    with Redis.from_url(redis_storage) as client:
        assert client.delete("jwt_auth_kit:throttle:salt") == 1  # without it nothing is found
        lives = sorted(client.pttl(key) / 1000 for key in client.scan_iter())
    assert lives == pytest.approx([3, 20, 60, 3600], abs=2)


async def test_a_flood_of_logins_opens_few_connections(make: Make, redis_storage: str) -> None:
    throttle = make(redis_storage, per_network="5/minute")

    results = await asyncio.gather(*(passes(throttle, "ada", HOME) for _ in range(300)))

    with Redis.from_url(redis_storage) as client:
        connections = len(client.client_list())
    assert results.count(True) == 5
    assert connections <= 11


async def test_a_dead_redis_lets_nobody_guess_and_nobody_wait(make: Make) -> None:
    with servers.redis() as server:
        throttle = make(server.url, per_account="5/minute")
        attempt = await throttle.reserve("ada", HOME)
        server.kill()
        started = time.monotonic()

        with pytest.raises(StoreUnavailable) as reserving:
            await throttle.reserve("ada", HOME)
        with pytest.raises(StoreUnavailable) as confirming:
            await throttle.confirm(attempt)

        assert time.monotonic() - started < 1
        assert reserving.value.__suppress_context__
        assert confirming.value.__suppress_context__


async def test_a_redis_that_came_back_is_used_at_once(make: Make) -> None:
    with servers.redis() as server:
        throttle = make(server.url, per_account="50/minute")
        await asyncio.gather(*(passes(throttle, "ada", HOME) for _ in range(20)))

        server.kill()
        server.start()

        assert all(await asyncio.gather(*(passes(throttle, "ada", HOME) for _ in range(20))))


@pytest.mark.parametrize(
    ("scheme", "nodes", "seconds"), [("redis", 1, (1.5, 4)), ("redis+cluster", 6, (4.5, 8))]
)
async def test_a_redis_that_hangs_is_given_a_few_seconds(
    make: Make, scheme: str, nodes: int, seconds: tuple[float, float]
) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with AsyncExitStack() as running:
        ports = [servers.free_port() for _ in range(nodes)]
        for port in ports:
            server = await asyncio.start_server(say_nothing, "127.0.0.1", port)
            await running.enter_async_context(server)
        addresses = ",".join(f"127.0.0.1:{port}" for port in ports)
        throttle = make(f"{scheme}://{addresses}", per_account="5/minute")
        started = time.monotonic()

        with pytest.raises(StoreUnavailable):
            await throttle.reserve("ada", HOME)

        assert seconds[0] < time.monotonic() - started < seconds[1]


async def test_a_refusal_of_redis_is_not_in_the_log_with_its_keys(
    make: Make, redis_storage: str, caplog: pytest.LogCaptureFixture
) -> None:
    throttle = make(redis_storage, per_account="5/minute")
    with Redis.from_url(redis_storage) as client:
        await throttle.reserve("ada", HOME)
        [key] = client.keys("*:per_account:*")
        client.delete(key)
        client.set(key, "not a log")

    with pytest.raises(StoreUnavailable):
        await throttle.reserve("ada", HOME)

    assert key.startswith(b"jwt_auth_kit:")
    assert caplog.messages == ["Redis failed: ResponseError"]


@pytest.mark.parametrize(
    "storage", ["redis://host.example", "rediss://:hunter2@[::1]/1?ssl_cert_reqs=none"]
)
def test_the_usual_port_need_not_be_written(storage: str) -> None:
    assert LoginThrottle(storage).is_shared


@pytest.mark.parametrize("prefix", ["", "async+"])
async def test_both_spellings_of_a_redis_are_accepted(
    make: Make, redis_storage: str, prefix: str
) -> None:
    throttle = make(prefix + redis_storage, per_account="1/minute")

    assert await passing(throttle, [("ada", HOME)] * 2) == [True, False]
    assert throttle.is_shared


def test_both_spellings_of_the_memory_are_accepted() -> None:
    assert repr(LoginThrottle("async+memory://")) == repr(LoginThrottle("memory://"))


@pytest.mark.parametrize(
    ("options", "cure"),
    [
        ({"per_account": "many"}, "per_account is 'many'.* \"10/minute; 50/day\""),
        ({"per_network": "10/fortnight"}, "per_network is"),
        ({"per_account_and_network": "10/minute;"}, "per_account_and_network is"),
        ({"per_account": "0/hour"}, 'write ""'),
        ({"per_account": "5/11 years"}, "3650 days"),
        ({"remember_networks": timedelta(seconds=-1)}, "from zero"),
        ({"remember_networks": timedelta.max}, "3650 days"),
        ({"ipv6_prefix": 0}, "from 1 to 128"),
        ({"ipv6_prefix": 129}, "from 1 to 128"),
        ({"ipv6_wide_prefix": 0}, "ipv6_wide_prefix is 0"),
        ({"sign_ups_per_network": "many"}, "sign_ups_per_network is 'many'"),
        ({"sign_ups_without_address": "0/hour"}, 'write ""'),
        ({"storage": "sqlite:///throttle.db"}, "memory://, redis://"),
        ({"storage": "memory"}, "memory://, redis://"),
        ({"storage": "redis"}, "redis://"),
    ],
)
def test_an_impossible_setting_is_refused_with_its_cure(options: Any, cure: str) -> None:
    with pytest.raises(ConfigurationError, match=cure):
        LoginThrottle(**options)


@pytest.mark.parametrize(
    "storage",
    [
        "redis://",
        "redis://:hunter2@",
        "redis://:hunter2@host:port/0",
        "redis://:hunter2@host:6379/0?socket_timeout=long",
        "rediss://user:hunter2@[::1",
        "redis+unix://",
        "redis+cluster://",
        "redis+cluster://:hunter2@host1:6379,host2",
    ],
)
def test_an_incomplete_url_is_refused_without_telling_its_password(storage: str) -> None:
    with pytest.raises(ConfigurationError, match="is not complete; it looks like") as refused:
        LoginThrottle(storage)

    assert "hunter2" not in str(refused.value)
    assert refused.value.__suppress_context__


@pytest.mark.parametrize("scheme", ["redis", "rediss", "redis+cluster", "async+redis"])
def test_repr_tells_the_limits_and_no_password(scheme: str) -> None:
    throttle = LoginThrottle(f"{scheme}://ada:hunter2@host.example:6379", per_account="7/hour")

    shown = repr(throttle)

    assert "per_account='7/hour'" in shown
    assert "100/10 minutes; 1000/day" in shown
    assert not [secret for secret in ("hunter2", "ada", "host.example") if secret in shown]


def run_python(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_memory_loads_no_redis_client() -> None:
    shown = run_python(
        "import sys\n"
        "from jwt_auth_kit.throttle import LoginThrottle\n"
        "LoginThrottle()\n"
        "print('redis' in sys.modules)\n"
    )

    assert shown == "False"


def test_a_missing_redis_client_is_named_with_its_cure() -> None:
    shown = run_python(
        "import sys\n"
        "sys.modules['redis'] = None  # as if it were not installed\n"
        "from jwt_auth_kit.errors import ConfigurationError\n"
        "from jwt_auth_kit.throttle import LoginThrottle\n"
        "try: LoginThrottle('redis://:hunter2@host:6379/0')\n"
        "except ConfigurationError as error: print(error)\n"
    )

    assert 'pip install "jwt-auth-kit[redis]"' in shown
    assert "hunter2" not in shown
