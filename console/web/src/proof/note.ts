// The log's checkpoint: a signed note (C2SP signed-note, tlog-checkpoint) with the log's size and root.
import { fromBase64, join, sha256, signedBy, toBase64 } from "./bytes";

/** A public key and whose it is. */
export interface VerifierKey {
  name: string; // "sterling/1"
  key: Uint8Array; // Ed25519, 32 bytes
}

/** What a checkpoint says. */
export interface Checkpoint {
  origin: string;
  size: number;
  root: Uint8Array;
}

const algEd25519 = 1;
const text = new TextEncoder();

/** The four bytes by which a signature names its key. */
async function keyHash(k: VerifierKey): Promise<Uint8Array> {
  return (await sha256(text.encode(`${k.name}\n`), Uint8Array.of(algEd25519), k.key)).subarray(0, 4);
}

/** A verifier key as tools for transparency logs write it: "sterling/1+1a2b3c4d+base64". */
export async function verifierText(k: VerifierKey): Promise<string> {
  const hash = Array.from(await keyHash(k), (b) => b.toString(16).padStart(2, "0")).join("");
  return `${k.name}+${hash}+${toBase64(join(Uint8Array.of(algEd25519), k.key))}`;
}

/** Reads a verifier key; an Error says what is wrong with it. */
export async function parseVerifier(line: string): Promise<VerifierKey> {
  const m = /^([^+\s]+)\+([0-9a-f]{8})\+(\S+)$/.exec(line.trim());
  const raw = m ? fromBase64(m[3]!) : null;
  if (!m || !raw || raw.length !== 33 || raw[0] !== algEd25519) throw new Error("the log's key is not an Ed25519 key of a signed note");
  const k = { name: m[1]!, key: raw.subarray(1) };
  if ((await verifierText(k)) !== line.trim()) throw new Error("the log's key has the checksum of another key");
  return k;
}

/** Reads a checkpoint that this key has signed; an Error says why it is none. */
export async function openCheckpoint(note: Uint8Array, k: VerifierKey): Promise<Checkpoint> {
  const all = new TextDecoder().decode(note);
  const gap = all.lastIndexOf("\n\n");
  if (gap < 0) throw new Error("the checkpoint has no signature");
  const body = all.slice(0, gap + 1);
  const id = await keyHash(k);
  let signed = false;
  for (const line of all.slice(gap + 2).split("\n")) {
    const m = /^\u2014 (\S+) (\S+)$/.exec(line);
    const raw = m && m[1] === k.name ? fromBase64(m[2]!) : null;
    if (!raw || raw.length !== 68 || !id.every((b, i) => b === raw[i])) continue;
    if (!(await signedBy(k.key, text.encode(body), raw.subarray(4)))) throw new Error("the checkpoint's signature is wrong");
    signed = true;
  }
  if (!signed) throw new Error("the checkpoint is not signed by the log's key");
  const lines = body.split("\n");
  const root = fromBase64(lines[2] ?? "");
  if (lines.length !== 4 || !/^(0|[1-9]\d{0,15})$/.test(lines[1]!) || root?.length !== 32) throw new Error("the checkpoint has more or less than origin, size and root");
  if (lines[0] !== k.name) throw new Error(`the checkpoint is of ${lines[0]}, the key of ${k.name}`);
  return { origin: lines[0]!, size: Number(lines[1]), root };
}
