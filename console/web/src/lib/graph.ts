// Where the boxes of a graph of calls go: callers to the left of what they call, few crossings, the same every time.

/** Who calls whom. */
export interface Call {
  from: string;
  to: string;
}

/** A box: column and row from 0. */
export interface Place {
  name: string;
  column: number;
  row: number;
}

/** Puts names into columns so that calls go to the right, but those that close a circle. */
export function arrange(names: string[], calls: Call[]): Place[] {
  const all = [...new Set([...names, ...calls.flatMap((c) => [c.from, c.to])])].sort();
  const next = new Map(all.map((n) => [n, [] as string[]]));
  for (const c of calls) if (c.from !== c.to && !next.get(c.from)!.includes(c.to)) next.get(c.from)!.push(c.to);
  const forward = withoutCircles(all, next);
  const column = new Map(all.map((n) => [n, 0]));
  // The longest way to a box is at most as long as there are boxes.
  for (let changed = true, rounds = 0; changed && rounds <= all.length; rounds++) {
    changed = false;
    for (const { from, to } of forward) {
      if (column.get(to)! <= column.get(from)!) {
        column.set(to, column.get(from)! + 1);
        changed = true;
      }
    }
  }
  return rows(all, column, forward);
}

/** The calls without those that lead back to where a way came from. */
function withoutCircles(all: string[], next: Map<string, string[]>): Call[] {
  const state = new Map<string, "on the way" | "done">();
  const out: Call[] = [];
  const called = new Set([...next.values()].flat());
  const visit = (name: string) => {
    state.set(name, "on the way");
    for (const to of next.get(name)!.sort()) {
      if (state.get(to) === "on the way") continue;
      out.push({ from: name, to });
      if (!state.has(to)) visit(to);
    }
    state.set(name, "done");
  };
  // From those whom nobody calls: then circles are cut where they come back to them.
  for (const name of [...all.filter((n) => !called.has(n)), ...all]) if (!state.has(name)) visit(name);
  return out;
}

/** Orders each column by the middle of the callers' rows. */
function rows(all: string[], column: Map<string, number>, calls: Call[]): Place[] {
  const out = new Map<string, Place>();
  const columns = Math.max(0, ...[...column.values()].map((c) => c + 1));
  for (let c = 0; c < columns; c++) {
    const middle = (name: string) => {
      const from = calls.filter((x) => x.to === name && out.has(x.from)).map((x) => out.get(x.from)!.row);
      return from.length === 0 ? 0 : from.reduce((a, b) => a + b, 0) / from.length;
    };
    const here = all.filter((n) => column.get(n) === c).map((n) => ({ n, at: middle(n) }));
    here.sort((a, b) => a.at - b.at || (a.n < b.n ? -1 : 1));
    here.forEach(({ n }, row) => out.set(n, { name: n, column: c, row }));
  }
  return all.map((n) => out.get(n)!);
}
