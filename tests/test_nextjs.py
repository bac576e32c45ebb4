"""The Next.js example in a real browser, in front of two workers and PostgreSQL, in both modes.

Lives are short: an access token of three seconds is replaced in time by a page that somebody
looks at, and a refresh token that is used after a second is replaced by another.
"""

import json
import re
import subprocess
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import get_args

import pytest
from playwright.sync_api import Browser, Page, expect

import nextjs
import servers
from browsers import Visitor, visit
from nextjs import ADMIN, PASSWORD, Mode, Site, fill_in, heading, sign_in, wait_for_page

ACCESS_TTL = 3
REFRESH_TTL = 8
LIVES = {
    "JWT_ACCESS_TTL": str(ACCESS_TTL),
    "JWT_REFRESH_TTL": str(REFRESH_TTL),
    "JWT_REUSE_WINDOW": "1",
}
MODES: Sequence[Mode] = get_args(Mode)
Check = tuple[subprocess.Popen[bytes], Path]
COMMAND_TIMEOUT = 120.0
COMMANDS = ("test", "run typecheck", "run lint", "run types -- --check", "ci --dry-run")

AXE = nextjs.EXAMPLE / "node_modules/axe-core/axe.min.js"
TOKEN = re.compile(r"\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}")
NOT_STATIC = re.compile(r"^(?!.*/_next/static/)")

# Scripts that run in a page before its own.
ASLEEP = "Object.defineProperty(document, 'visibilityState', {value: 'hidden'});"
SLOW_CLOCK = "{ const now = Date.now; Date.now = () => Math.round(now() / 100); }"
CLICK_ALL_AT = """
([names, at]) => {
  const find = name => document.querySelector(`[aria-label="${name}"]`);
  const buttons = names.map(find);
  setTimeout(() => buttons.forEach(button => button.click()),
    at - performance.timeOrigin - performance.now());
}
"""
AT_HAND = """
() => ({
  address: location.href,
  "document.cookie": document.cookie,
  localStorage: JSON.stringify([{...localStorage}, {...sessionStorage}]),
})
"""


@pytest.fixture(scope="module", autouse=True)
def checks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Check]]:
    """The example's own tools. They begin here and are asked at the end, since they wait a lot."""
    nextjs.build()
    folder = tmp_path_factory.mktemp("checks")
    logs = {command: folder / str(number) for number, command in enumerate(COMMANDS)}
    with ExitStack() as running:
        yield {
            command: (running.enter_context(nextjs.start_npm(command, log)), log)
            for command, log in logs.items()
        }


@pytest.fixture(scope="module")
def sites(checks: object, postgresql: servers.PostgreSQL) -> Iterator[dict[Mode, Site]]:
    database = postgresql.url("asyncpg")
    with ExitStack() as running:
        yield {mode: running.enter_context(nextjs.serve(mode, database, **LIVES)) for mode in MODES}


@pytest.fixture(params=MODES)
def site(request: pytest.FixtureRequest, sites: dict[Mode, Site]) -> Site:
    return sites[request.param]


@pytest.fixture
def user(site: Site) -> nextjs.Credentials:
    return site.create_user()


@pytest.fixture
def page(site: Site, visitor: Visitor, user: nextjs.Credentials) -> Page:
    """The dashboard of a user who just signed in."""
    page = visitor.context.new_page()
    sign_in(page, site, user)
    return page


def create_project(page: Page, name: str) -> None:
    """Fill in the form of the dashboard and wait until the project is there."""
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Create project").click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()


def wait_for_refresh(page: Page, site: Site) -> None:
    """Wait until the backend has answered one refresh more."""
    before = len(site.passage.refreshes())
    for _ in range(100):
        if len(site.passage.refreshes()) > before:
            return
        page.wait_for_timeout(100)
    raise AssertionError("The page refreshes nothing.")


def wait_for_expiry(page: Page) -> None:
    """Wait until the access token is over."""
    page.wait_for_timeout((ACCESS_TTL + 0.5) * 1000)


def problems(visitor: Visitor) -> list[str]:
    """Return what went wrong; requests of a page that was left before the answer did not."""
    return [problem for problem in visitor.problems if not problem.endswith("net::ERR_ABORTED")]


