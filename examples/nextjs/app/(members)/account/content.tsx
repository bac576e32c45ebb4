"use client";

import { PageTitle } from "@/components/page-title";
import { Action } from "@/components/ui/action";
import { Badge } from "@/components/ui/badge";
import { Card } from "@/components/ui/card";
import { NewPasswordField, PasswordField } from "@/components/ui/field";
import { Form } from "@/components/ui/form";
import { Load } from "@/components/ui/load";
import { useAuth } from "@/hooks/useAuth";
import { type DeviceSession, get, remove } from "@/lib/api";
import { describeDevice, formatMoment } from "@/lib/device";

const loadSessions = () => get("/auth/sessions");

export function Account() {
  const { user, changePassword } = useAuth();
  return (
    <>
      <PageTitle title="Account" text={user?.email ?? ""} />
      <Load from={loadSessions}>
        {(sessions) => (
          <div className="grid items-start gap-6 md:grid-cols-[1fr_19rem]">
            <Card title="Devices" text="Where you are signed in. End what you do not recognise.">
              <ul className="divide-y">
                {sessions.map((session) => (
                  <Device key={session.id} session={session} />
                ))}
              </ul>
              {sessions.length > 1 && (
                <Action
                  label="Sign out everywhere else"
                  variant="outline"
                  className="mt-2 w-full"
                  confirm={{ title: "Sign out?", text: "Other devices have to sign in again." }}
                  action={() => remove("/auth/sessions")}
                />
              )}
            </Card>
            <Card title="Password" text="A new one signs out all other devices.">
              <Form
                submit="Change password"
                success="Your password is changed."
                onSubmit={changePassword}
              >
                <input hidden readOnly autoComplete="username" value={user?.email ?? ""} />
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

function Device({ session }: { session: DeviceSession }) {
  const name = describeDevice(session.user_agent);
  return (
    <li className="flex items-center gap-4 py-4 first:pt-0">
      <div className="min-w-0 grow space-y-0.5">
        <p className="flex flex-wrap items-center gap-2 font-medium">
          {name} {session.current && <Badge variant="success">This device</Badge>}
        </p>
        <p className="text-muted-foreground text-sm">
          {session.ip ?? "Unknown address"} · last seen {formatMoment(session.last_seen_at)}
        </p>
      </div>
      {!session.current && (
        <Action
          label="End"
          subject={name}
          variant="destructive"
          className="-mr-3"
          action={() => remove("/auth/sessions/{session_id}", { ids: { session_id: session.id } })}
        />
      )}
    </li>
  );
}
