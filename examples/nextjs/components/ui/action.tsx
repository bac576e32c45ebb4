"use client";

import { type ComponentProps, useContext, useId, useRef, useState } from "react";
import { Alert } from "./alert";
import { Button } from "./button";
import { Reload } from "./load";

interface ActionProps extends Omit<ComponentProps<typeof Button>, "onClick" | "children"> {
  label: string;
  /** Whom or what it is done to, for those who do not see the row. */
  subject?: string;
  /** Asked before anything happens. */
  confirm?: { title: string; text: string };
  action: () => Promise<unknown>;
}

/** A button that does something at the server: asks first, is busy meanwhile, tells what failed. */
export function Action({ label, subject, confirm, action, ...props }: ActionProps) {
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const dialog = useRef<HTMLDialogElement>(null);
  const reload = useContext(Reload);
  const title = useId();
  const alert = error && <Alert>{error}</Alert>;

  async function run() {
    if (isBusy) return;
    setBusy(true);
    setError(null);
    try {
      await action();
      dialog.current?.close();
      await reload();
    } catch (reason) {
      setError((reason as Error).message);
    } finally {
      setBusy(false);
    }
  }

  return (
    <>
      <Button
        size={subject ? "small" : "default"}
        aria-label={subject && `${label}: ${subject}`}
        aria-busy={isBusy}
        onClick={confirm ? () => dialog.current?.showModal() : run}
        {...props}
      >
        {label}
      </Button>
      {!confirm && alert}
      {confirm && (
        <dialog
          ref={dialog}
          aria-labelledby={title}
          className="m-auto w-[min(26rem,calc(100vw-2rem))] space-y-4 rounded-2xl border bg-card p-6 text-foreground shadow-xl backdrop:bg-black/50 not-open:hidden"
        >
          <h2 id={title} className="font-semibold text-lg">
            {confirm.title}
          </h2>
          <p className="wrap-anywhere text-muted-foreground text-sm">{confirm.text}</p>
          {alert}
          <div className="flex justify-end gap-2">
            <Button variant="outline" onClick={() => dialog.current?.close()}>
              Cancel
            </Button>
            <Button variant="destructive" aria-busy={isBusy} onClick={run}>
              {label}
            </Button>
          </div>
        </dialog>
      )}
    </>
  );
}
