import type { Metadata, Viewport } from "next";
import { connection } from "next/server";
import type { ReactNode } from "react";
import { KeepSession } from "@/components/keep-session";
import "./globals.css";

export const metadata: Metadata = {
  title: { default: "Keyring", template: "%s · Keyring" },
  description: "The example of jwt-auth-kit: sign-in, projects, sessions, administration.",
};

export const viewport: Viewport = { colorScheme: "light dark" };

export default async function RootLayout({ children }: { children: ReactNode }) {
  // Each page is made when it is asked for: only so can it hold the nonce of its policy, and
  // AUTH_MODE be chosen when the server starts.
  await connection();
  return (
    <html lang="en" data-auth-mode={process.env.AUTH_MODE ?? "cookie"}>
      <body>
        <KeepSession />
        {children}
      </body>
    </html>
  );
}
