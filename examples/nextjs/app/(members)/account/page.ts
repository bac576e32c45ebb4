export { Account as default } from "./content";

export const metadata = { title: "Account" };
