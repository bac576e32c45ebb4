export { Login as default } from "./content";

export const metadata = { title: "Sign in" };
