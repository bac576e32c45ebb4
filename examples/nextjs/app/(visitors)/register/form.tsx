"use client";

import { SignInCard } from "@/components/sign-in-card";
import { Field } from "@/components/ui/field";
import { Form } from "@/components/ui/form";
import { useAuth } from "@/hooks/useAuth";

const LOGIN = { question: "Have an account?", link: "Sign in", page: "/login" };

export function RegisterForm() {
  const { register } = useAuth();
  return (
    <SignInCard title="Create an account" text="It takes a moment." other={LOGIN}>
      <Form
        submit="Create account"
        onSubmit={({ email = "", password = "", display_name }) =>
          register({ email, password, display_name: display_name || null })
        }
      >
        <Field name="display_name" label="Name (optional)" autoComplete="name" maxLength={100} />
        <Field name="email" label="E-mail" type="email" autoComplete="username" required />
        <Field
          name="password"
          label="Password"
          type="password"
          autoComplete="new-password"
          minLength={8}
          hint="At least 8 characters."
          required
        />
      </Form>
    </SignInCard>
  );
}
