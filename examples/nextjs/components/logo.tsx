/** The key of the icon and the name. */
export function Logo() {
  return (
    <span className="inline-flex items-center gap-2.5 font-semibold tracking-tight">
      <svg viewBox="0 0 32 32" className="size-8" aria-hidden="true">
        <rect width="32" height="32" rx="9" className="fill-primary" />
        <g className="fill-none stroke-3 stroke-primary-foreground" strokeLinecap="round">
          <circle cx="16" cy="12" r="4.5" />
          <path d="M16 16.5V26m0-3.5h4" />
        </g>
      </svg>
      Keyring
    </span>
  );
}
