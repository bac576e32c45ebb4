"use client";

import { PageTitle } from "@/components/page-title";
import { Action } from "@/components/ui/action";
import { Alert } from "@/components/ui/alert";
import { Badge } from "@/components/ui/badge";
import { Card } from "@/components/ui/card";
import { Loading, LoadingFailed } from "@/components/ui/loading";
import { useAuth } from "@/hooks/useAuth";
import { useLoad } from "@/hooks/useLoad";
import { type Account, get, patch, post } from "@/lib/api";

const loadUsers = () => get("/api/admin/users");

/** For administrators; the backend would refuse the others as well. */
export function Users() {
  const { user } = useAuth();
  return (
    <>
      <PageTitle title="Users" text="Who has an account, and what they may do." />
      {user?.role === "admin" ? <UserList /> : <Alert>This page is for administrators.</Alert>}
    </>
  );
}

function UserList() {
  const { data: users, error, reload } = useLoad(loadUsers);
  return (
    <>
      {error && <LoadingFailed error={error} retry={reload} />}
      {!users && !error && <Loading />}
      {users && (
        <Card className="py-1 sm:py-2">
          <ul className="divide-y">
            {users.map((account) => (
              <UserItem key={account.user_id} account={account} onChange={reload} />
            ))}
          </ul>
        </Card>
      )}
    </>
  );
}

function UserItem({ account, onChange }: { account: Account; onChange: () => Promise<void> }) {
  const { user } = useAuth();
  const { user_id, email, display_name, role, is_active } = account;
  const isAdmin = role === "admin";

  async function changeRole() {
    await patch("/api/admin/users/{user_id}", { role: isAdmin ? "user" : "admin" }, { user_id });
    await onChange();
  }

  async function changeAccess() {
    const change = is_active ? "disable" : "enable";
    await post(`/api/admin/users/{user_id}/${change}`, undefined, { user_id });
    await onChange();
  }

  return (
    <li className="flex flex-wrap items-center justify-between gap-x-4 gap-y-2 py-4">
      <div className="min-w-0">
        <p className="flex flex-wrap items-center gap-2 font-medium">
          <span className="wrap-anywhere">{display_name}</span>
          {isAdmin && <Badge variant="primary">Administrator</Badge>}
          {!is_active && <Badge variant="destructive">Locked</Badge>}
        </p>
        <p className="wrap-anywhere text-muted-foreground text-sm">{email}</p>
      </div>
      {user_id !== user?.user_id && (
        <div className="-mx-3 flex flex-wrap">
          <Action
            variant="ghost"
            size="small"
            action={changeRole}
            aria-label={`${isAdmin ? "Make user" : "Make administrator"}: ${email}`}
          >
            {isAdmin ? "Make user" : "Make administrator"}
          </Action>
          <Action
            variant={is_active ? "destructive" : "ghost"}
            size="small"
            action={changeAccess}
            aria-label={`${is_active ? "Lock" : "Unlock"}: ${email}`}
          >
            {is_active ? "Lock" : "Unlock"}
          </Action>
        </div>
      )}
    </li>
  );
}
