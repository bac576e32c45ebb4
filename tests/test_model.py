"""The rotation rule against every run of honest clients, messages and a thief."""

import pytest

from model import (
    BlindRule,
    FailingStore,
    Found,
    GraceForkRule,
    HonestRun,
    OurRule,
    StrictRule,
    search_honest,
    search_theft,
)

RUNS = [
    HonestRun(),
    HonestRun(losses=False),
    HonestRun(tabs=3),
    HonestRun(sights=2, slowest_sight=4),
]


@pytest.mark.parametrize("run", RUNS, ids=str)
def test_no_run_of_honest_tabs_is_refused(run: HonestRun) -> None:
    found = search_honest(OurRule(), run)

    assert found.states > 1000
    assert (found.bad, found.example) == (0, ())


def test_a_thief_outside_the_window_never_takes_turns_with_the_victim() -> None:
    found = search_theft(OurRule(), turns=4)

    assert found.states > 100
    assert (found.bad, found.example) == (0, ())


def test_the_model_sees_how_far_a_patient_thief_gets_with_a_lazy_victim() -> None:
    found = search_theft(OurRule(), turns=3)

    assert found.example == ("thief refreshes", "victim refreshes", "thief refreshes")


@pytest.mark.parametrize("run", RUNS[:2], ids=str)
def test_the_model_refuses_strict_single_use(run: HonestRun) -> None:
    assert search_honest(StrictRule(), run, limit=10_000).bad > 0


def test_the_model_refuses_a_grace_period_that_forks() -> None:
    found: Found = search_honest(GraceForkRule(), HonestRun(), limit=10_000)

    assert found.bad > 0
    assert "lose answer" in found.example


FAILOVERS = {
    "two-tabs": (FailingStore(OurRule()), HonestRun()),
    "three-tabs": (FailingStore(OurRule(), longest=3), HonestRun(tabs=3)),
    "late-sights": (FailingStore(OurRule()), HonestRun(slowest_sight=4)),
    "instant": (FailingStore(OurRule(), longest=2, instant=True), HonestRun()),
    "instant-three-tabs": (FailingStore(OurRule(), longest=2, instant=True), HonestRun(tabs=3)),
}


@pytest.mark.parametrize(("store", "run"), FAILOVERS.values(), ids=FAILOVERS)
def test_no_run_of_honest_tabs_is_refused_after_a_failover(
    store: FailingStore, run: HonestRun
) -> None:
    found = search_honest(store, run)

    assert found.states > 5000
    assert (found.bad, found.example) == (0, ())


@pytest.mark.parametrize("is_instant", [False, True], ids=["after-a-pause", "instant"])
def test_the_model_refuses_a_rule_that_takes_lost_generations_for_orphans(is_instant: bool) -> None:
    longest = 2 if is_instant else 4
    store = FailingStore(BlindRule(), longest=longest, instant=is_instant)

    found = search_honest(store, HonestRun())

    assert found.bad > 0
    assert "failover" in found.example


def test_each_lost_generation_gives_a_thief_one_more_round_at_most() -> None:
    two_lost = FailingStore(OurRule(), longest=6)
    one_lost = FailingStore(OurRule(), longest=3)

    assert search_theft(one_lost, turns=6).bad == 0
    assert search_theft(two_lost, turns=8).bad == 0
    assert search_theft(two_lost, turns=6).bad > 0
