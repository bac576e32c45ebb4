import { cva, type VariantProps } from "class-variance-authority";
import type { ComponentProps } from "react";
import { cn } from "@/lib/cn";

const badge = cva("rounded-full px-2 py-0.5 font-medium text-xs", {
  variants: {
    variant: {
      neutral: "bg-muted text-muted-foreground",
      primary: "bg-primary-soft text-foreground",
      success: "bg-success-soft text-success",
      destructive: "bg-destructive-soft text-destructive",
    },
  },
  defaultVariants: { variant: "neutral" },
});

export function Badge({
  variant,
  className,
  ...props
}: ComponentProps<"span"> & VariantProps<typeof badge>) {
  return <span className={cn(badge({ variant }), className)} {...props} />;
}
