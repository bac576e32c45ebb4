"use client";

import { type ReactNode, useCallback, useEffect, useState } from "react";
import { Alert } from "./alert";
import { Button } from "./button";

interface LoadProps<T> {
  from: () => Promise<T>;
  /** Shows what was loaded; call *reload* after a change. */
  children: (data: T, reload: () => Promise<void>) => ReactNode;
}

/** Loads what a page shows: grey bars until it is there, another try if it failed. */
export function Load<T>({ from, children }: LoadProps<T>) {
  const [data, setData] = useState<T>();
  const [error, setError] = useState<string | null>(null);

  const reload = useCallback(async () => {
    try {
      setData(await from());
      setError(null);
    } catch (reason) {
      setError((reason as Error).message);
    }
  }, [from]);

  useEffect(() => void reload(), [reload]);

  return (
    <>
      {error && <LoadingFailed error={error} retry={reload} />}
      {data !== undefined && children(data, reload)}
      {data === undefined && error === null && <Loading />}
    </>
  );
}

export function Loading() {
  return (
    <div role="status" className="animate-pulse space-y-3 motion-reduce:animate-none">
      <span className="sr-only">Loading…</span>
      <div className="h-20 rounded-2xl bg-muted" />
      <div className="h-20 rounded-2xl bg-muted" />
    </div>
  );
}

export function LoadingFailed({ error, retry }: { error: string; retry: () => void }) {
  return (
    <Alert className="mb-4 flex flex-wrap items-center justify-between gap-3">
      {error}
      <Button variant="outline" size="small" className="text-foreground" onClick={retry}>
        Try again
      </Button>
    </Alert>
  );
}
