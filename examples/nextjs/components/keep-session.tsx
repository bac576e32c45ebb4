"use client";

import { useSession } from "@/hooks/useAuth";

/** Shows nothing; follows the session in the one place that is on every page. */
export function KeepSession() {
  useSession();
  return null;
}
