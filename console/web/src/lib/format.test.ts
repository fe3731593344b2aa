import { describe, expect, test } from "vitest";
import * as f from "./format";

const max = "340282366920938463463374607431768211455";

describe("amounts are exact", () => {
  test.each([
    ["0", "CNY/2", "0.00"],
    ["", "CNY/2", "0.00"],
    ["5", "CNY/2", "0.05"],
    ["-5", "CNY/2", "−0.05"],
    ["1234567", "CNY/2", "12,345.67"],
    ["1234567", "JPY/0", "1,234,567"],
    ["9007199254740993", "USD/2", "90,071,992,547,409.93"],
    [max, "BTC/8", "3,402,823,669,209,384,634,633,746,074,317.68211455"],
    [max, "X", "340,282,366,920,938,463,463,374,607,431,768,211,455"],
    ["12a", "CNY/2", "12a"],
  ])("%s of %s", (minor, asset, want) => expect(f.amount(minor, asset)).toBe(want));

  test("with the code", () => expect(f.money("100", "CNY/2")).toBe("1.00 CNY"));

  test.each([
    ["12,345.67", "CNY/2", "1234567"],
    ["0.1", "CNY/2", "10"],
    ["1", "JPY/0", "1"],
    ["1.234", "CNY/2", null],
    ["-1", "CNY/2", null],
    ["1e3", "CNY/2", null],
    ["", "CNY/2", null],
  ])("reading %s of %s", (text, asset, want) => expect(f.parseAmount(text, asset)).toBe(want));

  test("what is written is read back", () => {
    for (const minor of ["0", "1", "99", "100", "123456789012345678901234567890"]) {
      for (const asset of ["CNY/2", "JPY/0", "BTC/8"]) expect(f.parseAmount(f.amount(minor, asset), asset)).toBe(minor);
    }
  });
});

describe("times keep every nanosecond", () => {
  const ns = 1_795_343_481_262_702_196n;
  test("full", () => expect(f.fullTime(ns)).toMatch(/^2026-11-2\d \d\d:\d\d:\d\d\.262\u2009702\u2009196$/));
  test("clock of today", () => expect(f.clockTime(ns, new Date(Number(ns / 1_000_000n)))).toMatch(/^\d\d:\d\d:21\.262$/));
  test("clock of another day has the day", () => expect(f.clockTime(ns, new Date(0))).toMatch(/^2026-11-2\d /));
  test("zero is never", () => expect([f.fullTime(0n), f.clockTime(0n)]).toEqual(["–", "–"]));
  test("an input is read back", () => {
    const m = f.moment(ns)!;
    expect(f.parseLocal(`${m.date}T${m.time}.${m.fraction}`)).toBe(ns);
    expect(f.parseLocal("yesterday")).toBeNull();
  });
});

describe("durations", () => {
  test.each([
    [0n, "0 s"],
    [1_500n, "1.5 µs"],
    [12_000n, "12 µs"],
    [283_400n, "283 µs"],
    [340_000_000n, "340 ms"],
    [999_900_000n, "999 ms"],
    [1_250_000_000n, "1.2 s"],
    [59_990_000_000n, "59.9 s"],
    [60_000_000_000n, "1 min"],
    [250_000_000_000n, "4 min 10 s"],
    [12_000_000_000_000n, "3 h 20 min"],
    [90_000_000_000_000n, "1 d 1 h"],
    [-340_000_000n, "−340 ms"],
  ])("%s ns", (ns, want) => expect(f.duration(ns)).toBe(want));
});

test("numbers", () => {
  expect(f.grouped(-1234567n)).toBe("−1,234,567");
  expect(f.rate(4.23)).toBe("4.2");
  expect(f.rate(12_400.4)).toBe("12,400");
  expect(f.rate(Number.NaN)).toBe("0");
  expect(f.percent(1n, 3n)).toBe("33.3%");
  expect(f.percent(0n, 0n)).toBe("–");
  expect(f.count(1n, "break")).toBe("1 break");
  expect(f.count(1200, "break")).toBe("1,200 breaks");
});

test("latencies", () => {
  expect([0, 0.00085, 0.0024, 0.31, 1.2, Number.NaN].map(f.latency)).toEqual(["–", "850 µs", "2.4 ms", "310 ms", "1.20 s", "–"]);
});

test("names", () => {
  expect(f.words("duplicate_post")).toBe("Duplicate post");
  expect(f.short("247806050623272497941894152342749549933")).toBe("247806…549933");
  expect(f.short("8901000000001")).toBe("8901000000001");
  expect(f.hex(new Uint8Array([0, 255]))).toBe("00ff");
});
