/**
 * The session of this browser: its tokens, or only their expiry, and one refresh for everybody.
 *
 * - cookie mode: the browser keeps the tokens where no script reads them; here is their expiry.
 * - bearer mode: the access token is in the memory of the tab, the refresh token in localStorage.
 *
 * All tabs share one record in localStorage. Whoever finds it stale renews it under a lock, unless
 * another tab was faster.
 */

import type { components } from "./api-types";

export type User = components["schemas"]["AuthProfile"];
type Answer = components["schemas"]["AuthSignedInBody"];
type Tokens = Pick<Answer, "access_token" | "refresh_token" | "token_type">;
/** The types are those of a backend with bearer tokens; with cookies, no token is in the body. */
export type SignedIn = Omit<Answer, keyof Tokens> & Partial<Tokens>;
type SessionBody = components["schemas"]["AuthSessionBody"];

/** Why there is no user any more: somebody chose to leave, or the server does not know them. */
export type Ending = "logged-out" | "expired";
type Listener = (user: User | null, ending?: Ending) => void;

interface Session {
  expiresAt: number;
  refreshAt: number;
  refreshToken?: string;
}

type News =
  | { kind: "signed-in"; user: User; version: string; accessToken: string | null }
  | { kind: "signed-out"; ending: Ending };

const KEY = "auth-session";
const REUSE_WINDOW = 30_000; // JWT_REUSE_WINDOW of the backend, in milliseconds
const REFRESH_LIMIT = REUSE_WINDOW / 2;
const REFRESH_PAUSES = [300, 1_000]; // before the second and the third attempt
const SETTLE = 100; // until what one tab wrote is seen by all

/** The server says that the session is over: sign in again. */
export class SessionOver extends Error {
  override message = "Your session has ended. Please sign in again.";
}

/** Nobody knows whether the session is over: try again later. */
export class Unavailable extends Error {
  override message = "The server cannot be reached. Please try again.";
}

const channel = typeof window === "undefined" ? null : new BroadcastChannel(KEY);
const listeners = new Set<Listener>();
let held: { accessToken: string; version: string } | null = null;
let refreshing: Promise<void> | null = null;

channel?.addEventListener("message", (event: MessageEvent<News>) => take(event.data));

