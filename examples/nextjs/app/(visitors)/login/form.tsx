"use client";

import { SignInCard } from "@/components/sign-in-card";
import { Field } from "@/components/ui/field";
import { Form } from "@/components/ui/form";
import { useAuth } from "@/hooks/useAuth";

const REGISTER = { question: "No account yet?", link: "Create one", page: "/register" };

export function LoginForm() {
  const { login } = useAuth();
  return (
    <SignInCard title="Sign in" text="Welcome back." other={REGISTER}>
      <Form
        submit="Sign in"
        onSubmit={({ email = "", password = "" }) => login({ email, password })}
      >
        <Field name="email" label="E-mail" type="email" autoComplete="username" required />
        <Field
          name="password"
          label="Password"
          type="password"
          autoComplete="current-password"
          required
        />
      </Form>
    </SignInCard>
  );
}
