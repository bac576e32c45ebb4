"use client";

import Link from "next/link";
import { usePathname } from "next/navigation";
import { Action } from "@/components/ui/action";
import { useAuth } from "@/hooks/useAuth";
import { Logo } from "./logo";

const PAGES = { "/dashboard": "Projects", "/account": "Account", "/admin": "Users" };

export function SiteHeader() {
  const { user, logout } = useAuth();
  const pathname = usePathname();
  const pages = Object.entries(PAGES).filter(
    ([path]) => path !== "/admin" || user?.role === "admin",
  );
  return (
    <header className="border-b bg-card">
      <div className="mx-auto flex max-w-4xl flex-wrap items-center gap-x-6 gap-y-2 px-4 pt-3 sm:pb-3">
        <Logo />
        <nav
          aria-label="Pages"
          className="order-last -mx-3 flex w-full gap-1 pb-2 sm:order-none sm:mx-0 sm:w-auto sm:pb-0"
        >
          {pages.map(([path, name]) => (
            <Link
              key={path}
              href={path}
              aria-current={pathname === path ? "page" : undefined}
              className="rounded-lg px-3 py-2 font-medium text-muted-foreground text-sm hover:bg-muted hover:text-foreground aria-[current]:bg-primary-soft aria-[current]:text-foreground"
            >
              {name}
            </Link>
          ))}
        </nav>
        <div className="ml-auto flex min-w-0 items-center gap-4">
          <span className="hidden max-w-48 truncate text-muted-foreground text-sm sm:block">
            {user?.display_name ?? user?.email}
          </span>
          <Action label="Sign out" variant="outline" size="small" action={logout} />
        </div>
      </div>
    </header>
  );
}
