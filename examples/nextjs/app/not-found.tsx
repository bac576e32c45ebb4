import Link from "next/link";
import { Button } from "@/components/ui/button";

export default function NotFound() {
  return (
    <main className="grid min-h-dvh place-content-center justify-items-center gap-4 p-6 text-center">
      <p className="font-semibold text-primary text-sm">404</p>
      <h1 className="font-semibold text-3xl tracking-tight">There is no such page</h1>
      <Button asChild variant="outline">
        <Link href="/dashboard">To the projects</Link>
      </Button>
    </main>
  );
}
