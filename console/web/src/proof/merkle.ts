// The Merkle tree of RFC 6962, from the hash tiles of C2SP tlog-tiles. Nothing here trusts the server: every root is
// computed from hashes that lead to it.
import { join, sha256 } from "./bytes";

/** Fetches a file of the log by its path, such as "tile/0/000". */
export type Fetch = (path: string) => Promise<Uint8Array>;

const width = 256;
const hashSize = 32;

/** Hash of an entry. */
export const leafHash = (entry: Uint8Array) => sha256(Uint8Array.of(0), entry);

const nodeHash = (left: Uint8Array, right: Uint8Array) => sha256(Uint8Array.of(1), left, right);

/** 1234067 → "x001/x234/067". */
export function tileIndex(n: number): string {
  let path = (n % 1000).toString().padStart(3, "0");
  for (let rest = Math.floor(n / 1000); rest > 0; rest = Math.floor(rest / 1000)) path = `x${(rest % 1000).toString().padStart(3, "0")}/${path}`;
  return path;
}

/** Path of tile n of a level, or of the bundle of entries, in a log of this size. */
export function tilePath(level: number | "entries", n: number, size: number): string {
  const hashes = Math.floor(size / width ** (level === "entries" ? 0 : level));
  const partial = n === Math.floor(hashes / width) ? hashes % width : 0;
  return `tile/${level}/${tileIndex(n)}${partial > 0 ? `.p/${partial}` : ""}`;
}

/** Largest power of two below n; n is 2 or more. */
function split(n: number): number {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}

/** A log of a certain size, whose files are fetched once each. */
export class Tree {
  private files = new Map<string, Promise<Uint8Array>>();
  constructor(
    readonly size: number,
    private readonly fetchFile: Fetch,
  ) {}

  private file(path: string): Promise<Uint8Array> {
    let f = this.files.get(path);
    if (!f) {
      f = this.fetchFile(path);
      this.files.set(path, f);
    }
    return f;
  }

  /** The entry at an index, as the log has it. */
  async entry(index: number): Promise<Uint8Array> {
    const path = tilePath("entries", Math.floor(index / width), this.size);
    const bundle = await this.file(path);
    let at = 0;
    for (let i = 0; at + 2 <= bundle.length; i++) {
      const length = (bundle[at]! << 8) | bundle[at + 1]!;
      at += 2;
      if (at + length > bundle.length) break;
      if (i === index % width) return bundle.subarray(at, at + length);
      at += length;
    }
    throw new Error(`${path} has no entry ${index}`);
  }

  /** Hash of the perfect subtree over entries [n·2^level, (n+1)·2^level), as the tiles have it. */
  private async node(level: number, n: number): Promise<Uint8Array> {
    const tileLevel = Math.floor(level / 8);
    const inner = level % 8; // levels above the tile's own
    const first = n * 2 ** inner; // among the hashes of that level
    const path = tilePath(tileLevel, Math.floor(first / width), this.size);
    const tile = await this.file(path);
    const at = first % width;
    if (tile.length < (at + 2 ** inner) * hashSize) throw new Error(`${path} has ${tile.length} bytes, too few for hash ${at}`);
    let row = Array.from({ length: 2 ** inner }, (_, i) => tile.subarray((at + i) * hashSize, (at + i + 1) * hashSize));
    while (row.length > 1) row = await Promise.all(Array.from({ length: row.length / 2 }, (_, i) => nodeHash(row[2 * i]!, row[2 * i + 1]!)));
    return row[0]!;
  }

  /** Hash of the entries [from, to), aligned as the tree of the log is. */
  private async range(from: number, to: number): Promise<Uint8Array> {
    const n = to - from;
    const level = Math.log2(n);
    if (Number.isInteger(level)) return this.node(level, from / n);
    const k = split(n);
    return nodeHash(await this.range(from, from + k), await this.range(from + k, to));
  }

  /** The root that follows if this leaf stands at the index: the log's own root proves that it does. */
  rootWith(index: number, leaf: Uint8Array): Promise<Uint8Array> {
    const climb = async (from: number, to: number): Promise<Uint8Array> => {
      if (to - from === 1) return leaf;
      const k = from + split(to - from);
      return index < k ? nodeHash(await climb(from, k), await this.range(k, to)) : nodeHash(await this.range(from, k), await climb(k, to));
    };
    return climb(0, this.size);
  }

  /** The roots of the first `old` entries and of all, from the same hashes: if both are right, nothing was rewritten. */
  async roots(old: number): Promise<{ old: Uint8Array; now: Uint8Array }> {
    if (old < 1 || old > this.size) throw new Error(`the log has ${this.size} entries, fewer than the ${old} it had before`);
    const both = async (from: number, to: number): Promise<{ old: Uint8Array; now: Uint8Array }> => {
      if (old >= to) {
        const h = await this.range(from, to);
        return { old: h, now: h };
      }
      const k = from + split(to - from);
      if (old <= k) {
        const left = await both(from, k);
        return { old: left.old, now: await nodeHash(left.now, await this.range(k, to)) };
      }
      const left = await this.range(from, k);
      const right = await both(k, to);
      return { old: await nodeHash(left, right.old), now: await nodeHash(left, right.now) };
    };
    return both(0, this.size);
  }
}

/** The bundle of entries, for tests: each with its length before it. */
export function bundle(entries: Uint8Array[]): Uint8Array {
  return join(...entries.flatMap((e) => [Uint8Array.of(e.length >> 8, e.length & 255), e]));
}
