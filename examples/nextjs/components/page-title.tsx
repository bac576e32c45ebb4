export function PageTitle({ title, text }: { title: string; text: string }) {
  return (
    <header className="mb-6 space-y-1">
      <h1 className="font-semibold text-2xl tracking-tight">{title}</h1>
      <p className="text-muted-foreground">{text}</p>
    </header>
  );
}
