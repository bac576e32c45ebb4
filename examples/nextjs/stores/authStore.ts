/** Who is signed in, for every component. The tokens are not here: lib/auth.ts keeps them. */

import { create } from "zustand";
import { persist } from "zustand/middleware";
import type { User } from "@/lib/auth";

interface AuthState {
  user: User | null;
  /** Until the server has told, after a page opens, who is signed in. */
  isLoading: boolean;
  /** Why the server could not tell. */
  error: string | null;
  /** Whether the user chose to leave, so the next one is not led to their page. */
  hasLoggedOut: boolean;
}

export const useAuthStore = create<AuthState>()(
  persist<AuthState, [], [], Pick<AuthState, "user">>(
    () => ({ user: null, isLoading: true, error: null, hasLoggedOut: false }),
    {
      name: "auth-user",
      partialize: ({ user }) => ({ user }),
      skipHydration: true, // the server renders nobody; useSession reads it in the browser
    },
  ),
);
