"use client";

import { PageTitle } from "@/components/page-title";
import { Action } from "@/components/ui/action";
import { Badge } from "@/components/ui/badge";
import { Card, CardHeader } from "@/components/ui/card";
import { Field } from "@/components/ui/field";
import { Form } from "@/components/ui/form";
import { Loading, LoadingFailed } from "@/components/ui/loading";
import { useAuth } from "@/hooks/useAuth";
import { useLoad } from "@/hooks/useLoad";
import { type DeviceSession, get, remove } from "@/lib/api";
import { describeDevice, formatMoment } from "@/lib/device";

const loadSessions = () => get("/auth/sessions");

export function Account() {
  const { user } = useAuth();
  const { data: sessions, error, reload } = useLoad(loadSessions);

  async function endOthers() {
    await remove("/auth/sessions");
    await reload();
  }

  return (
    <>
      <PageTitle title="Account" text={user?.email ?? ""} />
      <div className="grid items-start gap-6 md:grid-cols-[1fr_19rem]">
        <Card>
          <CardHeader title="Devices">
            Where you are signed in. End what you do not recognise.
          </CardHeader>
          {error && <LoadingFailed error={error} retry={reload} />}
          {!sessions && !error && <Loading rows={2} />}
          <ul className="divide-y">
            {sessions?.map((session) => (
              <Device key={session.id} session={session} onEnd={reload} />
            ))}
          </ul>
          {sessions && sessions.length > 1 && (
            <Action
              variant="outline"
              className="mt-4 w-full"
              action={endOthers}
              confirm={{
                title: "Sign out elsewhere?",
                text: "All devices but this one have to sign in again.",
              }}
            >
              Sign out everywhere else
            </Action>
          )}
        </Card>
        <ChangePassword onChange={reload} />
      </div>
    </>
  );
}

function Device({ session, onEnd }: { session: DeviceSession; onEnd: () => Promise<void> }) {
  const device = describeDevice(session.user_agent);

  async function end() {
    await remove("/auth/sessions/{session_id}", { session_id: session.id });
    await onEnd();
  }

  return (
    <li className="flex flex-wrap items-center justify-between gap-x-4 gap-y-2 py-4 first:pt-0">
      <div className="min-w-0 space-y-0.5">
        <p className="flex flex-wrap items-center gap-2 font-medium">
          {device}
          {session.current && <Badge variant="success">This device</Badge>}
        </p>
        <p className="text-muted-foreground text-sm">
          {session.ip ?? "Unknown address"} · last seen {formatMoment(session.last_seen_at)}
        </p>
      </div>
      {!session.current && (
        <Action variant="destructive" size="small" aria-label={`End ${device}`} action={end}>
          End
        </Action>
      )}
    </li>
  );
}

function ChangePassword({ onChange }: { onChange: () => Promise<void> }) {
  const { user, changePassword } = useAuth();

  async function change({ current_password = "", new_password = "" }: Record<string, string>) {
    await changePassword({ current_password, new_password });
    await onChange();
  }

  return (
    <Card>
      <CardHeader title="Password">A new one signs out all other devices.</CardHeader>
      <Form submit="Change password" success="Your password is changed." onSubmit={change}>
        <input type="hidden" name="username" autoComplete="username" defaultValue={user?.email} />
        <Field
          name="current_password"
          label="Current password"
          type="password"
          autoComplete="current-password"
          required
        />
        <Field
          name="new_password"
          label="New password"
          type="password"
          autoComplete="new-password"
          minLength={8}
          hint="At least 8 characters."
          required
        />
      </Form>
    </Card>
  );
}
