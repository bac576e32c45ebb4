/** Requests to the backend: signed in, refreshed once if need be, errors as ApiError. */

import type { components } from "./api-types";
import {
  clearTokens,
  getAccessToken,
  getValidAccessToken,
  refreshAccessToken,
  SessionOver,
  sessionVersion,
  Unavailable,
} from "./auth";

export interface ApiOptions extends Omit<RequestInit, "body"> {
  body?: string;
  /** Send no access token, and let a 401 be. */
  skipAuth?: boolean;
  /** Refresh neither before the request nor after a 401. */
  skipRetry?: boolean;
}

type ErrorBody =
  | components["schemas"]["AuthErrorBody"]
  | components["schemas"]["HTTPValidationError"]
  | { detail?: string };

/** What the backend refused: a stable code, a sentence for people, what is wrong in which field. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly fields: Record<string, string> = {},
  ) {
    super(message);
  }
}

/** These 401s are about a password, so no refresh would help. */
const ABOUT_PASSWORDS = ["invalid_credentials", "recent_login_required"];

/**
 * Like fetch, with the access token.
 *
 * A 401 leads to one refresh and one more try. If that fails too the session is over, and the
 * layout of the signed-in pages shows /login?redirect=... in every tab.
 */
export async function apiFetch(path: string, options: ApiOptions = {}): Promise<Response> {
  const { skipAuth = false, skipRetry = false, ...init } = options;
  if (skipAuth) return send(path, init, null);
  if (skipRetry) return send(path, init, getAccessToken());
  const token = await getValidAccessToken();
  const version = sessionVersion();
  const response = await send(path, init, token);
  if (!(await needsNewToken(response))) return response;
  try {
    await refreshAccessToken(version);
  } catch (error) {
    if (error instanceof SessionOver) return response;
    throw error;
  }
  const retried = await send(path, init, getAccessToken());
  if (await needsNewToken(retried)) clearTokens("expired");
  return retried;
}

export const apiGet = <T>(path: string, options?: ApiOptions) =>
  request<T>("GET", path, undefined, options);
export const apiPost = <T>(path: string, body?: object, options?: ApiOptions) =>
  request<T>("POST", path, body, options);
export const apiPut = <T>(path: string, body?: object, options?: ApiOptions) =>
  request<T>("PUT", path, body, options);
export const apiPatch = <T>(path: string, body?: object, options?: ApiOptions) =>
  request<T>("PATCH", path, body, options);
export const apiDelete = <T>(path: string, options?: ApiOptions) =>
  request<T>("DELETE", path, undefined, options);

/** The answer's JSON; undefined where there is none (204). */
async function request<T>(
  method: string,
  path: string,
  body?: object,
  options?: ApiOptions,
): Promise<T> {
  const json = body && {
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  const response = await apiFetch(path, { ...json, ...options, method });
  if (!response.ok) throw await readError(response);
  return response.status === 204 ? (undefined as T) : response.json();
}

async function send(path: string, init: RequestInit, token: string | null): Promise<Response> {
  const headers = new Headers(init.headers);
  if (token !== null) headers.set("Authorization", `Bearer ${token}`);
  try {
    return await fetch(path, { ...init, headers });
  } catch (error) {
    throw init.signal?.aborted ? error : new Unavailable();
  }
}

async function needsNewToken(response: Response): Promise<boolean> {
  if (response.status !== 401) return false;
  const { code } = await readError(response.clone());
  return !ABOUT_PASSWORDS.includes(code);
}

async function readError(response: Response): Promise<ApiError> {
  const body: ErrorBody = await response.json().catch(() => ({}));
  const { detail } = body;
  if (Array.isArray(detail)) {
    const fields = Object.fromEntries(detail.map(({ loc, msg }) => [String(loc.at(-1)), msg]));
    return new ApiError(response.status, "invalid", "Please check what you entered.", fields);
  }
  if (typeof detail === "object") return new ApiError(response.status, detail.code, detail.message);
  const message = detail ?? "Something went wrong. Please try again.";
  return new ApiError(response.status, "unknown", message);
}
