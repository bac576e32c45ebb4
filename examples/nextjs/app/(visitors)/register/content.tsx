"use client";

import { SignInCard } from "@/components/sign-in-card";
import { EmailField, Field, NewPasswordField } from "@/components/ui/field";
import { Form } from "@/components/ui/form";
import { useAuth } from "@/hooks/useAuth";

const LOGIN = { question: "Have an account?", link: "Sign in", page: "/login" };

export function Register() {
  const { register } = useAuth();
  return (
    <SignInCard title="Create an account" text="It takes a moment." other={LOGIN}>
      <Form submit="Create account" onSubmit={register}>
        <Field name="display_name" label="Name (optional)" autoComplete="name" maxLength={100} />
        <EmailField />
        <NewPasswordField name="password" label="Password" />
      </Form>
    </SignInCard>
  );
}
