// Flows: what is covered by two witnesses, how late the witnesses are, and what is not proven at all.
import { useQuery } from "@tanstack/react-query";
import { Button, Drawer } from "antd";
import { useState, type ReactNode } from "react";
import { useNavigate } from "react-router";
import type { FlowProof, GetProofResponse, Source } from "../gen/sterling/watch/v1/watch_pb";
import { watch } from "../lib/api";
import { count, duration, grouped, percent } from "../lib/format";
import { useList } from "../lib/keys";
import { livePeriod, useWatch } from "../lib/live";
import { Empty, Failed, Waiting } from "../parts/states";
import { Count, Copy, Facts, Panel, Tag, Time } from "../parts/values";

/** Coverage, sources and definitions. */
export function FlowsPage() {
  const w = useWatch();
  const [shown, setShown] = useState<string | null>(null);
  const list = useQuery({ queryKey: ["flows"], queryFn: ({ signal }) => watch.listFlows({}, { signal }), refetchInterval: 2 * livePeriod });
  if (list.error && !list.data) return <Panel title="Flows"><Failed error={list.error} what="Watch" retry={() => void list.refetch()} /></Panel>;
  if (!list.data) return <Panel title="Flows"><Waiting rows={8} /></Panel>;
  const flows = list.data.flows;
  const at = flows.findIndex((f) => f.flow === shown);
  const now = w.state === "running" ? w.proof.now : 0n;
  return (
    <div className="stack">
      <NotProven flows={flows} />
      <FlowTable flows={flows} now={now} open={setShown} />
      <Sources proof={w.state === "running" ? w.proof : undefined} />
      <Drawer open={at >= 0} onClose={() => setShown(null)} size={620} title={flows[at]?.title || flows[at]?.flow} destroyOnHidden>
        {flows[at] && <Definition f={flows[at]} yaml={list.data.definitions[at] ?? ""} />}
      </Drawer>
    </div>
  );
}

/** The reason without the words that the page says already. */
const why = (f: FlowProof) => f.reason.replace(/^not proven: /, "");

function NotProven({ flows }: { flows: FlowProof[] }) {
  const bad = flows.filter((f) => !f.proven);
  if (bad.length === 0) return null;
  return (
    <Panel className="unproven" title={`Not proven: ${count(bad.length, "flow")}`} extra="money here moves without two independent witnesses; it is never counted as safe">
      <Facts rows={bad.map((f) => [f.title || f.flow, why(f) || "one witness only"])} />
    </Panel>
  );
}

