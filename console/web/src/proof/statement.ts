// An entry of the log: what the ledger stated about itself, and a line with its signature (docs/formats.md).
import type { SignedCheckpoint } from "../gen/sterling/watch/v1/audit_pb";
import { hex } from "../lib/format";
import { toBase64 } from "./bytes";

/** What all accounts of an asset add up to, minor units. */
export interface Total {
  asset: string;
  debitsPosted: bigint;
  creditsPosted: bigint;
  debitsPending: bigint;
  creditsPending: bigint;
  transfers: bigint;
}

/** A statement, read. */
export interface Statement {
  cell: bigint;
  seq: bigint;
  hash: string;
  time: bigint;
  safeThrough: bigint;
  made: bigint;
  events: bigint;
  totals: Total[];
  sources: { name: string; throughSeq: bigint; digest: string }[];
}

const head = "sterling checkpoint v1";

/** The entry as it stands in the log: the statement, then its signature. */
export function sealed(c: SignedCheckpoint): Uint8Array {
  const line = new TextEncoder().encode(`ed25519 ${toBase64(c.signature)}\n`);
  const all = new Uint8Array(c.entry.length + line.length);
  all.set(c.entry);
  all.set(line, c.entry.length);
  return all;
}

/** Reads a statement; an Error says what is wrong with it. */
export function parseStatement(bytes: Uint8Array): Statement {
  const lines = new TextDecoder("utf-8", { fatal: true }).decode(bytes).split("\n");
  if (lines[0] !== head || lines.at(-1) !== "" || lines.length < 9) throw new Error("the statement is not of this version");
  const field = (i: number, name: string, pattern: RegExp): string => {
    const value = lines[i]?.startsWith(`${name} `) ? lines[i].slice(name.length + 1) : "";
    if (!pattern.test(value)) throw new Error(`line ${i + 1} of the statement is no ${name}`);
    return value;
  };
  const number = (i: number, name: string) => BigInt(field(i, name, /^\d{1,20}$/));
  const s: Statement = {
    cell: number(1, "cell"),
    seq: number(2, "seq"),
    hash: field(3, "hash", /^[0-9a-f]{64}$/),
    time: number(4, "time"),
    safeThrough: number(5, "safe-through"),
    made: number(6, "made"),
    events: number(7, "events"),
    totals: [],
    sources: [],
  };
  for (const [i, line] of lines.slice(8, -1).entries()) {
    const t = /^total (\S+) posted (\d{1,39}) (\d{1,39}) pending (\d{1,39}) (\d{1,39}) transfers (\d{1,20})$/.exec(line);
    const o = /^source (\S+) (\d{1,20}) ([0-9a-f]{64})$/.exec(line);
    if (t) {
      const [dp, cp, dr, cr, n] = t.slice(2).map(BigInt) as [bigint, bigint, bigint, bigint, bigint];
      s.totals.push({ asset: t[1]!, debitsPosted: dp, creditsPosted: cp, debitsPending: dr, creditsPending: cr, transfers: n });
    } else if (o) s.sources.push({ name: o[1]!, throughSeq: BigInt(o[2]!), digest: o[3]! });
    else throw new Error(`line ${i + 9} of the statement is neither a total nor a source`);
  }
  return s;
}

/** Where the server's reading of a statement differs from ours; empty where it doesn't. */
export function differs(s: Statement, c: SignedCheckpoint): string {
  if (s.seq !== c.seq) return "block";
  if (s.cell !== c.cell) return "cell";
  if (s.hash !== hex(c.blockHash)) return "block hash";
  if (s.time !== c.time || s.safeThrough !== c.safeThrough) return "time";
  if (s.events !== c.events) return "events";
  if (s.totals.length !== c.totals.length || s.sources.length !== c.sources.length) return "totals";
  for (const [i, t] of s.totals.entries()) {
    const o = c.totals[i]!;
    if (t.asset !== o.asset || t.debitsPosted !== BigInt(o.debitsPosted) || t.creditsPosted !== BigInt(o.creditsPosted)) return `totals of ${t.asset}`;
  }
  return "";
}

/** Assets whose debits are not their credits. */
export function unbalanced(s: Statement): string[] {
  return s.totals.filter((t) => t.debitsPosted !== t.creditsPosted || t.debitsPending !== t.creditsPending).map((t) => t.asset);
}

/** What went back from one statement to a later one and must not; empty where nothing did. Safe-through may: a break can come to light late. */
export function wentBack(before: Statement, after: Statement): string {
  if (after.seq < before.seq) return "block";
  if (after.time < before.time) return "time";
  if (after.seq === before.seq && after.hash !== before.hash) return "block hash";
  for (const s of before.sources) {
    const later = after.sources.find((o) => o.name === s.name);
    if (later && later.throughSeq < s.throughSeq) return `source ${s.name}`;
  }
  return "";
}
