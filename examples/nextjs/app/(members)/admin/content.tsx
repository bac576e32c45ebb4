"use client";

import { PageTitle } from "@/components/page-title";
import { Action } from "@/components/ui/action";
import { Alert } from "@/components/ui/alert";
import { Badge } from "@/components/ui/badge";
import { Card } from "@/components/ui/card";
import { Load } from "@/components/ui/load";
import { useAuth } from "@/hooks/useAuth";
import { type Account, get, patch, post } from "@/lib/api";

const loadAccounts = () => get("/api/admin/users");

export function Users() {
  const { user } = useAuth();
  return (
    <>
      <PageTitle title="Users" text="Who has an account, and what they may do." />
      {/* Only to be polite: the backend refuses everybody else. */}
      {user?.role !== "admin" && <Alert>This page is for administrators.</Alert>}
      {user?.role === "admin" && (
        <Load from={loadAccounts}>
          {(accounts) => (
            <Card title="Accounts">
              <ul className="divide-y">
                {accounts.map((account) => (
                  <li
                    key={account.user_id}
                    className="flex flex-wrap items-center gap-2 py-4 first:pt-0 last:pb-0"
                  >
                    <Person account={account} />
                    {account.user_id !== user.user_id && <Changes account={account} />}
                  </li>
                ))}
              </ul>
            </Card>
          )}
        </Load>
      )}
    </>
  );
}

function Person({ account }: { account: Account }) {
  return (
    <div className="wrap-anywhere min-w-48 grow">
      <p className="flex flex-wrap items-center gap-2 font-medium">
        {account.display_name}
        {account.role === "admin" && <Badge variant="primary">Administrator</Badge>}
        {!account.is_active && <Badge variant="destructive">Locked</Badge>}
      </p>
      <p className="text-muted-foreground text-sm">{account.email}</p>
    </div>
  );
}

function Changes({ account: { user_id, email, role, is_active } }: { account: Account }) {
  const options = { ids: { user_id } };
  const isAdmin = role === "admin";
  const newRole = isAdmin ? "user" : "admin";
  const access = is_active ? "disable" : "enable";
  return (
    <div className="-mx-3 flex flex-wrap sm:mx-0">
      <Action
        label={isAdmin ? "Make user" : "Make administrator"}
        subject={email}
        variant="ghost"
        action={() => patch("/api/admin/users/{user_id}", { role: newRole }, options)}
      />
      <Action
        label={is_active ? "Lock" : "Unlock"}
        subject={email}
        variant={is_active ? "destructive" : "ghost"}
        action={() => post(`/api/admin/users/{user_id}/${access}`, undefined, options)}
      />
    </div>
  );
}
