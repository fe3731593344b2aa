// Pages of lists whose next page is named by a token of the one before.
import { useState } from "react";

/** Where a reader is: the tokens that led here; the first page has none. */
export interface Place<T> {
  page: number;
  token: T;
  next: (token: T) => void;
  back: () => void;
}

/** Starts at the first page, and again whenever the key changes. */
export function usePlace<T>(first: T, key: string): Place<T> {
  const [at, setAt] = useState<{ key: string; tokens: T[] }>({ key, tokens: [] });
  const tokens = at.key === key ? at.tokens : [];
  return {
    page: tokens.length,
    token: tokens.at(-1) ?? first,
    next: (token) => setAt({ key, tokens: [...tokens, token] }),
    back: () => setAt({ key, tokens: tokens.slice(0, -1) }),
  };
}
