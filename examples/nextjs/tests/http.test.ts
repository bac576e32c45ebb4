import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { count, json, openTab, refused, startBackend, startBrowser, tokens } from "./backend";

const REFRESH = "POST /auth/refresh";
const PROJECTS = "GET /api/projects";

afterEach(() => {
  vi.unstubAllGlobals();
});

/** Accept only the access token of the newest refresh, as after a new role. */
function startStrictBackend() {
  let newest = 1;
  return startBackend({
    [PROJECTS]: ({ headers }) =>
      headers.get("authorization") === `Bearer access-${newest}` && newest > 1
        ? json([])
        : refused("token_revoked"),
    [REFRESH]: () => {
      newest += 1;
      return json(tokens(newest));
    },
  });
}

describe("a 401", () => {
  beforeEach(() => startBrowser("bearer"));

  test("leads to one refresh for fifty requests, and to one more try each", async () => {
    const backend = startStrictBackend();
    const tab = await openTab();
    tab.setTokens(tokens(1));

    const answers = await Promise.all(
      Array.from({ length: 50 }, () => tab.apiGet("/api/projects")),
    );

    expect(answers).toEqual(Array.from({ length: 50 }, () => []));
    expect(count(backend, REFRESH)).toBe(1);
    expect(count(backend, PROJECTS)).toBe(100);
  });

  test("that comes late is tried again without a second refresh", async () => {
    const backend = startStrictBackend();
    const tab = await openTab();
    tab.setTokens(tokens(1));
    let release = () => {};
    const original = backend.routes[PROJECTS];
    backend.routes[PROJECTS] = (request) =>
      new Promise((resolve) => {
        release = () => resolve(refused("token_revoked"));
        backend.routes[PROJECTS] = original ?? (() => json([]));
        void request;
      });

    const late = tab.apiGet("/api/projects");
    await vi.waitFor(() => expect(count(backend, PROJECTS)).toBe(1));
    await tab.apiGet("/api/projects");
    release();

    expect(await late).toEqual([]);
    expect(count(backend, REFRESH)).toBe(1);
  });

  test("that comes again after the refresh ends the session", async () => {
    const backend = startBackend({
      [PROJECTS]: () => refused("invalid_token"),
      [REFRESH]: () => json(tokens(2)),
    });
    const tab = await openTab();
    tab.setTokens(tokens(1));
    const heard: unknown[] = [];
    tab.onSession((user, ending) => heard.push(user?.email ?? ending));

    await expect(tab.apiGet("/api/projects")).rejects.toMatchObject({ code: "invalid_token" });

    expect(backend.calls).toEqual([PROJECTS, REFRESH, PROJECTS]);
    expect(heard).toEqual(["ada@example.com", "expired"]);
  });

  test("is answered to the caller where the refresh is refused", async () => {
    const backend = startBackend({
      [PROJECTS]: () => refused("token_revoked"),
      [REFRESH]: () => refused("session_revoked"),
    });
    const tab = await openTab();
    tab.setTokens(tokens(1));

    await expect(tab.apiGet("/api/projects")).rejects.toMatchObject({ status: 401 });

    expect(backend.calls).toEqual([PROJECTS, REFRESH]);
    expect(tab.sessionVersion()).toBeNull();
  });

  test.each([
    { option: "skipAuth", sent: null },
    { option: "skipRetry", sent: "Bearer access-1" },
  ])("is left alone with $option", async ({ option, sent }) => {
    const backend = startBackend({ [PROJECTS]: () => refused("token_revoked") });
    const tab = await openTab();
    tab.setTokens(tokens(1));

    const response = await tab.apiFetch("/api/projects", { [option]: true });

    expect(response.status).toBe(401);
    expect(backend.calls).toEqual([PROJECTS]);
    expect(backend.requests[0]?.headers.get("authorization")).toBe(sent);
  });

  test("about a password is no reason to refresh", async () => {
    const backend = startBackend({ "POST /auth/password": () => refused("invalid_credentials") });
    const tab = await openTab();
    tab.setTokens(tokens(1));

    const attempt = tab.apiPost("/auth/password", {});

    await expect(attempt).rejects.toMatchObject({ code: "invalid_credentials" });
    expect(backend.calls).toEqual(["POST /auth/password"]);
  });
});

describe("an error", () => {
  beforeEach(() => startBrowser("cookie"));

  test("names the fields that are wrong", async () => {
    const problem = { loc: ["body", "password"], msg: "Not accepted: too short", type: "weak" };
    startBackend({ "POST /auth/register": () => json({ detail: [problem] }, 422) });
    const tab = await openTab();

    const attempt = tab.apiPost("/auth/register", {}, { skipAuth: true });

    await expect(attempt).rejects.toMatchObject({
      code: "invalid",
      fields: { password: "Not accepted: too short" },
    });
  });

  test("without a body says something all the same", async () => {
    startBackend({ [PROJECTS]: () => new Response("Bad gateway", { status: 502 }) });
    const tab = await openTab();

    const attempt = tab.apiGet("/api/projects");

    await expect(attempt).rejects.toMatchObject({ status: 502, message: /try again/ });
  });

  test("of the network is told apart from a refusal", async () => {
    startBackend({});
    const tab = await openTab();

    await expect(tab.apiGet("/api/projects")).rejects.toBeInstanceOf(tab.Unavailable);
  });
});

test("bodies and answers are JSON, and no content is undefined", async () => {
  startBrowser("cookie");
  const backend = startBackend({
    "PUT /api/projects/1": async (request) => json(await request.json()),
    "DELETE /api/projects/1": () => new Response(null, { status: 204 }),
  });
  const tab = await openTab();

  expect(await tab.apiPut("/api/projects/1", { name: "Engine" })).toEqual({ name: "Engine" });
  expect(await tab.apiDelete("/api/projects/1")).toBeUndefined();
  expect(backend.requests[0]?.headers.get("content-type")).toBe("application/json");
});
