export { Users as default } from "./content";

export const metadata = { title: "Users" };
