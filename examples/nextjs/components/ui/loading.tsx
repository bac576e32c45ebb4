import { Alert } from "./alert";
import { Button } from "./button";

/** Grey bars where the content will be. */
export function Loading({ rows = 3 }: { rows?: number }) {
  return (
    <div role="status" className="animate-pulse space-y-3 motion-reduce:animate-none">
      <span className="sr-only">Loading…</span>
      {Array.from({ length: rows }, (_, row) => row).map((row) => (
        <div key={row} className="h-16 rounded-xl bg-muted" />
      ))}
    </div>
  );
}

/** What went wrong while loading, and another try. */
export function LoadingFailed({ error, retry }: { error: string; retry: () => void }) {
  return (
    <Alert className="flex flex-wrap items-center justify-between gap-3">
      {error}
      <Button variant="outline" size="small" className="text-foreground" onClick={retry}>
        Try again
      </Button>
    </Alert>
  );
}
