import type { ComponentProps } from "react";
import { cn } from "@/lib/cn";

const VARIANTS = {
  error: "border-destructive/30 bg-destructive-soft text-destructive",
  success: "border-success/30 bg-success-soft text-success",
};

type AlertProps = ComponentProps<"div"> & { variant?: keyof typeof VARIANTS };

/** A message that screen readers say when it appears. */
export function Alert({ variant = "error", className, ...props }: AlertProps) {
  const classes = cn("rounded-lg border px-4 py-3 text-sm", VARIANTS[variant], className);
  return <div role={variant === "error" ? "alert" : "status"} className={classes} {...props} />;
}