function FlowTable({ flows, now, open }: { flows: FlowProof[]; now: bigint; open: (flow: string) => void }) {
  const navigate = useNavigate();
  const [at] = useList(flows.length, (i) => flows[i] && open(flows[i].flow));
  if (flows.length === 0) {
    return <Panel title="Flows"><Empty title="No flows are declared">Flows are YAML files; sterling watch check reads them. Without flows, watch proves the journal only.</Empty></Panel>;
  }
  return (
    <Panel title={count(flows.length, "flow")} extra={`${flows.filter((f) => f.proven).length} proven by two witnesses`} flush>
      <table className="grid" data-testid="flows">
        <thead>
          <tr>
            <th>Flow</th>
            <th>Coverage</th>
            <th>Safe through</th>
            <th className="right">Behind</th>
            <th className="right">Open</th>
            <th className="right">Complete</th>
            <th className="right">Late</th>
            <th className="right">p50</th>
            <th className="right">p99</th>
            <th className="right">Breaks</th>
            <th>Witnesses</th>
          </tr>
        </thead>
        <tbody>
          {flows.map((f, i) => (
            <tr key={f.flow} className={`opens${i === at ? " marked" : ""}`} data-at={i === at} onClick={() => open(f.flow)}>
              <td className="flow-name">
                <b>{f.title || f.flow}</b>
                <div className="quiet mono">{f.flow}</div>
              </td>
              <td>{!f.proven ? <Tag tone="warn">not proven</Tag> : f.safeThrough === 0n ? <Tag tone="warn">nothing yet</Tag> : f.reason ? <Tag tone="warn">stands</Tag> : <Tag tone="good">proven</Tag>}</td>
              <td>
                {f.proven ? <Time ns={f.safeThrough} /> : <span className="zero">–</span>}
                {f.reason && <div className="quiet flow-reason">{why(f)}</div>}
              </td>
              <td className="right num">{f.proven && f.safeThrough > 0n && now > f.safeThrough ? duration(now - f.safeThrough) : <span className="zero">–</span>}</td>
              <td className="right"><Count n={f.openKeys} /></td>
              <td className="right"><Count n={f.closedKeys} /></td>
              <td className="right num">{percent(f.lateKeys, f.closedKeys)}</td>
              <td className="right num">{f.closedKeys > 0n ? duration(f.latenessP50) : <span className="zero">–</span>}</td>
              <td className="right num">{f.closedKeys > 0n ? duration(f.latenessP99) : <span className="zero">–</span>}</td>
              <td className="right">
                {f.openBreaks > 0n ? (
                  <a onClick={(e) => { e.stopPropagation(); void navigate(`/breaks?flow=${encodeURIComponent(f.flow)}`); }}><Tag tone="bad">{grouped(f.openBreaks)}</Tag></a>
                ) : (
                  <span className="zero">0</span>
                )}
              </td>
              <td className="quiet flow-witnesses">{f.sources.join(", ") || <span className="zero">none</span>}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Panel>
  );
}

function Sources({ proof }: { proof: GetProofResponse | undefined }) {
  const q = useQuery({ queryKey: ["sources"], queryFn: ({ signal }) => watch.listSources({}, { signal }), refetchInterval: 2 * livePeriod });
  const sources = q.data?.sources ?? [];
  return (
    <Panel title="Witnesses" extra="what each has told, by its own numbers and its own clock" flush>
      {q.error && !q.data ? (
        <Failed error={q.error} what="Watch" />
      ) : !q.data ? (
        <Waiting rows={3} />
      ) : sources.length === 0 ? (
        <Empty title="No witness has spoken">Until one does, flows that need it stand still. Sources speak through WatchService.Observe.</Empty>
      ) : (
        <table className="grid" data-testid="sources">
          <thead>
            <tr>
              <th>Source</th>
              <th>State</th>
              <th className="right">Through number</th>
              <th>Told everything through</th>
              <th className="right">Heard</th>
              <th className="right">Observations</th>
            </tr>
          </thead>
          <tbody>
            {sources.map((s) => (
              <tr key={s.name}>
                <td><b>{s.name}</b></td>
                <td><SourceState s={s} /></td>
                <td className="right"><Count n={s.throughSeq} /></td>
                <td><Time ns={s.throughTime} /></td>
                <td className="right num">{proof && s.heard > 0n ? (proof.now > s.heard ? `${duration(proof.now - s.heard)} ago` : "now") : <Time ns={s.heard} />}</td>
                <td className="right"><Count n={s.observations} /></td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Panel>
  );
}

function SourceState({ s }: { s: Source }) {
  if (s.missingFrom > 0n) {
    const range = s.missingFrom === s.missingTo ? grouped(s.missingFrom) : `${grouped(s.missingFrom)} to ${grouped(s.missingTo)}`;
    return <Tag tone="bad">waits for number {range}</Tag>;
  }
  return s.silent ? <Tag tone="warn">silent</Tag> : <Tag tone="good">speaks</Tag>;
}

function Definition({ f, yaml }: { f: FlowProof; yaml: string }) {
  const navigate = useNavigate();
  return (
    <div className="stack">
      <Facts
        rows={[
          ["Name", <span key="n" className="mono">{f.flow}</span>],
          ["Coverage", f.proven ? "two independent witnesses" : why(f) || "one witness only"],
          ["Witnesses", f.sources.join(", ") || "none"],
          ["Stands because", f.proven && f.reason ? why(f) : <span className="zero">it follows the clock</span>],
        ]}
      />
      <div className="actions">
        <Button size="small" onClick={() => void navigate(`/breaks?flow=${encodeURIComponent(f.flow)}`)}>Its breaks</Button>
        <span className="yaml-copy"><Copy text={yaml} /> <span className="quiet">definition as configured</span></span>
      </div>
      {yaml ? <pre className="yaml mono" data-testid="yaml">{yaml.split("\n").map(yamlLine)}</pre> : <Empty title="The server gave no definition" />}
    </div>
  );
}

/** Keys and comments of YAML apart from values: enough to read it. */
function yamlLine(line: string, i: number): ReactNode {
  const m = /^(\s*(?:- )?)([A-Za-z_][\w-]*:)(.*)$/.exec(line);
  if (/^\s*#/.test(line)) return <span key={i} className="yaml-comment">{line}{"\n"}</span>;
  if (!m) return <span key={i}>{line}{"\n"}</span>;
  return (
    <span key={i}>
      {m[1]}
      <span className="yaml-key">{m[2]}</span>
      {m[3]}
      {"\n"}
    </span>
  );
}
