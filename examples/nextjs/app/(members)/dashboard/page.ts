export { Projects as default } from "./content";

export const metadata = { title: "Projects" };
