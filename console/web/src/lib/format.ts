// Numbers and times as people read them, exactly: amounts and times are whole numbers from the server to the screen,
// never floating point.

/** Digits of an asset such as "CNY/2"; null where the name has none. */
export function scaleOf(asset: string): number | null {
  const scale = /\/(\d{1,2})$/.exec(asset)?.[1];
  return scale === undefined ? null : Number(scale);
}

/** "CNY" of "CNY/2". */
export function codeOf(asset: string): string {
  const slash = asset.lastIndexOf("/");
  return slash < 0 ? asset : asset.slice(0, slash);
}

/** A whole number from the API; null for what is none. An empty text is zero, as the API has it. */
export function whole(text: string): bigint | null {
  if (text === "") return 0n;
  return /^-?\d+$/.test(text) ? BigInt(text) : null;
}

/** 1234567 → "1,234,567". */
export function grouped(n: bigint | number): string {
  const text = n.toString();
  const sign = text.startsWith("-") ? "−" : "";
  return sign + text.replace("-", "").replace(/\B(?=(\d{3})+$)/g, ",");
}

/** Minor units as a decimal number of the asset, grouped: ("1234567", "CNY/2") → "12,345.67". What is no number stays. */
export function amount(minor: string | bigint, asset: string): string {
  const n = typeof minor === "bigint" ? minor : whole(minor);
  if (n === null) return String(minor);
  const scale = scaleOf(asset) ?? 0;
  if (scale === 0) return grouped(n);
  const digits = (n < 0n ? -n : n).toString().padStart(scale + 1, "0");
  const cut = digits.length - scale;
  return (n < 0n ? "−" : "") + grouped(BigInt(digits.slice(0, cut))) + "." + digits.slice(cut);
}

/** An amount with its asset's code: "12,345.67 CNY". */
export function money(minor: string | bigint, asset: string): string {
  return `${amount(minor, asset)} ${codeOf(asset)}`.trim();
}

/** What a person typed, "12,345.67", in minor units; null where it is no amount of this asset. */
export function parseAmount(text: string, asset: string): string | null {
  const scale = scaleOf(asset) ?? 0;
  const m = /^(\d+)(?:\.(\d+))?$/.exec(text.trim().replaceAll(",", ""));
  if (!m) return null;
  const fraction = m[2] ?? "";
  if (fraction.length > scale) return null;
  return BigInt((m[1] ?? "") + fraction.padEnd(scale, "0")).toString();
}

const two = (n: number) => n.toString().padStart(2, "0");

/** A moment, nanoseconds since 1970 UTC, in the reader's zone. */
export interface Moment {
  date: string; // 2026-01-31
  time: string; // 14:03:07
  fraction: string; // nine digits
}

/** The parts of a moment; null for zero, which the API uses for "never". */
export function moment(ns: bigint): Moment | null {
  if (ns === 0n) return null;
  const d = new Date(Number(ns / 1_000_000n));
  if (Number.isNaN(d.getTime())) return null;
  return {
    date: `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`,
    time: `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`,
    fraction: (ns % 1_000_000_000n).toString().padStart(9, "0"),
  };
}

/** "14:03:07.412", with the date before it where it is another day than now's. */
export function clockTime(ns: bigint, now = new Date()): string {
  const m = moment(ns);
  if (!m) return "–";
  const text = `${m.time}.${m.fraction.slice(0, 3)}`;
  const today = moment(BigInt(now.getTime()) * 1_000_000n);
  return m.date === today?.date ? text : `${m.date} ${text}`;
}

/** "2026-01-31 14:03:07.412 345 678": every nanosecond that was given. */
export function fullTime(ns: bigint): string {
  const m = moment(ns);
  return m ? `${m.date} ${m.time}.${m.fraction.replace(/(\d{3})(?=\d)/g, "$1\u2009")}` : "–";
}

const units: [bigint, string][] = [
  [86_400_000_000_000n, "d"],
  [3_600_000_000_000n, "h"],
  [60_000_000_000n, "min"],
];

/** How long: "12 µs", "340 ms", "1.2 s", "4 min 10 s", "3 h 20 min". */
export function duration(ns: bigint): string {
  if (ns < 0n) return `−${duration(-ns)}`;
  if (ns === 0n) return "0 s";
  if (ns < 10_000n) return `${(Number(ns) / 1e3).toFixed(1).replace(/\.0$/, "")} µs`;
  if (ns < 1_000_000n) return `${ns / 1_000n} µs`;
  if (ns < 1_000_000_000n) return `${ns / 1_000_000n} ms`;
  if (ns < 60_000_000_000n) return `${ns / 1_000_000_000n}.${(ns / 100_000_000n) % 10n} s`;
  for (const [i, [size, name]] of units.entries()) {
    if (ns < size) continue;
    const [nextSize, nextName] = i === 0 ? units[1]! : i === 1 ? units[2]! : ([1_000_000_000n, "s"] as const);
    const rest = (ns % size) / nextSize;
    return rest === 0n ? `${ns / size} ${name}` : `${ns / size} ${name} ${rest} ${nextName}`;
  }
  return "";
}

/** A rate: "0", "4.2", "310", "12,400". */
export function rate(perSecond: number): string {
  if (!Number.isFinite(perSecond) || perSecond <= 0) return "0";
  return perSecond < 10 ? perSecond.toFixed(1) : grouped(Math.round(perSecond));
}

/** A latency: "–", "850 µs", "2.4 ms", "310 ms", "1.20 s". */
export function latency(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds <= 0) return "–";
  if (seconds < 1e-3) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 1) return `${(seconds * 1e3).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
  return `${seconds.toFixed(2)} s`;
}

/** Bytes as hexadecimal digits. */
export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

/** The ends of a long id: "2478060506…549933". */
export function short(id: string, keep = 6): string {
  return id.length <= 2 * keep + 3 ? id : `${id.slice(0, keep)}…${id.slice(-keep)}`;
}

/** "duplicate_post" → "Duplicate post". */
export function words(name: string): string {
  const text = name.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** "1 break", "3 breaks". */
export function count(n: number | bigint, one: string, many = `${one}s`): string {
  return `${grouped(n)} ${BigInt(n) === 1n ? one : many}`;
}

/** A fraction in percent with one digit, exact for whole numbers: (1, 3) → "33.3%". */
export function percent(part: bigint, all: bigint): string {
  if (all === 0n) return "–";
  const tenths = (part * 1000n) / all;
  return `${tenths / 10n}.${tenths % 10n}%`;
}

/** The local date and time of an input, "2026-01-31T14:03:07.412", in nanoseconds; null for what is none. */
export function parseLocal(text: string): bigint | null {
  const m = /^(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?$/.exec(text.trim());
  if (!m) return null;
  const ms = new Date(m[1]!.replace(" ", "T")).getTime();
  return Number.isNaN(ms) ? null : BigInt(ms) * 1_000_000n + BigInt((m[2] ?? "").padEnd(9, "0"));
}
