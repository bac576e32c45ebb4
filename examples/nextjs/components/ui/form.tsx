"use client";

import { type FormEvent, type ReactNode, useContext, useEffect, useRef, useState } from "react";
import { ApiError } from "@/lib/http";
import { Alert } from "./alert";
import { Button } from "./button";
import { FieldErrors } from "./field";
import { Reload } from "./load";

interface FormProps<Values> {
  /** Gets the fields' values by their names; what it throws is shown. */
  onSubmit: (values: Values) => Promise<unknown>;
  submit: string;
  success?: string;
  children: ReactNode;
}

export function Form<Values>({ onSubmit, submit, success, children }: FormProps<Values>) {
  const [state, setState] = useState<"idle" | "busy" | "done" | Error>("idle");
  const reload = useContext(Reload);
  const form = useRef<HTMLFormElement>(null);
  const error = state instanceof Error ? state : null;

  // The keyboard goes where the trouble is: to the first wrong field, or to the message.
  useEffect(() => {
    if (error === null) return;
    const find = (selector: string) => form.current?.querySelector<HTMLElement>(selector);
    (find('[aria-invalid="true"]') ?? find('[role="alert"]'))?.focus();
  }, [error]);

  async function handle(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    if (state === "busy") return;
    const { currentTarget } = event;
    setState("busy");
    try {
      await onSubmit(Object.fromEntries(new FormData(currentTarget)) as Values);
      currentTarget.reset();
      setState("done");
      await reload();
    } catch (reason) {
      setState(reason as Error);
    }
  }

  // method="post": a form that is sent before its script runs must not put a password into the URL.
  return (
    <form ref={form} method="post" onSubmit={handle} className="space-y-5">
      {error && <Alert tabIndex={-1}>{error.message}</Alert>}
      {state === "done" && success && <Alert variant="success">{success}</Alert>}
      <FieldErrors value={error instanceof ApiError ? error.fields : {}}>{children}</FieldErrors>
      <Button type="submit" aria-busy={state === "busy"} className="w-full">
        {submit}
      </Button>
    </form>
  );
}
