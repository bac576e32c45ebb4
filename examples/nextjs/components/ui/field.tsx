import { Label } from "radix-ui";
import { type ComponentProps, createContext, useContext, useId } from "react";
import { cn } from "@/lib/cn";

/** What is wrong with which field of the form around. */
export const FieldErrors = createContext<Record<string, string>>({});

type FieldProps = ComponentProps<"input"> & { name: string; label: string; hint?: string };

/** A labelled input. What is wrong with it is part of its description. */
export function Field({ name, label, hint, className, ...props }: FieldProps) {
  const id = useId();
  const error = useContext(FieldErrors)[name];
  const note = error ?? hint;
  return (
    <div className="space-y-1.5">
      <Label.Root htmlFor={id} className="block font-medium text-sm">
        {label}
      </Label.Root>
      <input
        id={id}
        name={name}
        aria-invalid={error !== undefined}
        aria-describedby={note && `${id}-note`}
        className={cn(
          "h-11 w-full rounded-lg border border-input bg-card px-3 shadow-xs transition-colors placeholder:text-muted-foreground aria-invalid:border-destructive",
          className,
        )}
        {...props}
      />
      {note && (
        <p
          id={`${id}-note`}
          className={cn("text-sm", error ? "text-destructive" : "text-muted-foreground")}
        >
          {note}
        </p>
      )}
    </div>
  );
}

export function EmailField() {
  return <Field name="email" label="E-mail" type="email" autoComplete="username" required />;
}

export function PasswordField(props: Pick<FieldProps, "name" | "label">) {
  return <Field type="password" autoComplete="current-password" required {...props} />;
}

export function NewPasswordField(props: Pick<FieldProps, "name" | "label">) {
  const hint = "At least 8 characters.";
  return (
    <Field
      type="password"
      autoComplete="new-password"
      minLength={8}
      hint={hint}
      required
      {...props}
    />
  );
}
