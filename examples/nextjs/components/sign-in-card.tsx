"use client";

import Link from "next/link";
import { useSearchParams } from "next/navigation";
import type { ReactNode } from "react";
import { Card } from "@/components/ui/card";

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
    <Card className="shadow-lg shadow-primary/5 sm:p-8">
      <header className="mb-6 space-y-1">
        <h1 className="font-semibold text-2xl tracking-tight">{title}</h1>
        <p className="text-muted-foreground text-sm">{text}</p>
      </header>
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
    </Card>
  );
}
