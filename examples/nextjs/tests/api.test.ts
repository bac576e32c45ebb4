import { afterEach, expect, test, vi } from "vitest";
import { get, patch, post, remove } from "@/lib/api";
import { json, startBackend, startBrowser } from "./backend";

afterEach(() => {
  vi.unstubAllGlobals();
});

test("ids are put into the path, and cannot leave their place in it", async () => {
  startBrowser("cookie");
  const backend = startBackend({
    "DELETE /auth/sessions/..%2Fme%3F": () => new Response(null, { status: 204 }),
  });

  await remove("/auth/sessions/{session_id}", { ids: { session_id: "../me?" } });

  expect(backend.calls).toEqual(["DELETE /auth/sessions/..%2Fme%3F"]);
});

test("answers have the types of the backend", async () => {
  startBrowser("cookie");
  const project = { id: 1, name: "Engine", description: "" };
  startBackend({ "GET /api/projects": () => json([project]) });

  const [first] = await get("/api/projects");

  expect(first?.name satisfies string | undefined).toBe("Engine");
});

/** Never called: `npm run typecheck` fails if one of these begins to compile. */
function mistakes() {
  // @ts-expect-error there is no such path
  void get("/api/nothing");
  // @ts-expect-error this path has no DELETE
  void remove("/auth/me");
  // @ts-expect-error the password is missing
  void post("/auth/login", { email: "ada@example.com" });
  // @ts-expect-error there is no such role
  void patch("/api/admin/users/{user_id}", { role: "root" }, { ids: { user_id: "1" } });
  // @ts-expect-error a project has no owner
  void get("/api/projects").then(([project]) => project?.owner);
}

void mistakes;
