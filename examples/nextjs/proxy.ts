/** In front of every request: the way to the backend, the door to protected pages, and the CSP. */

import { type NextRequest, NextResponse } from "next/server";
import { loginPath } from "@/lib/redirect";

const BACKEND_PATHS = /^\/(auth|api)\//;
const PROTECTED_PAGES = /^\/(dashboard|account|admin)(\/|$)/;
const SESSION_COOKIES = ["__Host-access_token", "__Host-refresh_token"];

export const config = { matcher: "/((?!_next/static|_next/image|icon.svg).*)" };

export function proxy(request: NextRequest): NextResponse {
  const { pathname, search } = request.nextUrl;
  if (BACKEND_PATHS.test(pathname)) return forward(pathname + search);
  // Only a hint: the backend decides. A cookie that is no good is found out by the page, and
  // without one nothing of a protected page is sent. In bearer mode the page alone can tell.
  const hasCookie = SESSION_COOKIES.some((name) => request.cookies.has(name));
  if (!hasCookie && process.env.AUTH_MODE !== "bearer" && PROTECTED_PAGES.test(pathname)) {
    return NextResponse.redirect(new URL(loginPath(pathname + search), request.url));
  }
  return answerWithPolicy(request);
}

/** Read at run time: rewrites in next.config.ts would keep the address of the build. */
function forward(path: string): NextResponse {
  return NextResponse.rewrite(new URL(path, process.env.BACKEND_URL ?? "http://127.0.0.1:8000"));
}

/** Let only scripts run that Next put into this very answer: it reads the nonce from the policy. */
function answerWithPolicy(request: NextRequest): NextResponse {
  const policy = getPolicy(btoa(crypto.randomUUID()));
  const headers = new Headers(request.headers);
  headers.set("Content-Security-Policy", policy);
  const response = NextResponse.next({ request: { headers } });
  response.headers.set("Content-Security-Policy", policy);
  return response;
}

function getPolicy(nonce: string): string {
  const isDevelopment = process.env.NODE_ENV === "development"; // its tools evaluate strings
  return [
    "default-src 'self'",
    `script-src 'self' 'nonce-${nonce}' 'strict-dynamic'${isDevelopment ? " 'unsafe-eval'" : ""}`,
    `style-src 'self' ${isDevelopment ? "'unsafe-inline'" : `'nonce-${nonce}'`}`,
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join("; ");
}
