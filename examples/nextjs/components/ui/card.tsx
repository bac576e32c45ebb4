import type { ComponentProps, ReactNode } from "react";
import { cn } from "@/lib/cn";

export function Card({ className, ...props }: ComponentProps<"section">) {
  return (
    <section
      className={cn("rounded-2xl border bg-card p-5 shadow-xs sm:p-6", className)}
      {...props}
    />
  );
}

export function CardHeader({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <header className="mb-5 space-y-1">
      <h2 className="font-semibold text-lg tracking-tight">{title}</h2>
      {children && <p className="text-muted-foreground text-sm">{children}</p>}
    </header>
  );
}
