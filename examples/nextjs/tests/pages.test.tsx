import { cleanup, render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import MembersLayout from "@/app/(members)/layout";
import VisitorsLayout from "@/app/(visitors)/layout";
import { Login } from "@/app/(visitors)/login/content";
import { Register } from "@/app/(visitors)/register/content";
import { KeepSession } from "@/components/keep-session";
import { clearTokens } from "@/lib/auth";
import { useAuthStore } from "@/stores/authStore";
import { count, json, PROFILE, refused, startBackend, startBrowser, tokens } from "./backend";

const REFRESH = "POST /auth/refresh";
const SESSION = "GET /auth/session";
const NOBODY = () => json({ user: null, expires_in: null });
const ADA = () => json({ user: PROFILE, expires_in: 900 });

const replace = vi.fn();

vi.mock("next/navigation", () => {
  const router = { replace: (path: string) => replace(path) };
  return {
    useRouter: () => router,
    usePathname: () => window.location.pathname,
    useSearchParams: () => new URLSearchParams(window.location.search),
  };
});

beforeEach(() => {
  startBrowser("cookie");
  useAuthStore.setState(useAuthStore.getInitialState());
  replace.mockClear();
});

afterEach(() => {
  cleanup();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function open(path: string, page: React.ReactNode) {
  window.history.replaceState(null, "", path);
  return render(
    <>
      <KeepSession />
      {page}
    </>,
  );
}

describe("a page for users", () => {
  const page = <MembersLayout>secret</MembersLayout>;

  test("leads visitors to the sign-in, and back", async () => {
    startBackend({ [SESSION]: NOBODY });

    open("/account?x=1", page);

    await waitFor(() => expect(replace).toHaveBeenCalledWith("/login?redirect=%2Faccount%3Fx%3D1"));
    expect(screen.queryByText("secret")).toBeNull();
  });

  test("is shown to users", async () => {
    startBackend({ [SESSION]: ADA });

    open("/account", page);

    await screen.findByText("secret");
    expect(replace).not.toHaveBeenCalled();
  });

  test("is left when the session ends, with a way back", async () => {
    startBackend({ [SESSION]: ADA });
    open("/account", page);
    await screen.findByText("secret");

    clearTokens("expired");

    await waitFor(() => expect(replace).toHaveBeenCalledWith("/login?redirect=%2Faccount"));
  });

  test("is left at a sign-out, without a way back", async () => {
    const backend = startBackend({
      [SESSION]: ADA,
      "POST /auth/logout": () => new Response(null, { status: 204 }),
    });
    open("/account", page);
    await screen.findByText("secret");

    await userEvent.click(screen.getByRole("button", { name: "Sign out" }));

    await waitFor(() => expect(replace).toHaveBeenCalledWith("/login"));
    expect(backend.calls).toEqual([SESSION, "POST /auth/logout"]);
  });

  test("offers another try while the server is away", async () => {
    const backend = startBackend({ [SESSION]: () => refused("store_unavailable", 503) });
    open("/account", page);
    const retry = await screen.findByRole("button", { name: "Try again" });
    backend.routes[SESSION] = ADA;

    await userEvent.click(retry);

    await screen.findByText("secret");
    expect(replace).not.toHaveBeenCalled();
  });
});

describe("the sign-in", () => {
  const page = (
    <VisitorsLayout>
      <Login />
    </VisitorsLayout>
  );

  async function signIn() {
    await userEvent.type(screen.getByLabelText("E-mail"), "ada@example.com");
    await userEvent.type(screen.getByLabelText("Password"), "analytical engine");
    await userEvent.click(screen.getByRole("button", { name: "Sign in" }));
  }

  test.each([
    ["/login?redirect=%2Faccount%3Fx%3D1", "/account?x=1"],
    ["/login?redirect=https%3A%2F%2Fevil.example", "/dashboard"],
    ["/login", "/dashboard"],
  ])("at %s leads to %s", async (address, target) => {
    const backend = startBackend({
      [SESSION]: NOBODY,
      "POST /auth/login": () => json({ ...PROFILE, expires_in: 900 }),
    });
    open(address, page);

    await signIn();

    await waitFor(() => expect(replace.mock.calls).toEqual([[target]]));
    expect(await backend.requests.at(-1)?.json()).toEqual({
      email: "ada@example.com",
      password: "analytical engine",
    });
  });

  test("stores the user but no access token", async () => {
    startBrowser("bearer");
    startBackend({ "POST /auth/login": () => json(tokens(1)) });
    open("/login", page);

    await signIn();

    await waitFor(() => expect(replace).toHaveBeenCalled());
    expect(JSON.parse(localStorage["auth-user"]).state).toEqual({ user: PROFILE });
    expect(JSON.stringify(localStorage)).not.toContain("access-1");
  });

  test("is skipped by who is signed in", async () => {
    startBackend({ [SESSION]: ADA });

    open("/login?redirect=%2Faccount", page);

    await waitFor(() => expect(replace).toHaveBeenCalledWith("/account"));
  });

  test("announces a refusal and moves the focus to it", async () => {
    startBackend({
      [SESSION]: NOBODY,
      "POST /auth/login": () => refused("invalid_credentials"),
    });
    open("/login", page);

    await signIn();

    const alert = await screen.findByRole("alert");
    expect(alert.textContent).toBe("invalid_credentials");
    expect(document.activeElement).toBe(alert);
    expect(replace).not.toHaveBeenCalled();
  });
});

test("a registration tells what is wrong with which field", async () => {
  const problem = { loc: ["body", "password"], msg: "Not accepted: too common", type: "weak" };
  startBackend({
    [SESSION]: NOBODY,
    "POST /auth/register": () => json({ detail: [problem] }, 422),
  });
  open("/register", <Register />);
  const password = screen.getByLabelText("Password");

  await userEvent.type(screen.getByLabelText("E-mail"), "ada@example.com");
  await userEvent.type(password, "password");
  await userEvent.click(screen.getByRole("button", { name: "Create account" }));

  await waitFor(() => expect(document.activeElement).toBe(password));
  const note = document.getElementById(password.getAttribute("aria-describedby") ?? "");
  expect(note?.textContent).toBe("Not accepted: too common");
});

describe("the timed refresh", () => {
  const look = (state: DocumentVisibilityState) => {
    vi.spyOn(document, "visibilityState", "get").mockReturnValue(state);
    document.dispatchEvent(new Event("visibilitychange"));
  };

  async function openPage() {
    vi.useFakeTimers({ shouldAdvanceTime: true });
    const backend = startBackend({ [SESSION]: ADA, [REFRESH]: () => json(tokens(2)) });
    open("/login", null);
    await waitFor(() => expect(useAuthStore.getState().isLoading).toBe(false));
    return backend;
  }

  test("comes before the end, on a page that is seen", async () => {
    const backend = await openPage();

    await vi.advanceTimersByTimeAsync(805_000);
    expect(count(backend, REFRESH)).toBe(0);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(count(backend, REFRESH)).toBe(1);
  });

  test("waits on a hidden page until it is looked at", async () => {
    const backend = await openPage();
    look("hidden");

    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(count(backend, REFRESH)).toBe(0);
    look("visible");
    await vi.advanceTimersByTimeAsync(10);
    expect(count(backend, REFRESH)).toBe(1);
  });

  test("leaves a server alone for half a minute after it failed", async () => {
    const backend = await openPage();
    backend.routes[REFRESH] = () => refused("store_unavailable", 503);

    await vi.advanceTimersByTimeAsync(835_000);

    expect(count(backend, REFRESH)).toBe(3);
  });
});
