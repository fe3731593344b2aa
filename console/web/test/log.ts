// A transparency log as a server makes it, for tests: signed statements in tiles, by a key of its own.
import { create } from "@bufbuild/protobuf";
import { SignedCheckpointSchema, type SignedCheckpoint } from "../src/gen/sterling/watch/v1/audit_pb";
import { hex } from "../src/lib/format";
import { join, sha256, toBase64 } from "../src/proof/bytes";
import { bundle, leafHash } from "../src/proof/merkle";
import { verifierText } from "../src/proof/note";
import { parseStatement, sealed } from "../src/proof/statement";

type Pair = { privateKey: CryptoKey; publicKey: CryptoKey };

/** The log at a size: its files and its newest entries. */
export interface FakeLogAt {
  entries: Uint8Array[];
  /** By path below the log, such as "tile/0/000". */
  file: (path: string) => Promise<Uint8Array>;
  /** By path below /audit/, such as "log/checkpoint" or "key". */
  audit: (path: string) => Promise<Uint8Array>;
  note: () => Promise<Uint8Array>;
  root: () => Promise<Uint8Array>;
  newest: (n: number) => SignedCheckpoint[];
}

export interface FakeLog {
  key: Pair;
  public: Uint8Array;
  at: (size: number) => FakeLogAt;
}

/** What is wrong with a log on purpose, by index of the entry. */
export interface Bends {
  key?: Pair;
  change?: number;
  unbalanced?: number;
  backwards?: number;
  /** Of the first entry, ns since 1970 UTC. */
  start?: bigint;
}

const text = new TextEncoder();
const name = "sterling/1";

/** Makes a log of n statements, one a second. */
export async function makeLog(n: number, bends: Bends = {}): Promise<FakeLog> {
  const key = bends.key ?? ((await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"])) as Pair);
  const raw = new Uint8Array(await crypto.subtle.exportKey("raw", key.publicKey));
  const sign = async (b: Uint8Array) => new Uint8Array(await crypto.subtle.sign("Ed25519", key.privateKey, join(b)));
  const list: SignedCheckpoint[] = [];
  for (let i = 0; i < n; i++) list.push(await entryOf(i, bends, sign));
  const entries = list.map(sealed);
  const leaves = await Promise.all(entries.map(leafHash));
  return { key, public: raw, at: (size) => logAt(size, list, entries, leaves, raw, sign) };
}

async function entryOf(i: number, bends: Bends, sign: (b: Uint8Array) => Promise<Uint8Array>): Promise<SignedCheckpoint> {
  const second = BigInt(i === bends.backwards ? i - 2 : i);
  const time = (bends.start ?? 1_795_343_000_000_000_000n) + second * 1_000_000_000n + 123_456_789n;
  const posted = 51_579_343_983n + BigInt(i) * 12_345n;
  const off = i === bends.unbalanced ? 1n : 0n;
  const hash = hex(await sha256(text.encode(`block ${i} ${i === bends.change}`)));
  const entry = text.encode(
    `sterling checkpoint v1\ncell 1\nseq ${1000 + i * 20}\nhash ${hash}\ntime ${time}\nsafe-through ${time - 200_000_000n}\nmade ${time + 300_000_000n}\nevents ${i * 321}\n` +
      `total CNY/2 posted ${posted} ${posted + off} pending 351859 351859 transfers ${2796 + i * 160}\n` +
      `total USD/2 posted 5284927 5284927 pending 102 102 transfers 412\n` +
      `source card-scheme ${i * 3} ${hash}\nsource orders ${i * 7} ${hash}\n`,
  );
  const s = parseStatement(entry);
  return create(SignedCheckpointSchema, {
    index: BigInt(i), entry, signature: await sign(entry),
    cell: s.cell, seq: s.seq, blockHash: Uint8Array.from(Buffer.from(s.hash, "hex")), time: s.time, safeThrough: s.safeThrough, events: s.events,
    totals: s.totals.map((t) => ({ asset: t.asset, debitsPosted: `${t.debitsPosted}`, creditsPosted: `${t.creditsPosted}`, debitsPending: `${t.debitsPending}`, creditsPending: `${t.creditsPending}`, transfers: t.transfers })),
    sources: s.sources.map((o) => ({ source: o.name, throughSeq: o.throughSeq, digest: Uint8Array.from(Buffer.from(o.digest, "hex")) })),
  });
}

function logAt(size: number, list: SignedCheckpoint[], entries: Uint8Array[], leaves: Uint8Array[], key: Uint8Array, sign: (b: Uint8Array) => Promise<Uint8Array>): FakeLogAt {
  const fold = async (row: Uint8Array[]): Promise<Uint8Array> => {
    if (row.length === 0) return sha256();
    if (row.length === 1) return row[0]!;
    let k = 1;
    while (k * 2 < row.length) k *= 2;
    return sha256(Uint8Array.of(1), await fold(row.slice(0, k)), await fold(row.slice(k)));
  };
  /** Hashes of a level of tiles: those of whole tiles below it. */
  const level = async (l: number): Promise<Uint8Array[]> => {
    if (l === 0) return leaves.slice(0, size);
    const below = await level(l - 1);
    return Promise.all(Array.from({ length: Math.floor(below.length / 256) }, (_, i) => fold(below.slice(i * 256, i * 256 + 256))));
  };
  const root = () => fold(leaves.slice(0, size));
  const file = async (path: string): Promise<Uint8Array> => {
    const m = /^tile\/(entries|\d)\/(\d{3})(?:\.p\/(\d+))?$/.exec(path);
    if (!m) throw new Error(`no file ${path}`);
    const from = Number(m[2]) * 256;
    const to = from + (m[3] ? Number(m[3]) : 256);
    const rows = m[1] === "entries" ? entries.slice(0, size) : await level(Number(m[1]));
    if (to > rows.length) throw new Error(`no file ${path}`);
    return m[1] === "entries" ? bundle(rows.slice(from, to)) : join(...rows.slice(from, to));
  };
  const note = async () => {
    const body = `${name}\n${size}\n${toBase64(await root())}\n`;
    const id = Buffer.from((await verifierText({ name, key })).split("+")[1]!, "hex");
    return text.encode(`${body}\n\u2014 ${name} ${toBase64(join(id, await sign(text.encode(body))))}\n`);
  };
  const audit = async (path: string): Promise<Uint8Array> => {
    if (path === "key") return text.encode(`${await verifierText({ name, key })}\n`);
    if (path === "log/checkpoint") return note();
    return file(path.replace(/^log\//, ""));
  };
  return { entries: entries.slice(0, size), file, audit, note, root, newest: (n) => list.slice(Math.max(0, size - n), size).reverse() };
}
