// Breaks as rows: what is wrong, how much money, since when. One row for a group of one cause.
import { type Break, BreakState } from "../gen/sterling/watch/v1/watch_pb";
import { count, money, words } from "../lib/format";
import { Tag, Time, type Tone } from "./values";

/** What people made of a break, as a word and a tone. */
export function stateOf(state: BreakState): { word: string; tone: Tone } {
  switch (state) {
    case BreakState.OPEN:
      return { word: "open", tone: "bad" };
    case BreakState.EXPLAINED:
      return { word: "explained", tone: "warn" };
    case BreakState.REPAIRED:
      return { word: "repaired", tone: "good" };
    case BreakState.ACCEPTED:
      return { word: "accepted", tone: "quiet" };
    default:
      return { word: "unknown", tone: "quiet" };
  }
}

/** How a freeze's state reads; "" where there is none. */
export function stopWords(state: string, selector: string): { word: string; tone: Tone } | null {
  if (state === "") return null;
  if (state === "frozen") return { word: `${selector} frozen`, tone: "info" };
  if (state === "dry run") return { word: `would freeze ${selector}`, tone: "quiet" };
  if (state === "asked") return { word: `asks to freeze ${selector}`, tone: "warn" };
  return { word: `freeze ${state}`, tone: "bad" };
}

/** Rows of breaks. The marked and the open one stand out. */
export function BreakList({ breaks, open, marked = -1, shown = "" }: { breaks: Break[]; open: (id: string) => void; marked?: number; shown?: string }) {
  return (
    <div className="breaks" role="list" data-testid="breaks">
      {breaks.map((b, i) => (
        <BreakRow key={b.id} b={b} open={open} marked={i === marked} shown={b.id === shown} />
      ))}
    </div>
  );
}

function BreakRow({ b, open, marked, shown }: { b: Break; open: (id: string) => void; marked: boolean; shown: boolean }) {
  const stop = b.stopLoss ? stopWords(b.stopLoss.state, b.stopLoss.selector) : null;
  const state = stateOf(b.state);
  return (
    <div
      role="listitem"
      className={`break-row${shown ? " shown" : ""}${marked ? " marked" : ""}`}
      data-at={marked}
      data-id={b.id}
      onClick={() => open(b.id)}
    >
      <span className={`bar bar-${state.tone}`} />
      <div className="break-what">
        <div className="break-title">
          <b>{words(b.class)}</b>
          {b.others > 0 && <Tag tone="quiet">+{b.others} of one cause</Tag>}
          {stop && <Tag tone={stop.tone}>{stop.word}</Tag>}
        </div>
        <div className="break-summary">{b.summary}</div>
      </div>
      <div className="break-side">
        <div className="num break-amount">{b.amountAtRisk === "" || b.amountAtRisk === "0" ? "–" : money(b.amountAtRisk, b.asset)}</div>
        <div className="quiet">
          {b.state !== BreakState.OPEN && `${state.word} · `}
          <Time ns={b.firstSeen} />
        </div>
      </div>
    </div>
  );
}

/** "12 breaks in 3 groups". */
export function groupCount(breaks: Break[]): string {
  const all = breaks.reduce((n, b) => n + 1 + b.others, 0);
  return all === breaks.length ? count(all, "break") : `${count(all, "break")}, ${count(breaks.length, "cause")}`;
}
