// The token of the person at the screen. It lives in sessionStorage: it ends with the tab, and is in no address, no
// cookie and no log.

const place = "sterling.token";

type Listener = () => void;
const listeners = new Set<Listener>();
let notice = "";

/** The token, or null when nobody is signed in. */
export function token(): string | null {
  return sessionStorage.getItem(place);
}

/** Keeps a token that the server has accepted. */
export function signIn(text: string) {
  sessionStorage.setItem(place, text);
  notice = "";
  for (const l of listeners) l();
}

/** Forgets the token. Why is shown on the sign-in page. */
export function signOut(why = "") {
  if (token() === null) return;
  sessionStorage.removeItem(place);
  notice = why;
  for (const l of listeners) l();
}

/** Why the last session ended; empty where the person ended it. */
export function signOutNotice(): string {
  return notice;
}

/** Calls back when somebody signs in or out; for useSyncExternalStore. */
export function onSession(l: Listener): () => void {
  listeners.add(l);
  return () => listeners.delete(l);
}

/** The public part of a token of the ledger's own, by which journals name who did something; null of other tokens. */
export function tokenId(text: string | null): string | null {
  return /^sterling_([0-9a-f]{32})_[0-9a-f]{64}$/.exec(text ?? "")?.[1] ?? null;
}
