import { cva, type VariantProps } from "class-variance-authority";
import type { ComponentProps } from "react";
import { cn } from "@/lib/cn";

const alert = cva("rounded-lg border px-4 py-3 text-sm", {
  variants: {
    variant: {
      error: "border-destructive/30 bg-destructive-soft text-destructive",
      success: "border-success/30 bg-success-soft text-success",
      note: "border-primary/20 bg-primary-soft",
    },
  },
  defaultVariants: { variant: "error" },
});

/** A message that screen readers say when it appears. */
export function Alert({
  variant,
  className,
  ...props
}: ComponentProps<"div"> & VariantProps<typeof alert>) {
  const role = variant === "success" || variant === "note" ? "status" : "alert";
  return <div role={role} className={cn(alert({ variant }), className)} {...props} />;
}
