// A picture of calls between services.
import type { MeshEdge, MeshServiceState } from "../gen/sterling/ledger/v1/mesh_pb";
import { latency, rate } from "../lib/format";
import { arrange, type Place } from "../lib/graph";

/** More boxes than these nobody can read; the table has all. */
const most = 60;

const box = { width: 176, height: 46, gapX: 104, gapY: 26, margin: 14 };
const unknown = "unknown";

/** Boxes of services and their callers, lines of calls: thicker with their rate, red where they fail. */
export function Graph({ services, edges }: { services: MeshServiceState[]; edges: MeshEdge[] }) {
  const busiest = [...edges].sort((a, b) => b.requestsPerSecond - a.requestsPerSecond);
  const names = new Set<string>();
  for (const e of busiest) {
    if (new Set([...names, e.caller || unknown, e.service]).size > most) break;
    names.add(e.caller || unknown).add(e.service);
  }
  for (const s of services) if (names.size < most) names.add(s.name);
  const drawn = edges.filter((e) => names.has(e.caller || unknown) && names.has(e.service));
  const places = arrange([...names], drawn.map((e) => ({ from: e.caller || unknown, to: e.service })));
  const at = new Map(places.map((p) => [p.name, p]));
  const left = services.filter((s) => !names.has(s.name)).length;
  const height = 2 * box.margin + Math.max(1, ...places.map((p) => p.row + 1)) * (box.height + box.gapY);
  const width = 2 * box.margin + Math.max(1, ...places.map((p) => p.column + 1)) * (box.width + box.gapX) - box.gapX;
  return (
    <div className="topology">
      <svg width={width} height={height} viewBox={`0 0 ${width} ${height}`} role="img" aria-label="Who calls whom" data-testid="topology">
        {drawn.map((e) => (
          <Line key={`${e.caller} ${e.service}`} e={e} from={at.get(e.caller || unknown)!} to={at.get(e.service)!} />
        ))}
        {places.map((p) => (
          <Box key={p.name} p={p} s={services.find((s) => s.name === p.name)} />
        ))}
        {places.map((p) => (
          <Label key={p.name} p={p} calls={drawn.filter((e) => e.service === p.name)} />
        ))}
      </svg>
      {left > 0 && <div className="hint">{left} more services without calls are not drawn.</div>}
    </div>
  );
}

const x = (p: Place) => box.margin + p.column * (box.width + box.gapX);
const y = (p: Place) => box.margin + p.row * (box.height + box.gapY);

/** Where a line begins and ends: from the right of the caller to the left of the service, or around below. */
function ends(from: Place, to: Place) {
  const [x1, y1, x2, y2] = [x(from) + box.width, y(from) + box.height / 2, x(to), y(to) + box.height / 2];
  return to.column > from.column ? { x1, y1, x2, y2, back: false } : { x1: x(from) + box.width / 2, y1: y(from) + box.height, x2: x(to) + box.width / 2, y2: y(to) + box.height, back: true };
}

const tone = (e: MeshEdge) => (e.requestsPerSecond === 0 ? "idle" : e.failuresPerSecond > 0 ? "bad" : "good");

function Line({ e, from, to }: { e: MeshEdge; from: Place; to: Place }) {
  const p = ends(from, to);
  const bend = p.back ? `C ${p.x1} ${p.y1 + 40}, ${p.x2} ${p.y2 + 40}, ${p.x2} ${p.y2}` : `C ${(p.x1 + p.x2) / 2} ${p.y1}, ${(p.x1 + p.x2) / 2} ${p.y2}, ${p.x2} ${p.y2}`;
  return (
    <path className={`call call-${tone(e)}`} d={`M ${p.x1} ${p.y1} ${bend}`} strokeWidth={1.5 + Math.min(4, Math.log10(1 + e.requestsPerSecond))}>
      <title>{`${e.caller || unknown} → ${e.service}: ${rate(e.requestsPerSecond)}/s, p99 ${latency(e.p99Seconds)}, ${rate(e.failuresPerSecond)}/s failed`}</title>
    </path>
  );
}

/** All calls of a service together, left of its box: single lines have theirs in the table, and on hovering. */
function Label({ p, calls }: { p: Place; calls: MeshEdge[] }) {
  if (calls.length === 0) return null;
  const all = calls.reduce((sum, e) => sum + e.requestsPerSecond, 0);
  const failed = calls.reduce((sum, e) => sum + e.failuresPerSecond, 0);
  const [lx, ly] = [x(p) - 8, y(p) + box.height / 2];
  return (
    <g textAnchor="end">
      <text className={all === 0 ? "call-label call-label-idle" : "call-label"} x={lx} y={ly - 7}>
        {all === 0 ? "no calls" : `${rate(all)}/s · ${latency(Math.max(...calls.map((e) => e.p99Seconds)))}`}
      </text>
      {failed > 0 && (
        <text className="call-label call-label-bad" x={lx} y={ly + 17}>{`${((100 * failed) / all).toFixed(1)}% failed`}</text>
      )}
    </g>
  );
}

function Box({ p, s }: { p: Place; s: MeshServiceState | undefined }) {
  const what = !s ? "caller" : [s.protocol, s.holds, `${s.backends} ${s.backends === 1 ? "backend" : "backends"}`].filter(Boolean).join(" · ");
  const name = p.name.length > 22 ? `${p.name.slice(0, 21)}…` : p.name;
  return (
    <g className={`service${s?.holds ? " service-holds" : ""}${s ? "" : " service-outside"}`}>
      <title>{`${p.name}: ${what}${s?.holds ? ", no shadow traffic" : ""}${s && s.cells.length > 0 ? `, in ${s.cells.join(", ")}` : ""}`}</title>
      <rect x={x(p)} y={y(p)} width={box.width} height={box.height} rx={6} />
      <text className="service-name" x={x(p) + 12} y={y(p) + 20}>{name}</text>
      <text className="service-what" x={x(p) + 12} y={y(p) + 36}>{what}</text>
    </g>
  );
}
