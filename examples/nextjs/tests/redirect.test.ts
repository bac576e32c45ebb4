import { expect, test } from "vitest";
import { loginPath, safePath } from "@/lib/redirect";

test.each(["/account", "/dashboard?page=2#top", "/admin?q=%2F%2Fevil"])(
  "%j leads back from the sign-in page",
  (path) => {
    const address = new URL(loginPath(path), "http://localhost");

    expect(address.pathname).toBe("/login");
    expect(safePath(address.searchParams.get("redirect"))).toBe(path);
  },
);

test.each([
  null,
  "",
  "account",
  "https://evil.example",
  "javascript:alert(1)",
  "//evil.example",
  "/\\evil.example",
  "\\\\evil.example",
  "/\t/evil.example",
  "/\n/evil.example",
  " //evil.example",
  "/\u0000/evil.example",
  "/.//evil.example",
  "/..//evil.example",
  "/account\\..\\..",
  "/login",
  "/register?redirect=/login",
])("%j leads to the dashboard instead", (path) => {
  expect(safePath(path)).toBe("/dashboard");
});
