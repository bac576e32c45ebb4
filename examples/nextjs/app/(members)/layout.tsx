"use client";

import { useRouter } from "next/navigation";
import { type ReactNode, useEffect } from "react";
import { SiteHeader } from "@/components/site-header";
import { Loading, LoadingFailed } from "@/components/ui/load";
import { useAuth } from "@/hooks/useAuth";
import { loginPath } from "@/lib/redirect";

/** Pages for users. Whose session ends, here or in another tab, signs in and comes back. */
export default function MembersLayout({ children }: { children: ReactNode }) {
  const { isAuthenticated, isLoading, error, hasLoggedOut, restore } = useAuth();
  const router = useRouter();
  const isVisitor = !isLoading && error === null && !isAuthenticated;

  useEffect(() => {
    if (!isVisitor) return;
    const { pathname, search } = window.location;
    router.replace(hasLoggedOut ? "/login" : loginPath(pathname + search));
  }, [isVisitor, hasLoggedOut, router]);

  return (
    <>
      <SiteHeader />
      <main className="mx-auto max-w-4xl px-4 py-8 sm:py-10">
        {error !== null && <LoadingFailed error={error} retry={restore} />}
        {error === null && (isLoading || isVisitor ? <Loading /> : children)}
      </main>
    </>
  );
}
