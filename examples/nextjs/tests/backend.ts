/** A backend behind fetch, tabs that share one localStorage, and Web Locks, which jsdom lacks. */

import { vi } from "vitest";

export const PROFILE = {
  user_id: "1",
  email: "ada@example.com",
  display_name: "ada",
  role: "user",
};

export type Handler = (request: Request) => Response | Promise<Response>;

export interface Backend {
  /** Every request so far, as "POST /auth/refresh". */
  calls: string[];
  requests: Request[];
  routes: Record<string, Handler>;
}

export function json(body: unknown, status = 200): Response {
  return Response.json(body, { status });
}

export function refused(code: string, status = 401): Response {
  return json({ detail: { code, message: code } }, status);
}

/** The answer to a sign-in or a refresh, number *n* of the session. */
export function tokens(n: number, life = 900) {
  return {
    ...PROFILE,
    expires_in: life,
    access_token: `access-${n}`,
    refresh_token: `refresh-${n}`,
    token_type: "bearer" as const,
  };
}

/** Answer fetch from *routes*; what is not there is a lost connection. */
export function startBackend(routes: Record<string, Handler>): Backend {
  const backend: Backend = { calls: [], requests: [], routes };
  vi.stubGlobal("fetch", async (path: string, init?: RequestInit) => {
    const request = new Request(new URL(path, "http://backend.test"), init);
    const call = `${request.method} ${new URL(request.url).pathname}`;
    backend.calls.push(call);
    backend.requests.push(request.clone());
    const handler = backend.routes[call];
    if (handler === undefined) throw new TypeError("Failed to fetch");
    return handler(request);
  });
  return backend;
}

export function count(backend: Backend, call: string): number {
  return backend.calls.filter((other) => other === call).length;
}

/** Begin with an empty browser that runs in *mode*. */
export function startBrowser(mode: "cookie" | "bearer"): void {
  localStorage.clear();
  document.documentElement.dataset.authMode = mode;
  const last = new Map<string, Promise<unknown>>();
  const request = (name: string, work: () => Promise<unknown>) => {
    const turn = (last.get(name) ?? Promise.resolve()).then(work);
    last.set(
      name,
      turn.catch(() => undefined),
    );
    return turn;
  };
  Object.defineProperty(navigator, "locks", { value: { request }, configurable: true });
}

/** Load the modules afresh, as a tab does. */
export async function openTab() {
  vi.resetModules();
  const auth = await import("@/lib/auth");
  const http = await import("@/lib/http");
  return { ...auth, ...http };
}
