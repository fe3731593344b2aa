// How single values look: amounts, times, ids, states.
import { CheckOutlined, CopyOutlined } from "@ant-design/icons";
import { Tooltip } from "antd";
import { useState, type ReactNode } from "react";
import { Link } from "react-router";
import { amount, clockTime, codeOf, fullTime, grouped, short } from "../lib/format";

/** An amount of an asset, to the right, digits under digits. */
export function Amount({ minor, asset, code = false, quiet = false }: { minor: string | bigint; asset: string; code?: boolean; quiet?: boolean }) {
  const zero = minor === "" || BigInt(/^-?\d+$/.test(String(minor)) ? minor : 1) === 0n;
  return (
    <span className={quiet && zero ? "num zero" : "num"}>
      {amount(minor, asset)}
      {code && <span className="unit"> {codeOf(asset)}</span>}
    </span>
  );
}

/** A whole number. */
export function Count({ n }: { n: bigint | number }) {
  return <span className="num">{grouped(n)}</span>;
}

/** A moment: to the millisecond, all of it on hovering. */
export function Time({ ns, full = false }: { ns: bigint; full?: boolean }) {
  if (ns === 0n) return <span className="zero">–</span>;
  if (full) return <Full ns={ns} />;
  return (
    <Tooltip title={<Full ns={ns} />}>
      <span className="num">{clockTime(ns)}</span>
    </Tooltip>
  );
}

/** The date in proportional digits, the time in tabular ones: tabular hyphens stand too far apart. */
function Full({ ns }: { ns: bigint }) {
  const [date, time] = fullTime(ns).split(" ");
  return (
    <span className="full-time">
      {date} <span className="num">{time}</span>
    </span>
  );
}

/** An id: shortened, whole on hovering, copied by the button. */
export function Id({ id, to, keep = 6, whole = false }: { id: string; to?: string; keep?: number; whole?: boolean }) {
  if (id === "" || id === "0") return <span className="zero">–</span>;
  const text = whole ? id : short(id, keep);
  const shown = <span className="mono">{text}</span>;
  return (
    <span className="id">
      <Tooltip title={text === id ? "" : <span className="mono">{id}</span>}>{to ? <Link to={to}>{shown}</Link> : shown}</Tooltip>
      <Copy text={id} />
    </span>
  );
}

/** Copies a text. */
export function Copy({ text }: { text: string }) {
  const [done, setDone] = useState(false);
  return (
    <button
      type="button"
      className="copy"
      aria-label="Copy"
      onClick={(e) => {
        e.stopPropagation();
        void navigator.clipboard?.writeText(text).then(() => setDone(true));
      }}
      onBlur={() => setDone(false)}
      onMouseLeave={() => setDone(false)}
    >
      {done ? <CheckOutlined /> : <CopyOutlined />}
    </button>
  );
}

export type Tone = "good" | "warn" | "bad" | "quiet" | "info";

/** A short word in a colour that means something. */
export function Tag({ tone, children }: { tone: Tone; children: ReactNode }) {
  return <span className={`tag tag-${tone}`}>{children}</span>;
}

/** A framed part of a page. */
export function Panel({ title, extra, children, flush = false, className = "" }: { title?: ReactNode; extra?: ReactNode; children: ReactNode; flush?: boolean; className?: string }) {
  return (
    <section className={`panel ${className}`}>
      {(title !== undefined || extra !== undefined) && (
        <header className="panel-head">
          <h2>{title}</h2>
          {extra !== undefined && <div className="panel-extra">{extra}</div>}
        </header>
      )}
      <div className={flush ? "panel-body flush" : "panel-body"}>{children}</div>
    </section>
  );
}

/** Names and values under each other; wide: in two columns. */
export function Facts({ rows, wide = false }: { rows: [ReactNode, ReactNode][]; wide?: boolean }) {
  return (
    <dl className={wide ? "facts facts-wide" : "facts"}>
      {rows.map(([name, value], i) => (
        <div key={i}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** A number with its name above it. */
export function Figure({ name, value, note, tone }: { name: ReactNode; value: ReactNode; note?: ReactNode; tone?: Tone }) {
  return (
    <div className="figure">
      <div className="figure-name">{name}</div>
      <div className={`figure-value ${tone ? `tone-${tone}` : ""}`}>{value}</div>
      <div className="figure-note">{note ?? "\u00a0"}</div>
    </div>
  );
}