def refused(status: int) -> str:
    """Return the line that Chromium writes about an answer it takes for a failure."""
    names = {401: "Unauthorized", 404: "Not Found", 500: "Internal Server Error"}
    line = "error: Failed to load resource: the server responded with a status of"
    return f"{line} {status} ({names[status]})"


def test_a_visitor_registers_and_comes_to_the_page_they_asked_for(
    site: Site, visitor: Visitor
) -> None:
    page = visitor.open(f"{site.url}/account")

    page.get_by_role("link", name="Create one").click()
    expect(heading(page, "Create an account")).to_be_visible()
    fill_in(page, {"email": f"{site.mode}@example.com", "password": PASSWORD})

    expect(heading(page, "Account")).to_be_visible()
    expect(page).to_have_url(f"{site.url}/account")
    expect(page.get_by_text("This device")).to_be_visible()
    assert problems(visitor) == []


def test_a_wrong_password_is_told_and_nobody_is_signed_in(
    site: Site, visitor: Visitor, user: nextjs.Credentials
) -> None:
    page = visitor.open(f"{site.url}/login")

    fill_in(page, {**user, "password": "wrong horse battery"})

    expect(page.get_by_role("alert").filter(has_text="password")).to_be_focused()
    page.goto(f"{site.url}/dashboard")
    expect(heading(page, "Sign in")).to_be_visible()
    assert problems(visitor) == [refused(401)]


def test_a_reload_keeps_the_user_and_what_they_made(page: Page, visitor: Visitor) -> None:
    create_project(page, "Engine")

    page.reload()

    expect(page.get_by_role("heading", name="Engine")).to_be_visible()
    assert problems(visitor) == []


def test_an_open_page_gets_new_tokens_before_the_old_ones_are_over(
    site: Site, page: Page, visitor: Visitor
) -> None:
    site.passage.answers.clear()

    wait_for_expiry(page)
    create_project(page, "Engine")

    assert {*site.passage.refreshes()} == {200}
    assert [answer for answer in visitor.answers if answer.status >= 400] == []
    assert problems(visitor) == []


@pytest.mark.parametrize(
    ("script", "refused_first"),
    [(ASLEEP, 0), (SLOW_CLOCK, 8)],
    ids=["page that slept", "page whose clock is slow"],
)
def test_eight_requests_of_two_tabs_at_expiry_make_one_refresh(
    script: str, refused_first: int, site: Site, visitor: Visitor
) -> None:
    visitor.context.add_init_script(script)
    buttons = [f"Lock: {site.create_user()['email']}" for _ in range(8)]
    tabs = [visitor.context.new_page() for _ in range(2)]
    sign_in(tabs[0], site, ADMIN, "/admin")
    tabs[1].goto(f"{site.url}/admin")
    for tab in tabs:
        expect(tab.get_by_role("button", name=buttons[-1])).to_be_visible()
    wait_for_expiry(tabs[0])
    site.passage.answers.clear()

    now = float(tabs[0].evaluate("performance.timeOrigin + performance.now()"))
    for tab, names in zip(tabs, (buttons[:4], buttons[4:]), strict=True):
        tab.evaluate(CLICK_ALL_AT, [names, now + 500])
    for tab, names in zip(tabs, (buttons[:4], buttons[4:]), strict=True):
        for name in names:
            expect(tab.get_by_role("button", name=name.replace("Lock", "Unlock"))).to_be_visible()

    locks = [answer.status for answer in site.passage.answers if answer.url.endswith("/disable")]
    assert site.passage.refreshes() == [200]
    assert sorted(locks) == [204] * 8 + [401] * refused_first
    for tab in tabs:
        tab.reload()
        expect(heading(tab, "Users")).to_be_visible()
    assert problems(visitor) == [refused(401)] * refused_first


def test_the_timers_of_two_tabs_make_one_refresh(site: Site, page: Page, visitor: Visitor) -> None:
    other = visitor.open(page.url)
    expect(heading(other, "Projects")).to_be_visible()
    wait_for_refresh(page, site)
    site.passage.answers.clear()

    wait_for_refresh(page, site)
    other.wait_for_timeout(1_000)

    assert site.passage.refreshes() == [200]
    assert problems(visitor) == []


