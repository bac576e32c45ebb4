import type { ReactNode } from "react";
import { cn } from "@/lib/cn";

interface CardProps {
  title: string;
  text?: string;
  className?: string;
  children: ReactNode;
}

export function Card({ title, text, className, children }: CardProps) {
  return (
    <section className={cn("rounded-2xl border bg-card p-5 shadow-xs sm:p-6", className)}>
      <h2 className="font-semibold text-lg tracking-tight">{title}</h2>
      {text && <p className="mt-1 text-muted-foreground text-sm">{text}</p>}
      <div className="mt-5">{children}</div>
    </section>
  );
}