/** Call *listener* whenever somebody signs in, is refreshed, or signs out, in whatever tab. */
export function onSession(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Seconds before its end at which an access token with *life* seconds to go is replaced. */
export function refreshBuffer(life: number): number {
  const buffer = life < 300 ? Math.max(5, life * 0.25) : Math.min(300, life * 0.1);
  return Math.min(buffer, life / 2); // or a life of 5 seconds would be all buffer
}

/** Keep what the server answered to a sign-in or a refresh, and tell the other tabs. */
export function setTokens(answer: SignedIn): void {
  const { user_id, email, display_name, role, expires_in: life } = answer;
  const session: Session = {
    expiresAt: Date.now() + life * 1000,
    refreshAt: Date.now() + (life - refreshBuffer(life)) * 1000,
  };
  if (isBearer()) session.refreshToken = answer.refresh_token;
  const version = JSON.stringify(session);
  localStorage.setItem(KEY, version);
  publish({
    kind: "signed-in",
    user: { user_id, email, display_name, role },
    version,
    accessToken: (isBearer() && answer.access_token) || null,
  });
}

/** Forget the session, in all tabs. */
export function clearTokens(ending: Ending = "logged-out"): void {
  localStorage.removeItem(KEY);
  publish({ kind: "signed-out", ending });
}

/** The access token at hand; null in cookie mode. */
export function getAccessToken(): string | null {
  return held !== null && held.version === sessionVersion() ? held.accessToken : null;
}

/** The refresh token; null in cookie mode. */
export function getRefreshToken(): string | null {
  return getSession()?.refreshToken ?? null;
}

/** Tell whether a refresh should come before the next request. */
export function isTokenExpired(): boolean {
  return !isUsableUntil(getSession()?.refreshAt);
}

/** The text of the shared record; it differs after every sign-in and refresh. */
export function sessionVersion(): string | null {
  return localStorage.getItem(KEY);
}

/** The access token, refreshed if its end is near; null in cookie mode and for visitors. */
export async function getValidAccessToken(): Promise<string | null> {
  if (sessionVersion() !== null && isTokenExpired()) {
    try {
      await refreshAccessToken();
    } catch (error) {
      const isStillGood = isUsableUntil(getSession()?.expiresAt);
      if (!(error instanceof Unavailable && isStillGood)) throw error;
    }
  }
  return getAccessToken();
}

/**
 * Renew the session: one request, however many callers and tabs ask for it.
 *
 * *stale* is the version the caller found wanting; if another one is there by now, that will do.
 */
export function refreshAccessToken(stale = sessionVersion()): Promise<void> {
  refreshing ??= exclusively(() => renew(stale)).finally(() => {
    refreshing = null;
  });
  return refreshing;
}

/** Find out, when a page opens, who is signed in. Nobody is no error, not even in the console. */
export function restore(): Promise<void> {
  return exclusively(async () => {
    if (isBearer()) return sessionVersion() === null ? clearTokens("expired") : renew(null);
    const signal = AbortSignal.timeout(REFRESH_LIMIT);
    const response = await fetch("/auth/session", { signal }).catch(() => null);
    if (!response?.ok) throw new Unavailable();
    const { user, expires_in }: SessionBody = await response.json();
    if (user !== null && expires_in !== null) setTokens({ ...user, expires_in });
    else if (expires_in !== null) await renew(sessionVersion());
    else clearTokens("expired");
  });
}

/** Run *work* while no other tab signs in, refreshes or signs out. */
export async function exclusively<T>(work: () => Promise<T>): Promise<T> {
  if (!("locks" in navigator)) return work(); // on plain http, except on localhost
  return new Promise((resolve, reject) => {
    const turn = navigator.locks.request(KEY, async () => {
      await work().then(resolve, reject);
      await pause(SETTLE);
    });
    turn.catch(reject);
  });
}

/** Read on every page from <html data-auth-mode>, which the server fills from AUTH_MODE. */
export function isBearer(): boolean {
  return document.documentElement.dataset.authMode === "bearer";
}

async function renew(stale: string | null): Promise<void> {
  const sent = sessionVersion();
  if (sent !== stale && !isTokenExpired()) return;
  if (sent === null && stale !== null) throw new SessionOver(); // signed out while we waited
  try {
    const answer = await requestRefresh(getRefreshToken());
    // Whoever signed out or in meanwhile must not find the old session back.
    if (sessionVersion() === sent) setTokens(answer);
  } catch (error) {
    if (error instanceof SessionOver && sessionVersion() === sent) clearTokens("expired");
    throw error;
  }
}

/**
 * Ask for new tokens; after a lost answer again, with the same refresh token.
 *
 * Within its reuse window the server gives the same successor again. An answer that comes later
 * than half of it may be outdated when it arrives, so it is dropped, cookies included.
 */
async function requestRefresh(refreshToken: string | null): Promise<SignedIn> {
  const abort = new AbortController();
  const deadline = setTimeout(() => abort.abort(), REFRESH_LIMIT);
  try {
    for (const wait of [...REFRESH_PAUSES, 0]) {
      try {
        return await attemptRefresh(refreshToken, abort.signal);
      } catch (error) {
        if (error instanceof SessionOver) throw error;
      }
      if (abort.signal.aborted) break;
      await pause(wait);
    }
  } finally {
    clearTimeout(deadline);
  }
  throw new Unavailable();
}

async function attemptRefresh(token: string | null, signal: AbortSignal): Promise<SignedIn> {
  const response = await fetch("/auth/refresh", {
    method: "POST",
    signal,
    ...(token !== null && {
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ refresh_token: token }),
    }),
  });
  if (response.status === 401) throw new SessionOver();
  if (!response.ok) throw new Unavailable();
  const answer: SignedIn = await response.json();
  signal.throwIfAborted();
  return answer;
}

function publish(news: News): void {
  channel?.postMessage(news);
  take(news);
}

function take(news: News): void {
  if (news.kind === "signed-out") {
    held = null;
    for (const listener of listeners) listener(null, news.ending);
    return;
  }
  const { user, version, accessToken } = news;
  held = accessToken === null ? null : { accessToken, version };
  for (const listener of listeners) listener(user);
}

function getSession(): Session | null {
  const version = sessionVersion();
  return version === null ? null : JSON.parse(version);
}

function isUsableUntil(moment: number | undefined): boolean {
  const isHere = !isBearer() || getAccessToken() !== null;
  return moment !== undefined && Date.now() < moment && isHere;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
