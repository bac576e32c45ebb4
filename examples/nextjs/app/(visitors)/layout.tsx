"use client";

import { useRouter } from "next/navigation";
import { type ReactNode, useEffect } from "react";
import { Logo } from "@/components/logo";
import { useAuth } from "@/hooks/useAuth";
import { safePath } from "@/lib/redirect";

/** Pages for signing in. Who is signed in, by now or in another tab, goes where they wanted to. */
export default function VisitorsLayout({ children }: { children: ReactNode }) {
  const { isAuthenticated, isLoading } = useAuth();
  const router = useRouter();

  useEffect(() => {
    if (isLoading || !isAuthenticated) return;
    router.replace(safePath(new URLSearchParams(window.location.search).get("redirect")));
  }, [isLoading, isAuthenticated, router]);

  return (
    <main className="grid min-h-dvh place-items-center bg-radial-[50rem_30rem_at_50%_0%] from-primary-soft to-background px-4 py-10">
      <div className="w-full max-w-sm">
        <div className="mb-8 text-center text-lg">
          <Logo />
        </div>
        {children}
      </div>
    </main>
  );
}
