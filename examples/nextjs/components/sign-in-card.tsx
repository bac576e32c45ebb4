"use client";

import Link from "next/link";
import { useSearchParams } from "next/navigation";
import type { ReactNode } from "react";

interface SignInCardProps {
  title: string;
  text: string;
  other: { question: string; link: string; page: string };
  children: ReactNode;
}

/** The frame of the login and the registration; each leads to the other, and on to the same page. */
export function SignInCard({ title, text, other, children }: SignInCardProps) {
  const query = useSearchParams().toString();
  return (
    <section className="rounded-2xl border bg-card p-6 shadow-lg shadow-primary/5 sm:p-8">
      <h1 className="font-semibold text-2xl tracking-tight">{title}</h1>
      <p className="mt-1 mb-6 text-muted-foreground text-sm">{text}</p>
      {children}
      <p className="mt-6 text-center text-muted-foreground text-sm">
        {other.question}{" "}
        <Link
          href={query ? `${other.page}?${query}` : other.page}
          className="font-medium text-primary underline underline-offset-4"
        >
          {other.link}
        </Link>
      </p>
    </section>
  );
}