def test_a_lost_refresh_answer_is_survived(site: Site, page: Page, visitor: Visitor) -> None:
    site.passage.answers.clear()
    site.passage.losing.append("/auth/refresh")

    for _ in range(3):
        wait_for_refresh(page, site)
    create_project(page, "Engine")

    assert site.passage.losing == []
    assert {*site.passage.refreshes()} == {200}
    assert problems(visitor) == [refused(500)]


def test_whose_refresh_token_is_over_signs_in_and_comes_back(
    site: Site, browser: Browser, visitor: Visitor, user: nextjs.Credentials
) -> None:
    with visit(browser) as sleeper:
        away, asleep = visitor.context.new_page(), sleeper.context.new_page()
        asleep.add_init_script(ASLEEP)
        for page in (away, asleep):
            sign_in(page, site, user)
        away.goto("about:blank")
        away.wait_for_timeout((REFRESH_TTL + 0.5) * 1000)

        away.goto(f"{site.url}/account?from=mail")
        asleep.get_by_role("link", name="Account").click()

        for page, path in ((away, "/account?from=mail"), (asleep, "/account")):
            expect(heading(page, "Sign in")).to_be_visible()
            fill_in(page, user)
            expect(heading(page, "Account")).to_be_visible()
            expect(page).to_have_url(site.url + path)
        # A page that is open asks for new tokens, and so is refused once.
        assert problems(sleeper) == [refused(401)]
    assert problems(visitor) == ([] if site.mode == "cookie" else [refused(401)])


def test_signing_out_in_one_tab_signs_the_other_out(
    site: Site, page: Page, visitor: Visitor
) -> None:
    other = visitor.open(f"{site.url}/account")
    for tab, title in ((page, "Projects"), (other, "Account")):
        wait_for_page(tab, title)

    page.get_by_role("button", name="Sign out", exact=True).click()

    for tab in (page, other):
        expect(heading(tab, "Sign in")).to_be_visible()
        expect(tab).to_have_url(f"{site.url}/login")
    other.goto(f"{site.url}/account")
    expect(heading(other, "Sign in")).to_be_visible()
    assert problems(visitor) == []


def test_users_do_not_see_what_is_for_administrators(
    site: Site, page: Page, visitor: Visitor
) -> None:
    page.goto(f"{site.url}/admin")

    expect(page.get_by_text("This page is for administrators.")).to_be_visible()
    expect(page.get_by_role("link", name="Users")).to_have_count(0)
    assert [answer for answer in site.passage.answers if "admin" in answer.url] == []
    assert problems(visitor) == []


def test_an_administrator_makes_another_one(
    site: Site, browser: Browser, page: Page, visitor: Visitor, user: nextjs.Credentials
) -> None:
    with visit(browser) as administrator:
        admin = administrator.context.new_page()
        sign_in(admin, site, ADMIN, "/admin")
        admin.get_by_role("button", name=f"Make administrator: {user['email']}").click()
        expect(admin.get_by_role("button", name=f"Make user: {user['email']}")).to_be_visible()
        assert problems(administrator) == []

    wait_for_refresh(page, site)
    page.get_by_role("link", name="Users").click()

    expect(page.get_by_role("button", name=f"Make user: {ADMIN['email']}")).to_be_visible()
    assert problems(visitor) == []


def test_the_whole_tour_leaves_no_error_behind_and_no_token_within_reach(
    site: Site, browser: Browser, tmp_path: Path
) -> None:
    har = tmp_path / "tour.har"
    options = {"record_har_path": har, "record_har_url_filter": NOT_STATIC}

    with visit(browser, **options) as visitor:
        at_hand = walk(visitor, site)

    assert problems(visitor) == [refused(401)]
    addresses, bodies = read_har(har)
    assert len(bodies) > 20
    assert find_tokens([*addresses, at_hand["address"], at_hand["document.cookie"]]) == []
    within_reach = find_tokens([*bodies, at_hand["localStorage"]])
    # That the search finds them where they have to be shows that it would find them elsewhere.
    assert bool(within_reach) is (site.mode == "bearer")


