"use client";

import { PageTitle } from "@/components/page-title";
import { Action } from "@/components/ui/action";
import { Badge } from "@/components/ui/badge";
import { Card } from "@/components/ui/card";
import { NewPasswordField, PasswordField } from "@/components/ui/field";
import { Form } from "@/components/ui/form";
import { Load } from "@/components/ui/load";
import { useAuth } from "@/hooks/useAuth";
import { type DeviceSession, get, type PasswordBody, remove } from "@/lib/api";
import { describeDevice, formatMoment } from "@/lib/device";

const loadSessions = () => get("/auth/sessions");

export function Account() {
  const { user, changePassword } = useAuth();
  return (
    <>
      <PageTitle title="Account" text={user?.email ?? ""} />
      <Load from={loadSessions}>
        {(sessions, reload) => (
          <div className="grid items-start gap-6 md:grid-cols-[1fr_19rem]">
            <Card title="Devices" text="Where you are signed in. End what you do not recognise.">
              <DeviceList sessions={sessions} onChange={reload} />
            </Card>
            <Card title="Password" text="A new one signs out all other devices.">
              <Form
                submit="Change password"
                success="Your password is changed."
                onSubmit={(body: PasswordBody) => changePassword(body).then(reload)}
              >
                <input type="hidden" autoComplete="username" defaultValue={user?.email} />
                <PasswordField name="current_password" label="Current password" />
                <NewPasswordField name="new_password" label="New password" />
              </Form>
            </Card>
          </div>
        )}
      </Load>
    </>
  );
}

interface DeviceListProps {
  sessions: DeviceSession[];
  onChange: () => Promise<void>;
}

function DeviceList({ sessions, onChange }: DeviceListProps) {
  return (
    <>
      <ul className="divide-y">
        {sessions.map((session) => (
          <li key={session.id} className="flex items-center gap-4 py-4 first:pt-0">
            <Device session={session} />
            {!session.current && (
              <Action
                variant="destructive"
                size="small"
                className="-mr-3"
                aria-label={`End ${describeDevice(session.user_agent)}`}
                action={() =>
                  remove("/auth/sessions/{session_id}", { ids: { session_id: session.id } }).then(
                    onChange,
                  )
                }
              >
                End
              </Action>
            )}
          </li>
        ))}
      </ul>
      {sessions.length > 1 && (
        <Action
          variant="outline"
          className="mt-2 w-full"
          confirm={{ title: "Sign out elsewhere?", text: "Other devices have to sign in again." }}
          action={() => remove("/auth/sessions").then(onChange)}
        >
          Sign out everywhere else
        </Action>
      )}
    </>
  );
}

function Device({ session }: { session: DeviceSession }) {
  return (
    <div className="min-w-0 grow space-y-0.5">
      <p className="flex flex-wrap items-center gap-2 font-medium">
        {describeDevice(session.user_agent)}
        {session.current && <Badge variant="success">This device</Badge>}
      </p>
      <p className="text-muted-foreground text-sm">
        {session.ip ?? "Unknown address"} · last seen {formatMoment(session.last_seen_at)}
      </p>
    </div>
  );
}
