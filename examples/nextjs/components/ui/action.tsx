"use client";

import { type ComponentProps, type ReactNode, useId, useRef, useState } from "react";
import { Alert } from "./alert";
import { Button } from "./button";

interface ActionProps extends Omit<ComponentProps<typeof Button>, "onClick"> {
  action: () => Promise<unknown>;
  /** Asked before anything happens. */
  confirm?: { title: string; text: ReactNode };
}

/** A button that does something at the server: asks first, is busy meanwhile, tells what failed. */
export function Action({ action, confirm, children, ...props }: ActionProps) {
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const dialog = useRef<HTMLDialogElement>(null);
  const title = useId();

  async function run() {
    if (isBusy) return;
    setBusy(true);
    setError(null);
    try {
      await action();
      dialog.current?.close();
    } catch (reason) {
      setError((reason as Error).message);
    } finally {
      setBusy(false);
    }
  }

  return (
    <>
      <Button
        {...props}
        aria-busy={isBusy}
        onClick={confirm ? () => dialog.current?.showModal() : run}
      >
        {children}
      </Button>
      {error && !confirm && <Alert>{error}</Alert>}
      {confirm && (
        <dialog
          ref={dialog}
          aria-labelledby={title}
          className="m-auto w-[min(26rem,calc(100vw-2rem))] space-y-4 rounded-2xl border bg-card p-6 text-foreground shadow-xl backdrop:bg-black/50 not-open:hidden"
        >
          <h2 id={title} className="font-semibold text-lg">
            {confirm.title}
          </h2>
          <p className="text-muted-foreground text-sm">{confirm.text}</p>
          {error && <Alert>{error}</Alert>}
          <div className="flex justify-end gap-2">
            <Button variant="outline" onClick={() => dialog.current?.close()}>
              Cancel
            </Button>
            <Button variant="destructive" aria-busy={isBusy} onClick={run}>
              {children}
            </Button>
          </div>
        </dialog>
      )}
    </>
  );
}
