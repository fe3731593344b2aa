import { clone } from "@bufbuild/protobuf";
import { beforeAll, describe, expect, test } from "vitest";
import { SignedCheckpointSchema, type SignedCheckpoint } from "../gen/sterling/watch/v1/audit_pb";
import { makeLog, type FakeLog } from "../../test/log";
import { sha256, toBase64 } from "./bytes";
import { leafHash, Tree, tileIndex, tilePath } from "./merkle";
import { verify } from "./verify";

const zeros = (n: number) => new Uint8Array(n);

/** RFC 6962's definition, word by word: what the tiles' way is compared with. */
async function rootOf(leaves: Uint8Array[]): Promise<Uint8Array> {
  if (leaves.length === 1) return leaves[0]!;
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  return sha256(Uint8Array.of(1), await rootOf(leaves.slice(0, k)), await rootOf(leaves.slice(k)));
}

test("paths of tiles", () => {
  expect(tileIndex(0)).toBe("000");
  expect(tileIndex(1234067)).toBe("x001/x234/067");
  expect(tilePath(0, 0, 5)).toBe("tile/0/000.p/5");
  expect(tilePath(0, 0, 256)).toBe("tile/0/000");
  expect(tilePath(0, 1, 300)).toBe("tile/0/001.p/44");
  expect(tilePath(1, 0, 70_000)).toBe("tile/1/000");
  expect(tilePath("entries", 0, 3)).toBe("tile/entries/000.p/3");
});

describe("a log of any size", () => {
  let log: FakeLog;
  beforeAll(async () => {
    log = await makeLog(600);
  });
  const sizes = [1, 2, 3, 7, 8, 255, 256, 257, 511, 512, 513, 600];

  test.each(sizes)("of %i entries proves each of its entries, and its own past", async (size) => {
    const at = log.at(size);
    const root = await rootOf(await Promise.all(at.entries.map(leafHash)));
    const tree = new Tree(size, at.file);
    for (const i of new Set([0, 1, Math.floor(size / 2), size - 2, size - 1].filter((n) => n >= 0 && n < size))) {
      expect(await tree.rootWith(i, await leafHash(await tree.entry(i)))).toEqual(root);
      expect(await tree.rootWith(i, zeros(32))).not.toEqual(root);
    }
    for (const old of sizes.filter((s) => s <= size)) {
      const roots = await tree.roots(old);
      expect(roots.now).toEqual(root);
      expect(roots.old).toEqual(await rootOf(await Promise.all(at.entries.slice(0, old).map(leafHash))));
    }
  });

  test("an honest log passes, and is remembered", async () => {
    const first = await verify(log.at(300).newest(20), log.at(300).audit, null);
    expect(first.checks.filter((c) => !c.ok)).toEqual([]);
    expect([...first.entries.values()]).toEqual(Array(20).fill(""));
    const later = await verify(log.at(600).newest(20), log.at(600).audit, first.remember!);
    expect(later.checks.filter((c) => !c.ok)).toEqual([]);
    expect(later.remember?.size).toBe(600);
  });

  const failed = (r: { checks: { name: string; ok: boolean }[] }) => r.checks.filter((c) => !c.ok).map((c) => c.name);

  test("another key than before", async () => {
    const other = await makeLog(5);
    const seen = (await verify([], other.at(5).audit, null)).remember!;
    const r = await verify(log.at(300).newest(2), log.at(300).audit, { ...seen, size: 0 });
    expect(failed(r)).toEqual(["Key"]);
    expect(r.remember).toBeUndefined();
  });

  test("a rewritten history", async () => {
    const seen = (await verify([], log.at(300).audit, null)).remember!;
    const fork = await makeLog(600, { key: log.key, change: 17 });
    const r = await verify(fork.at(600).newest(5), fork.at(600).audit, seen);
    expect(failed(r)).toEqual(["History"]);
  });

  test("a log that was cut", async () => {
    const seen = (await verify([], log.at(300).audit, null)).remember!;
    expect(failed(await verify([], log.at(256).audit, seen))).toEqual(["History"]);
  });

  test("a tile that was changed", async () => {
    const at = log.at(600);
    const bent = async (path: string) => {
      const f = (await at.audit(path)).slice();
      if (path === "log/tile/0/001") f[40] = f[40]! ^ 1;
      return f;
    };
    const seen = (await verify([], log.at(300).audit, null)).remember!;
    expect(failed(await verify([], bent, seen))).toEqual(["History"]);
    expect((await verify(at.newest(600).slice(600 - 300, 600 - 290), bent, null)).entries.get("299")).toContain("does not lead");
  });

  test("a checkpoint that was changed", async () => {
    const at = log.at(300);
    const bent = async (path: string) => {
      const f = await at.audit(path);
      return path === "log/checkpoint" ? new TextEncoder().encode(new TextDecoder().decode(f).replace("\n300\n", "\n299\n")) : f;
    };
    expect(failed(await verify([], bent, null))).toEqual(["Checkpoint of the log"]);
  });

  const one = (change: (c: SignedCheckpoint) => void) => {
    const c = clone(SignedCheckpointSchema, log.at(300).newest(1)[0]!);
    change(c);
    return verify([c], log.at(300).audit, null).then((r) => r.entries.get(c.index.toString()));
  };
  test("a statement that was changed", async () => expect(await one((c) => (c.entry = c.entry.slice().fill(48, 60, 61)))).toBe("its signature is wrong"));
  test("a signature that is none", async () => expect(await one((c) => (c.signature = zeros(64)))).toBe("its signature is wrong"));
  test("a reading that differs", async () => expect(await one((c) => (c.totals[0]!.creditsPosted = "1"))).toContain("another totals of CNY/2"));
  test("another place", async () => expect(await one((c) => (c.index = 3n))).toBe("the log has another entry at this place"));
  test("beyond the checkpoint", async () => expect(await one((c) => (c.index = 300n))).toBe("not in the log's checkpoint yet"));

  test("debits that are not credits, signed", async () => {
    const off = await makeLog(9, { unbalanced: 4 });
    expect(failed(await verify(off.at(9).newest(9), off.at(9).audit, null))).toEqual(["What they state"]);
  });

  test("time that goes back, signed", async () => {
    const off = await makeLog(9, { backwards: 4 });
    const r = await verify(off.at(9).newest(9), off.at(9).audit, null);
    expect(r.checks.find((c) => !c.ok)?.text).toBe("entry 4: time went back");
  });

  test("a server that does not answer", async () => {
    const r = await verify([], () => Promise.reject(new Error("gone")), null);
    expect(r.checks).toEqual([{ name: "Key", ok: false, text: "gone" }]);
  });
});

test("base64", () => expect(toBase64(Uint8Array.of(0, 255, 16))).toBe("AP8Q"));
