"""The rotation rule against every run of honest clients, messages and a thief."""

import pytest

from model import (
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
