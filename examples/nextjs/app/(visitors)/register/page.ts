export { Register as default } from "./content";

export const metadata = { title: "Create an account" };
