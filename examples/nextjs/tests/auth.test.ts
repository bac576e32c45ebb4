import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  count,
  json,
  openTab,
  PROFILE,
  refused,
  startBackend,
  startBrowser,
  tokens,
} from "./backend";

const REFRESH = "POST /auth/refresh";

beforeEach(() => {
  vi.useFakeTimers({ shouldAdvanceTime: true, advanceTimeDelta: 20 });
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test.each([
  { life: 5, buffer: 2.5 },
  { life: 10, buffer: 5 },
  { life: 20, buffer: 5 },
  { life: 60, buffer: 15 },
  { life: 299, buffer: 74.75 },
  { life: 300, buffer: 30 },
  { life: 900, buffer: 90 },
  { life: 3000, buffer: 300 },
  { life: 43_200, buffer: 300 },
])("a token that lives $life s is replaced $buffer s before its end", async ({ life, buffer }) => {
  startBrowser("cookie");
  const tab = await openTab();
  tab.setTokens(tokens(1, life));

  vi.advanceTimersByTime((life - buffer) * 1000 - 100);
  expect(tab.isTokenExpired()).toBe(false);
  vi.advanceTimersByTime(200);
  expect(tab.isTokenExpired()).toBe(true);
});

test("in cookie mode scripts can read nothing but the expiry", async () => {
  startBrowser("cookie");
  const tab = await openTab();

  tab.setTokens(tokens(1));

  expect(Object.keys(localStorage)).toEqual(["auth-session"]);
  expect(Object.keys(JSON.parse(localStorage["auth-session"]))).toEqual(["expiresAt", "refreshAt"]);
  expect([tab.getAccessToken(), tab.getRefreshToken()]).toEqual([null, null]);
});

test("in bearer mode the access token stays in memory", async () => {
  startBrowser("bearer");
  const tab = await openTab();

  tab.setTokens(tokens(1));

  expect([tab.getAccessToken(), tab.getRefreshToken()]).toEqual(["access-1", "refresh-1"]);
  expect(JSON.stringify(localStorage)).toContain("refresh-1");
  expect(JSON.stringify(localStorage)).not.toContain("access-1");
});

describe.each(["cookie", "bearer"] as const)("in %s mode", (mode) => {
  beforeEach(() => startBrowser(mode));

  test("fifty callers share one refresh", async () => {
    const backend = startBackend({ [REFRESH]: () => json(tokens(2)) });
    const tab = await openTab();
    tab.setTokens(tokens(1));
    vi.advanceTimersByTime(850_000);

    const answers = await Promise.all(Array.from({ length: 50 }, tab.getValidAccessToken));

    expect(new Set(answers)).toEqual(new Set([mode === "bearer" ? "access-2" : null]));
    expect(backend.calls).toEqual([REFRESH]);
  });

  test("two tabs share one refresh", async () => {
    const backend = startBackend({ [REFRESH]: () => json(tokens(2)) });
    const [first, second] = [await openTab(), await openTab()];
    first.setTokens(tokens(1));
    vi.advanceTimersByTime(850_000);

    const answers = await Promise.all([first.getValidAccessToken(), second.getValidAccessToken()]);

    expect(new Set(answers)).toEqual(new Set([mode === "bearer" ? "access-2" : null]));
    expect(backend.calls).toEqual([REFRESH]);
  });

  test("where there are no Web Locks, a tab refreshes all the same", async () => {
    const backend = startBackend({ [REFRESH]: () => json(tokens(2)) });
    const tab = await openTab();
    tab.setTokens(tokens(1));
    Reflect.deleteProperty(navigator, "locks");

    await tab.refreshAccessToken();

    expect(backend.calls).toEqual([REFRESH]);
    expect(tab.isTokenExpired()).toBe(false);
  });

  test("a sign-in and a sign-out reach the other tab", async () => {
    const [first, second] = [await openTab(), await openTab()];
    const heard: unknown[] = [];
    second.onSession((user, ending) => heard.push(user?.email ?? ending));

    first.setTokens(tokens(1));
    first.clearTokens();

    await vi.waitFor(() => expect(heard).toEqual(["ada@example.com", "logged-out"]));
    expect(second.getAccessToken()).toBeNull();
  });

  test("a lost answer is asked for again with the same token", async () => {
    let attempts = 0;
    const backend = startBackend({
      [REFRESH]: () => {
        attempts += 1;
        if (attempts < 3) throw new TypeError("Failed to fetch");
        return json(tokens(2));
      },
    });
    const tab = await openTab();
    tab.setTokens(tokens(1));

    await tab.refreshAccessToken();

    const sent = await Promise.all(backend.requests.map((request) => request.text()));
    const body = mode === "bearer" ? '{"refresh_token":"refresh-1"}' : "";
    expect(sent).toEqual([body, body, body]);
    expect(tab.isTokenExpired()).toBe(false);
  });

  test("a refused refresh ends the session", async () => {
    startBackend({ [REFRESH]: () => refused("session_expired") });
    const tab = await openTab();
    const heard: unknown[] = [];
    tab.setTokens(tokens(1));
    tab.onSession((user, ending) => heard.push([user, ending]));

    await expect(tab.refreshAccessToken()).rejects.toBeInstanceOf(tab.SessionOver);

    expect(heard).toEqual([[null, "expired"]]);
    expect(tab.sessionVersion()).toBeNull();
  });

  test("a refused refresh leaves a newer sign-in alone", async () => {
    const tab = await openTab();
    startBackend({
      [REFRESH]: () => {
        vi.advanceTimersByTime(1_000);
        tab.setTokens(tokens(7));
        return refused("session_revoked");
      },
    });
    tab.setTokens(tokens(1));

    await expect(tab.refreshAccessToken()).rejects.toBeInstanceOf(tab.SessionOver);

    expect(tab.isTokenExpired()).toBe(false);
  });

  test("a server that fails ends no session", async () => {
    const backend = startBackend({ [REFRESH]: () => refused("store_unavailable", 503) });
    const tab = await openTab();
    tab.setTokens(tokens(1));
    const version = tab.sessionVersion();

    await expect(tab.refreshAccessToken()).rejects.toBeInstanceOf(tab.Unavailable);

    expect(count(backend, REFRESH)).toBe(3);
    expect(tab.sessionVersion()).toBe(version);
  });

  test("while the server fails, a token that is still good is used", async () => {
    startBackend({});
    const tab = await openTab();
    tab.setTokens(tokens(1));
    vi.advanceTimersByTime(850_000);

    expect(await tab.getValidAccessToken()).toBe(mode === "bearer" ? "access-1" : null);
    vi.advanceTimersByTime(60_000);
    await expect(tab.getValidAccessToken()).rejects.toBeInstanceOf(tab.Unavailable);
  });

  test("a refresh is aborted after 15 seconds and its answer dropped", async () => {
    let answer = () => {};
    const backend = startBackend({
      [REFRESH]: () =>
        new Promise((resolve) => {
          answer = () => resolve(json(tokens(2)));
        }),
    });
    const tab = await openTab();
    tab.setTokens(tokens(1));
    const version = tab.sessionVersion();

    const refresh = tab.refreshAccessToken();
    const failed = expect(refresh).rejects.toBeInstanceOf(tab.Unavailable);
    await vi.advanceTimersByTimeAsync(14_900);
    expect(backend.requests[0]?.signal.aborted).toBe(false);
    await vi.advanceTimersByTimeAsync(200);
    expect(backend.requests[0]?.signal.aborted).toBe(true);
    answer();

    await failed;
    expect(tab.sessionVersion()).toBe(version);
  });

  test("a refresh that waits while somebody signs out asks for nothing", async () => {
    const backend = startBackend({});
    const tab = await openTab();
    tab.setTokens(tokens(1));
    const signOut = tab.exclusively(async () => tab.clearTokens());

    const refresh = tab.refreshAccessToken();

    await expect(refresh).rejects.toThrow(tab.SessionOver);
    await signOut;
    expect(backend.calls).toEqual([]);
  });

  test("an answer that comes after a sign-out brings nobody back", async () => {
    const tab = await openTab();
    startBackend({
      [REFRESH]: () => {
        tab.clearTokens();
        return json(tokens(2));
      },
    });
    tab.setTokens(tokens(1));

    await tab.refreshAccessToken();

    expect(tab.sessionVersion()).toBeNull();
    expect(tab.getAccessToken()).toBeNull();
  });
});

describe("a page that opens", () => {
  test("asks for the session, with cookies", async () => {
    startBrowser("cookie");
    const backend = startBackend({
      "GET /auth/session": () => json({ user: PROFILE, expires_in: 600 }),
    });
    const tab = await openTab();

    await tab.restore();

    expect(backend.calls).toEqual(["GET /auth/session"]);
    expect(tab.isTokenExpired()).toBe(false);
  });

  test("refreshes where only the access cookie is over", async () => {
    startBrowser("cookie");
    const backend = startBackend({
      "GET /auth/session": () => json({ user: null, expires_in: 0 }),
      [REFRESH]: () => json(tokens(2)),
    });
    const tab = await openTab();

    await tab.restore();

    expect(backend.calls).toEqual(["GET /auth/session", REFRESH]);
    expect(tab.isTokenExpired()).toBe(false);
  });

  test("forgets a session that the server does not know any more", async () => {
    startBrowser("cookie");
    startBackend({ "GET /auth/session": () => json({ user: null, expires_in: null }) });
    const tab = await openTab();
    tab.setTokens(tokens(1));

    await tab.restore();

    expect(tab.sessionVersion()).toBeNull();
  });

  test("refreshes once, with a refresh token of its own", async () => {
    startBrowser("bearer");
    const backend = startBackend({ [REFRESH]: () => json(tokens(2)) });
    (await openTab()).setTokens(tokens(1));
    const reloaded = await openTab();

    await reloaded.restore();

    expect(backend.calls).toEqual([REFRESH]);
    expect(reloaded.getAccessToken()).toBe("access-2");
  });

  test("asks nobody where no refresh token is", async () => {
    startBrowser("bearer");
    const backend = startBackend({});
    const tab = await openTab();
    const heard: unknown[] = [];
    tab.onSession((user) => heard.push(user));

    await tab.restore();

    expect([backend.calls, heard]).toEqual([[], [null]]);
  });
});
