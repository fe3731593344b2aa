// What the records of sandboxes say, in a person's words.
import type { SandboxProcess } from "../gen/sterling/ledger/v1/sandbox_pb";

/** A process at its place in the tree. */
export interface Placed {
  p: SandboxProcess;
  depth: number;
}

/** The processes, each below the one that began it and was there at the time; in the order of their beginnings. */
export function forest(list: SandboxProcess[]): Placed[] {
  const children = new Map<SandboxProcess | null, SandboxProcess[]>();
  for (const p of list) {
    // Ids are given again: the parent is the last one with the id that began before.
    let parent: SandboxProcess | null = null;
    for (const q of list) if (q !== p && q.id === p.parent && q.began <= p.began && (parent === null || q.began >= parent.began)) parent = q;
    children.set(parent, [...(children.get(parent) ?? []), p]);
  }
  const rows: Placed[] = [];
  const seen = new Set<SandboxProcess>();
  const walk = (at: SandboxProcess | null, depth: number) => {
    for (const p of children.get(at) ?? []) {
      if (seen.has(p)) continue;
      seen.add(p);
      rows.push({ p, depth });
      walk(p, depth + 1);
    }
  };
  walk(null, 0);
  for (const p of list) if (!seen.has(p)) rows.push({ p, depth: 0 }); // of a record that claims a circle
  return rows;
}

/** How a process ended, by its status as wait(2) gives it. */
export function statusText(status: number): string {
  const signal = status & 0x7f;
  if (signal !== 0) return `signal ${signal}`;
  return `exit ${(status >> 8) & 0xff}`;
}

/** What a level of isolation means, beyond its name. */
export function isolationNote(level: string): string {
  if (level.startsWith("gvisor")) return ": a kernel of its own in user space";
  if (level.startsWith("own-kernel")) return ": a machine of its own";
  return "";
}

/** The point of an event, and the rest of a line as short text. */
export function eventText(kind: string, body: string): { point: string; text: string } {
  let b: Record<string, unknown>;
  try {
    b = JSON.parse(body) as Record<string, unknown>;
  } catch {
    return { point: "", text: body };
  }
  const point = typeof b["point"] === "string" ? b["point"] : "";
  if (kind !== "event") return { point, text: pairs(b) };
  const context = (b["context"] ?? {}) as Record<string, unknown>;
  const process = typeof context["process"] === "number" ? `[${context["process"]}] ` : "";
  if (Array.isArray(b["argv"])) return { point, text: `${process}${b["argv"].join(" ")}` };
  const { point: _p, context: _c, ...rest } = b;
  return { point, text: process + pairs(rest) };
}

function pairs(b: Record<string, unknown>): string {
  return Object.entries(b)
    .map(([k, v]) => `${k}=${typeof v === "object" ? JSON.stringify(v) : String(v)}`)
    .join(" ");
}
