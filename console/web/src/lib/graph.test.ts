import { describe, expect, test } from "vitest";
import { arrange } from "./graph";

const at = (names: string[], calls: [string, string][]) =>
  Object.fromEntries(arrange(names, calls.map(([from, to]) => ({ from, to }))).map((p) => [p.name, [p.column, p.row]]));

describe("a graph of calls", () => {
  test("goes from left to right, by the longest way", () => {
    expect(at(["ledger", "orders"], [["shop", "orders"], ["orders", "ledger"], ["shop", "ledger"]])).toEqual({ shop: [0, 0], orders: [1, 0], ledger: [2, 0] });
  });
  test("has those that nobody calls and that call nobody in the first column", () => {
    expect(at(["a", "b"], [])).toEqual({ a: [0, 0], b: [0, 1] });
    expect(arrange([], [])).toEqual([]);
  });
  test("has no two boxes in one place, and ends where calls go in circles", () => {
    const calls: [string, string][] = [["a", "b"], ["b", "c"], ["c", "a"], ["d", "b"], ["c", "c"]];
    const places = Object.values(at(["x"], calls)).map(String);
    expect(new Set(places).size).toBe(5);
    // d is called by nobody, so the circle is entered at b and cut where it comes back.
    expect(at([], calls)).toMatchObject({ d: [0, 0], b: [1, 0], c: [2, 0], a: [3, 0] });
  });
  test("puts boxes beside their callers", () => {
    expect(at([], [["a", "z"], ["b", "m"]])).toEqual({ a: [0, 0], b: [0, 1], z: [1, 0], m: [1, 1] });
  });
});
