/** The signed-in user, and what signs in and out. */

import { useEffect } from "react";
import { type LoginBody, type PasswordBody, post, type RegisterBody } from "@/lib/api";
import {
  clearTokens,
  exclusively,
  getRefreshToken,
  getValidAccessToken,
  isBearer,
  isTokenExpired,
  onSession,
  refreshAccessToken,
  restore,
  SessionOver,
  sessionVersion,
  setTokens,
} from "@/lib/auth";
import { useAuthStore } from "@/stores/authStore";

const NO_AUTH = { skipAuth: true };
const TICK = 1_000;
const PAUSE_AFTER_FAILURE = 30_000;

export function useAuth() {
  const { user, isLoading, error, hasLoggedOut } = useAuthStore();
  return { user, isAuthenticated: user !== null, isLoading, error, hasLoggedOut, ...actions };
}

// Sign-ins and sign-outs wait for a refresh that runs, and the other way round: whose answer comes
// last would else decide which cookies stay.
const actions = {
  login: (body: LoginBody) =>
    exclusively(async () => setTokens(await post("/auth/login", body, NO_AUTH))),

  register: ({ display_name, ...body }: RegisterBody) =>
    exclusively(async () => {
      const account = { ...body, display_name: display_name || null };
      setTokens(await post("/auth/register", account, NO_AUTH));
    }),

  logout: () =>
    exclusively(async () => {
      const body = isBearer() ? { refresh_token: getRefreshToken() } : undefined;
      await post("/auth/logout", body, NO_AUTH);
      clearTokens("logged-out");
    }),

  /** The answer is a new session: without waiting for a turn, a refresh of the old one may fail. */
  changePassword: async (body: PasswordBody) => {
    await getValidAccessToken();
    const options = { skipRetry: true };
    await exclusively(async () => setTokens(await post("/auth/password", body, options)));
  },

  /** Find out who is signed in; *error* tells if that failed. */
  restore: async () => {
    useAuthStore.setState({ isLoading: true, error: null });
    const error = await restore().then(
      () => null,
      (reason: Error) => (reason instanceof SessionOver ? null : reason.message),
    );
    useAuthStore.setState({ isLoading: false, error });
  },
};

/** Follow the session and keep it fresh. To be used once, around everything. */
export function useSession(): void {
  useEffect(() => {
    const stopListening = onSession((user, ending) =>
      useAuthStore.setState({ user, error: null, hasLoggedOut: ending === "logged-out" }),
    );
    void useAuthStore.persist.rehydrate();
    void actions.restore();
    const stopRefreshing = refreshInTime();
    return () => {
      stopListening();
      stopRefreshing();
    };
  }, []);
}

/**
 * Refresh before the access token ends, while somebody looks at the page.
 *
 * A hidden page refreshes when it is looked at again. A clock that ticks, unlike one long timer,
 * also notices that the machine was asleep.
 */
function refreshInTime(): () => void {
  let pausedUntil = 0;
  const refreshIfDue = () => {
    const isDue = sessionVersion() !== null && isTokenExpired() && Date.now() >= pausedUntil;
    if (!isDue || document.visibilityState !== "visible") return;
    refreshAccessToken().catch(() => {
      pausedUntil = Date.now() + PAUSE_AFTER_FAILURE;
    });
  };
  // A page out of the back-forward cache has missed what happened meanwhile.
  const onPageShow = ({ persisted }: PageTransitionEvent) => persisted && void actions.restore();

  const tick = setInterval(refreshIfDue, TICK);
  window.addEventListener("focus", refreshIfDue);
  window.addEventListener("pageshow", onPageShow);
  document.addEventListener("visibilitychange", refreshIfDue);
  return () => {
    clearInterval(tick);
    window.removeEventListener("focus", refreshIfDue);
    window.removeEventListener("pageshow", onPageShow);
    document.removeEventListener("visibilitychange", refreshIfDue);
  };
}
