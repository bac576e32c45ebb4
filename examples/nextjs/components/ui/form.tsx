"use client";

import { type FormEvent, type ReactNode, useEffect, useRef, useState } from "react";
import { ApiError } from "@/lib/http";
import { Alert } from "./alert";
import { Button } from "./button";
import { FieldErrors } from "./field";

interface FormProps {
  /** What to do with the fields' values; what it throws is shown. */
  onSubmit: (values: Record<string, string>) => Promise<void>;
  submit: string;
  success?: string;
  children: ReactNode;
  className?: string;
}

export function Form({ onSubmit, submit, success, children, className = "space-y-5" }: FormProps) {
  const [state, setState] = useState<"idle" | "busy" | "done" | Error>("idle");
  const form = useRef<HTMLFormElement>(null);
  const error = state instanceof Error ? state : null;
  const fields = error instanceof ApiError ? error.fields : {};

  // The keyboard goes where the trouble is: to the first wrong field, or to the message.
  useEffect(() => {
    if (error === null) return;
    const find = (selector: string) => form.current?.querySelector<HTMLElement>(selector);
    (find('[aria-invalid="true"]') ?? find('[role="alert"]'))?.focus();
  }, [error]);

  async function handle(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    if (state === "busy" || form.current === null) return;
    setState("busy");
    try {
      await onSubmit(Object.fromEntries(new FormData(form.current)) as Record<string, string>);
      form.current?.reset();
      setState("done");
    } catch (reason) {
      setState(reason as Error);
    }
  }

  // method="post": a form that is sent before its script runs must not put a password into the URL.
  return (
    <form ref={form} method="post" onSubmit={handle} className={className}>
      {error && (
        <Alert tabIndex={-1} className="col-span-full">
          {error.message}
        </Alert>
      )}
      {state === "done" && success && (
        <Alert variant="success" className="col-span-full">
          {success}
        </Alert>
      )}
      <FieldErrors value={fields}>{children}</FieldErrors>
      <Button type="submit" aria-busy={state === "busy"} className="w-full">
        {submit}
      </Button>
    </form>
  );
}