def walk(visitor: Visitor, site: Site) -> dict[str, str]:
    """Do all that a user does, a wrong password included; return what a script could read."""
    user = {"email": f"tour-{site.mode}@example.com", "password": PASSWORD}
    page = visitor.open(f"{site.url}/register")
    fill_in(page, user)
    expect(heading(page, "Projects")).to_be_visible()
    page.get_by_role("button", name="Sign out", exact=True).click()
    expect(heading(page, "Sign in")).to_be_visible()
    fill_in(page, {**user, "password": "wrong horse battery"})
    expect(page.get_by_role("alert").filter(has_text="password")).to_be_visible()
    fill_in(page, user)
    create_project(page, "Engine")
    page.get_by_role("button", name="Delete: Engine").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No project yet")).to_be_visible()
    page.reload()
    wait_for_refresh(page, site)
    page.get_by_role("link", name="Account").click()
    page.get_by_label("Current password").fill(PASSWORD)
    page.get_by_label("New password").fill("a new horse battery")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_text("Your password is changed.")).to_be_visible()
    wait_for_refresh(page, site)
    at_hand: dict[str, str] = page.evaluate(AT_HAND)
    other = visitor.open(f"{site.url}/dashboard")
    other.get_by_role("button", name="Sign out", exact=True).click()
    expect(heading(page, "Sign in")).to_be_visible()
    return at_hand


def read_har(har: Path) -> tuple[list[str], list[str]]:
    """Return the addresses and the bodies, sent and received, that a profile has seen."""
    entries = json.loads(har.read_text())["log"]["entries"]
    sent = [entry["request"].get("postData", {}).get("text", "") for entry in entries]
    received = [read_body(entry["response"]["content"]) for entry in entries]
    return [entry["request"]["url"] for entry in entries], [*filter(None, sent + received)]


def read_body(content: Mapping[str, str]) -> str:
    text = content.get("text", "")
    return b64decode(text).decode() if content.get("encoding") == "base64" else text


def find_tokens(texts: Iterable[str]) -> list[str]:
    """Return what has the three parts of a signed token."""
    return [token for text in texts for token in TOKEN.findall(text)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_keeps_anybody_out(scheme: str, sites: dict[Mode, Site], browser: Browser) -> None:
    site = sites["cookie"]
    user = site.create_user()
    violations: dict[str, list[str]] = {}
    # The policy of the pages would not let axe in.
    with visit(browser, color_scheme=scheme, bypass_csp=True) as visitor:
        page = visitor.open(f"{site.url}/register")
        violations["register"] = find_violations(page, "Create an account")
        page.goto(f"{site.url}/login")
        violations["login"] = find_violations(page, "Sign in")
        fill_in(page, {**user, "password": "wrong horse battery"})
        expect(page.get_by_role("alert").filter(has_text="password")).to_be_visible()
        violations["wrong password"] = find_violations(page, "Sign in")
        sign_in(page, site, ADMIN)
        violations["dashboard"] = find_violations(page, "Projects")
        create_project(page, f"Engine in the {scheme}")
        violations["project"] = find_violations(page, "Projects")
        page.get_by_role("button", name="Delete: Engine").first.click()
        expect(page.get_by_role("dialog")).to_be_visible()
        violations["question"] = find_violations(page, "Projects")
        page.goto(f"{site.url}/account")
        violations["account"] = find_violations(page, "Account")
        page.goto(f"{site.url}/admin")
        page.get_by_role("button", name=f"Lock: {user['email']}").click()
        expect(page.get_by_role("button", name=f"Unlock: {user['email']}")).to_be_visible()
        violations["admin"] = find_violations(page, "Users")
        page.goto(f"{site.url}/nowhere")
        violations["nowhere"] = find_violations(page, "There is no such page")

    assert violations == {name: [] for name in violations}
    assert problems(visitor) == [refused(401), refused(404)]


def find_violations(page: Page, title: str) -> list[str]:
    """Let axe look at the page that has *title*, once it is complete."""
    wait_for_page(page, title)
    page.add_script_tag(path=AXE)
    found = page.evaluate("() => axe.run()")
    assert len(found["passes"]) > 10
    return [
        f"{rule['id']}: {node['html']}" for rule in found["violations"] for node in rule["nodes"]
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_tools_of_the_example_are_content(command: str, checks: dict[str, Check]) -> None:
    process, log = checks[command]

    assert process.wait(COMMAND_TIMEOUT) == 0, log.read_text()
