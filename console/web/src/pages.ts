// The pages: their paths, names and keys. pages.json is also what the server knows them by.
import paths from "./pages.json";

/** A page of the navigation. */
export interface Page {
  path: string;
  name: string;
  /** After "g". */
  key: string;
}

export const navigation: Page[] = [
  { path: "/", name: "Overview", key: "o" },
  { path: "/accounts", name: "Accounts", key: "a" },
  { path: "/breaks", name: "Breaks", key: "b" },
  { path: "/flows", name: "Flows", key: "f" },
  { path: "/proofs", name: "Proofs", key: "p" },
  { path: "/sandboxes", name: "Sandboxes", key: "s" },
];

/** Every first segment of a path that the server answers with the page. */
export const served: string[] = paths;
