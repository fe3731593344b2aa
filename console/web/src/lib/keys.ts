// Keys: "g" and a letter to change pages, letters of a page's own, and j/k/Enter in lists.
import { useEffect, useRef, useState } from "react";

/** Whether typing belongs to a field, so that letters are no commands. */
export function inField(target: EventTarget | null): boolean {
  const e = target as HTMLElement | null;
  if (!e?.closest) return false;
  return e.isContentEditable || e.closest("input, textarea, select, [role=combobox], [role=dialog]") !== null;
}

/** What keys do: by name such as "j", "Enter", "?", or "g o" for one after the other. */
export type Bindings = Record<string, (event: KeyboardEvent) => void>;

/** How long the second key of a pair may take, in ms. */
const pairTime = 1200;

/** Listens to keys while mounted. */
export function useKeys(bindings: Bindings, enabled = true) {
  const current = useRef(bindings);
  current.current = bindings;
  const first = useRef({ key: "", at: 0 });
  useEffect(() => {
    if (!enabled) return;
    const onKey = (e: KeyboardEvent) => {
      if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey || inField(e.target)) return;
      const pair = e.timeStamp - first.current.at < pairTime ? `${first.current.key} ${e.key}` : "";
      const action = current.current[pair] ?? current.current[e.key];
      first.current = pair && current.current[pair] ? { key: "", at: 0 } : { key: e.key, at: e.timeStamp };
      if (!action) return;
      e.preventDefault();
      action(e);
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [enabled]);
}

/** A list that is walked with j and k and opened with Enter. Returns the marked row, -1 at first. */
export function useList(length: number, open: (index: number) => void, enabled = true): [number, (index: number) => void] {
  const [at, setAt] = useState(-1);
  const move = (by: number) => {
    const next = Math.max(0, Math.min(length - 1, at + by));
    if (length === 0) return;
    setAt(next);
    requestAnimationFrame(() => document.querySelector("[data-at=true]")?.scrollIntoView({ block: "nearest" }));
  };
  useKeys(
    {
      j: () => move(1),
      ArrowDown: () => move(1),
      k: () => move(-1),
      ArrowUp: () => move(-1),
      Enter: () => at >= 0 && at < length && open(at),
    },
    enabled,
  );
  return [Math.min(at, length - 1), setAt];
}
