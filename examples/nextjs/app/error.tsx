"use client";

import { LoadingFailed } from "@/components/ui/load";

export default function Failed({ reset }: { reset: () => void }) {
  return (
    <main className="mx-auto max-w-xl p-6 pt-24">
      <LoadingFailed error="Something went wrong on this page." retry={reset} />
    </main>
  );
}
