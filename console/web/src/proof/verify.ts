// What a browser can check of the transparency log by itself. It never believes the server's word on a check.
import type { SignedCheckpoint } from "../gen/sterling/watch/v1/audit_pb";
import { grouped, hex } from "../lib/format";
import { fromBase64, same, signedBy, toBase64 } from "./bytes";
import { leafHash, Tree, type Fetch } from "./merkle";
import { openCheckpoint, parseVerifier, type Checkpoint, type VerifierKey } from "./note";
import { differs, parseStatement, sealed, unbalanced, wentBack, type Statement } from "./statement";

/** What this browser saw the last time: the log must still be an extension of it, by the same key. */
export interface Remembered {
  key: string; // base64
  size: number;
  root: string; // base64
  at: number; // ms since 1970
}

/** One thing that was checked. */
export interface Check {
  name: string;
  ok: boolean;
  /** What was found. */
  text: string;
}

/** What was found. */
export interface Report {
  checks: Check[];
  /** By index of the entry: "" is fine, else what is wrong. */
  entries: Map<string, string>;
  verifier?: VerifierKey;
  checkpoint?: Checkpoint;
  /** What to remember; only after nothing was wrong. */
  remember?: Remembered;
}

const message = (e: unknown) => (e instanceof Error ? e.message : String(e));

/** Checks the log's checkpoint and these entries. Files are fetched by paths below /audit/. */
export async function verify(checkpoints: SignedCheckpoint[], file: (path: string) => Promise<Uint8Array>, last: Remembered | null): Promise<Report> {
  const report: Report = { checks: [], entries: new Map() };
  const check = async (name: string, run: () => Promise<string>): Promise<boolean> => {
    try {
      report.checks.push({ name, ok: true, text: await run() });
      return true;
    } catch (e) {
      report.checks.push({ name, ok: false, text: message(e) });
      return false;
    }
  };
  await check("Key", async () => {
    report.verifier = await parseVerifier(new TextDecoder().decode(await file("key")));
    if (last && last.key !== toBase64(report.verifier.key)) throw new Error("it is another key than this browser saw before");
    return last ? "the same as this browser saw before" : "seen by this browser for the first time";
  });
  const verifier = report.verifier;
  if (!verifier) return report;
  await check("Checkpoint of the log", async () => {
    report.checkpoint = await openCheckpoint(await file("log/checkpoint"), verifier);
    return `signed by ${verifier.name}, ${grouped(report.checkpoint.size)} entries`;
  });
  if (!report.checkpoint) return report;
  const tree = new Tree(report.checkpoint.size, ((path) => file(`log/${path}`)) satisfies Fetch);
  const root = report.checkpoint.root;
  await check("History", () => checkHistory(tree, root, last));
  const statements = new Map<bigint, Statement>();
  for (const c of checkpoints) report.entries.set(c.index.toString(), await checkEntry(c, verifier.key, tree, root, statements));
  const wrong = [...report.entries.values()].filter((e) => e !== "").length;
  if (checkpoints.length > 0) {
    report.checks.push({
      name: "Entries shown",
      ok: wrong === 0,
      text: wrong === 0 ? `${checkpoints.length}: each signed, in the log at its place, as the log has it` : `${wrong} of ${checkpoints.length} are wrong`,
    });
    await check("What they state", async () => checkOrder(statements));
  }
  if (report.checks.every((c) => c.ok)) {
    report.remember = { key: toBase64(verifier.key), size: report.checkpoint.size, root: toBase64(root), at: Date.now() };
  }
  return report;
}

async function checkHistory(tree: Tree, root: Uint8Array, last: Remembered | null): Promise<string> {
  if (tree.size === 0) return "the log is empty";
  const before = last && last.size > 0 ? last : null;
  const roots = await tree.roots(before ? before.size : tree.size);
  if (!same(roots.now, root)) throw new Error("the hashes of the log do not lead to its root");
  if (!before) return "the hashes lead to the root; the next visit is compared with it";
  const seen = fromBase64(before.root);
  if (!seen || !same(roots.old, seen)) throw new Error(`the first ${grouped(before.size)} entries are not those that this browser saw before: history was rewritten`);
  return `extends the ${grouped(before.size)} entries that this browser saw before; nothing was rewritten`;
}

async function checkEntry(c: SignedCheckpoint, key: Uint8Array, tree: Tree, root: Uint8Array, statements: Map<bigint, Statement>): Promise<string> {
  try {
    if (!(await signedBy(key, c.entry, c.signature))) return "its signature is wrong";
    const s = parseStatement(c.entry);
    const other = differs(s, c);
    if (other) return `the server shows another ${other} than was signed`;
    if (c.index >= BigInt(tree.size)) return "not in the log's checkpoint yet";
    const index = Number(c.index);
    const entry = await tree.entry(index);
    if (!same(entry, sealed(c))) return "the log has another entry at this place";
    if (!same(await tree.rootWith(index, await leafHash(entry)), root)) return "its hash does not lead to the log's root";
    statements.set(c.index, s);
    return "";
  } catch (e) {
    return message(e);
  }
}

function checkOrder(statements: Map<bigint, Statement>): string {
  const list = [...statements.entries()].sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [i, [index, s]] of list.entries()) {
    const off = unbalanced(s);
    if (off.length > 0) throw new Error(`entry ${index}: debits are not credits in ${off.join(", ")}`);
    const before = list[i - 1];
    const back = before ? wentBack(before[1], s) : "";
    if (back) throw new Error(`entry ${index}: ${back} went back`);
  }
  return "debits = credits in every asset; blocks and times never go back";
}

/** A key's short form, to be read aloud. */
export function fingerprint(key: Uint8Array): string {
  return hex(key).replace(/(.{8})(?=.)/g, "$1 ");
}
