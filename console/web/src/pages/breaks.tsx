// Breaks: the list to triage at the left, one of them with its evidence at the right.
import { useInfiniteQuery } from "@tanstack/react-query";
import { Button, Segmented, Select } from "antd";
import { useState } from "react";
import { useNavigate, useParams, useSearchParams } from "react-router";
import type { FrozenState } from "../gen/sterling/ledger/v1/ledger_pb";
import { BreakState } from "../gen/sterling/watch/v1/watch_pb";
import { watch } from "../lib/api";
import { useFreezes } from "../lib/freezes";
import { words } from "../lib/format";
import { useKeys, useList } from "../lib/keys";
import { livePeriod, useWatch } from "../lib/live";
import { freezeMode, frozen } from "../lib/names";
import { token, tokenId } from "../lib/session";
import { BreakDetail } from "../parts/breakdetail";
import { BreakList, groupCount } from "../parts/breaklist";
import { LiftDialog } from "../parts/lift";
import { Empty, Failed, Waiting } from "../parts/states";
import { Panel, Tag, Time } from "../parts/values";

const states = [
  { value: BreakState.OPEN, label: "Open" },
  { value: BreakState.EXPLAINED, label: "Explained" },
  { value: BreakState.REPAIRED, label: "Repaired" },
  { value: BreakState.ACCEPTED, label: "Accepted" },
  { value: BreakState.UNSPECIFIED, label: "All" },
];

/** Triage. */
export function BreaksPage() {
  const { id = "" } = useParams();
  const navigate = useNavigate();
  const [params, setParams] = useSearchParams();
  const w = useWatch();
  const flows = w.state === "running" ? w.proof.flows : [];
  const state = states.find((s) => s.label.toLowerCase() === params.get("state"))?.value ?? BreakState.OPEN;
  const flow = params.get("flow") ?? "";
  const breakClass = params.get("class") ?? "";
  const [classes, setClasses] = useState<string[]>([]);
  const q = useInfiniteQuery({
    queryKey: ["breaks", state, flow, breakClass],
    initialPageParam: "",
    queryFn: ({ signal, pageParam }) => watch.listBreaks({ state, flow, class: breakClass, roots: true, limit: 100, after: pageParam }, { signal }),
    getNextPageParam: (last) => last.next || undefined,
    refetchInterval: (query) => ((query.state.data?.pages.length ?? 1) > 3 ? 10_000 : 2 * livePeriod),
  });
  const list = q.data?.pages.flatMap((p) => p.breaks) ?? [];
  const seen = [...new Set([...classes, ...list.map((b) => b.class), ...(breakClass ? [breakClass] : [])])].sort();
  if (seen.length !== classes.length) setClasses(seen);
  const query = params.toString() ? `?${params}` : "";
  const open = (which: string) => void navigate(`/breaks/${which}${query}`);
  const [marked] = useList(list.length, (i) => list[i] && open(list[i].id));
  useKeys({ Escape: () => id !== "" && void navigate(`/breaks${query}`) });
  const set = (name: string, value: string) => {
    const next = new URLSearchParams(params);
    if (value) next.set(name, value);
    else next.delete(name);
    setParams(next, { replace: true });
  };
  return (
    <div className={`triage${id ? " has-detail" : ""}`}>
      <div className="triage-list">
        <div className="bar-tools">
          <Segmented size="small" value={state} options={states} onChange={(v) => set("state", v === BreakState.OPEN ? "" : (states.find((s) => s.value === v)?.label.toLowerCase() ?? ""))} />
          <Select size="small" allowClear placeholder="All flows" aria-label="Flow" className="filter-wide" value={flow || undefined} onChange={(v) => set("flow", v ?? "")} options={flows.map((f) => ({ value: f.flow, label: f.title || f.flow }))} />
          <Select size="small" allowClear showSearch placeholder="All classes" aria-label="Class" className="filter-wide" value={breakClass || undefined} onChange={(v) => set("class", v ?? "")} options={seen.map((c) => ({ value: c, label: words(c) }))} />
        </div>
        <Freezes />
        <Panel title={q.data ? groupCount(list) : "Breaks"} extra={state === BreakState.OPEN ? "newest first, one row for each cause" : "newest first"} flush>
          {q.error && !q.data ? (
            <Failed error={q.error} what="Watch" retry={() => void q.refetch()} />
          ) : !q.data ? (
            <Waiting rows={8} />
          ) : list.length === 0 ? (
            <Empty title={state === BreakState.OPEN ? "No open breaks" : "None"}>{flow || breakClass ? "None with this flow and class." : state === BreakState.OPEN ? "Watch has found nothing that is not explained, repaired or accepted." : "None in this state."}</Empty>
          ) : (
            <>
              <BreakList breaks={list} open={open} marked={marked} shown={id} />
              {q.hasNextPage && (
                <div className="pager">
                  <span />
                  <Button size="small" loading={q.isFetchingNextPage} onClick={() => void q.fetchNextPage()}>
                    More
                  </Button>
                </div>
              )}
            </>
          )}
        </Panel>
      </div>
      {id ? (
        <BreakDetail key={id} id={id} close={() => void navigate(`/breaks${query}`)} />
      ) : (
        <div className="triage-none">
          <Empty title="Choose a break">
            <kbd>j</kbd> <kbd>k</kbd> to walk the list, <kbd>Enter</kbd> to open.
          </Empty>
        </div>
      )}
    </div>
  );
}

/** What is stopped now, above the list: whoever mends a break has to lift it. */
function Freezes() {
  const { list } = useFreezes();
  const [lifted, setLifted] = useState<FrozenState | null>(null);
  const own = tokenId(token());
  if (!list || list.length === 0) return null;
  return (
    <Panel title="Frozen now" extra={`${list.length} in force; lifting one takes a second person`} flush>
      <table className="grid" data-testid="freezes">
        <tbody>
          {list.slice(0, 8).map((f) => (
            <tr key={f.id}>
              <td>
                <Tag tone="info">{freezeMode(f.mode)}</Tag> {frozen(f)}
              </td>
              <td className="quiet">{f.reason}</td>
              <td className="right narrow"><Time ns={f.timestamp} /></td>
              <td className="narrow"><Button size="small" disabled={f.actor === own} title={f.actor === own ? "You froze it: another person lifts it" : ""} onClick={() => setLifted(f)}>Lift</Button></td>
            </tr>
          ))}
        </tbody>
      </table>
      {list.length > 8 && <div className="hint">and {list.length - 8} more: sterling ledger freezes</div>}
      {lifted && <LiftDialog freeze={lifted} close={() => setLifted(null)} />}
    </Panel>
  );
}
