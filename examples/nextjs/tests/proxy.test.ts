// @vitest-environment node
import { NextRequest } from "next/server";
import { afterEach, describe, expect, test, vi } from "vitest";
import { proxy } from "@/proxy";

function visit(path: string, cookie?: string) {
  const headers = cookie ? { cookie: `${cookie}=x` } : undefined;
  return proxy(new NextRequest(`http://localhost:3000${path}`, { headers }));
}

afterEach(() => {
  vi.unstubAllEnvs();
});

test.each(["/auth/login", "/api/projects?page=2"])("%s goes to the backend", (path) => {
  vi.stubEnv("BACKEND_URL", "http://backend.internal:9000");

  const rewritten = visit(path).headers.get("x-middleware-rewrite");

  expect(rewritten).toBe(`http://backend.internal:9000${path}`);
});

test.each(["/authors", "/apis", "/login"])("%s is a page of ours", (path) => {
  expect(visit(path).headers.has("x-middleware-rewrite")).toBe(false);
});

describe("a protected page", () => {
  test.each(["/dashboard", "/account", "/admin"])("%s leads visitors to the sign-in", (path) => {
    const address = new URL(visit(`${path}?page=2`).headers.get("location") ?? "");

    expect(address.href).toBe(
      `http://localhost:3000/login?redirect=${encodeURIComponent(`${path}?page=2`)}`,
    );
  });

  test.each(["__Host-access_token", "__Host-refresh_token"])("is shown with %s", (cookie) => {
    expect(visit("/account", cookie).headers.has("location")).toBe(false);
  });

  test("is guarded by the page alone where tokens are not in cookies", () => {
    vi.stubEnv("AUTH_MODE", "bearer");

    expect(visit("/account").headers.has("location")).toBe(false);
  });
});

describe("the policy of a page", () => {
  const getPolicy = () => visit("/login").headers.get("content-security-policy") ?? "";

  test("has a nonce that is never the same", () => {
    const nonces = [getPolicy(), getPolicy()].map((policy) => /'nonce-(\S+)'/.exec(policy)?.[1]);

    expect(nonces[0]).toMatch(/^\S{20,}$/);
    expect(nonces[0]).not.toBe(nonces[1]);
  });

  test("allows no inline or evaluated script, no frame and no plugin", () => {
    expect(getPolicy()).not.toContain("unsafe");
    for (const rule of ["object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"]) {
      expect(getPolicy()).toContain(rule);
    }
  });

  test("is told to Next, which puts the nonce into its scripts", () => {
    const { headers } = visit("/login");

    expect(headers.get("x-middleware-request-content-security-policy")).toBe(
      headers.get("content-security-policy"),
    );
  });
});
