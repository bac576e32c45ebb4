"use client";

import { createContext, type ReactNode, useCallback, useEffect, useState } from "react";
import { Alert } from "./alert";
import { Button } from "./button";

/** Loads what is shown around; forms and actions call it when they have changed something. */
export const Reload = createContext<() => Promise<void>>(async () => {});

interface LoadProps<T> {
  from: () => Promise<T>;
  children: (data: T) => ReactNode;
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
    <Reload value={reload}>
      {error && <LoadingFailed error={error} retry={reload} />}
      {data !== undefined && children(data)}
      {data === undefined && error === null && <Loading />}
    </Reload>
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
