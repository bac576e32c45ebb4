import type { ReactNode } from "react";
import { cn } from "@/lib/cn";

const VARIANTS = {
  primary: "bg-primary-soft text-foreground",
  success: "bg-success-soft text-success",
  destructive: "bg-destructive-soft text-destructive",
};

type BadgeProps = { variant: keyof typeof VARIANTS; children: ReactNode };

export function Badge({ variant, children }: BadgeProps) {
  const classes = cn("rounded-full px-2 py-0.5 font-medium text-xs", VARIANTS[variant]);
  return <span className={classes}>{children}</span>;
}
