/** Where a sign-in leads to, so that nobody is sent to another site. */

const HOME = "/dashboard";
const SIGN_IN = "/login";

/** The address of the sign-in page that leads back to *path*. */
export function loginPath(path: string): string {
  return `${SIGN_IN}?redirect=${encodeURIComponent(path)}`;
}

/** *path* if it is a page of this site, else the home page. */
export function safePath(path: string | null): string {
  // Browsers read "/\evil.example" and "/<tab>/evil.example" like "//evil.example": another site.
  // So nothing but printable ASCII passes, which is all that a path of ours can hold.
  if (path === null || !/^\/(?![/\\])[!-[\]-~]*$/.test(path)) return HOME;
  const url = new URL(path, "http://self.invalid");
  if (url.origin !== "http://self.invalid" || url.pathname.startsWith("//")) return HOME;
  return url.pathname === SIGN_IN || url.pathname === "/register"
    ? HOME
    : url.pathname + url.search + url.hash;
}
