"use client";

import { SignInCard } from "@/components/sign-in-card";
import { EmailField, PasswordField } from "@/components/ui/field";
import { Form } from "@/components/ui/form";
import { useAuth } from "@/hooks/useAuth";

const REGISTER = { question: "No account yet?", link: "Create one", page: "/register" };

export function Login() {
  const { login } = useAuth();
  return (
    <SignInCard title="Sign in" text="Welcome back." other={REGISTER}>
      <Form submit="Sign in" onSubmit={login}>
        <EmailField />
        <PasswordField name="password" label="Password" />
      </Form>
    </SignInCard>
  );
}
