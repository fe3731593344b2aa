// Mesh: who calls whom, how often, how long it takes and what fails; and how the data planes are.
import { Code, ConnectError } from "@connectrpc/connect";
import { useQuery } from "@tanstack/react-query";
import { Drawer } from "antd";
import { useState } from "react";
import { MeshFailure, type GetTopologyResponse, type MeshEdge, type MeshNode } from "../gen/sterling/ledger/v1/mesh_pb";
import { mesh } from "../lib/api";
import { count, duration, grouped, latency, rate } from "../lib/format";
import { useList } from "../lib/keys";
import { livePeriod } from "../lib/live";
import { Graph } from "../parts/graph";
import { Empty, Failed, Waiting } from "../parts/states";
import { Count, Facts, Panel, Tag } from "../parts/values";

/** The live topology. */
export function MeshPage() {
  const q = useQuery({ queryKey: ["mesh"], queryFn: ({ signal }) => mesh.getTopology({}, { signal }), refetchInterval: livePeriod });
  const [shown, setShown] = useState("");
  const one = useQuery({ queryKey: ["mesh", shown], queryFn: ({ signal }) => mesh.getTopology({ node: shown }, { signal }), refetchInterval: livePeriod, enabled: shown !== "" });
  // A server that runs none says so at once; what was shown before is of another one.
  if (q.error instanceof ConnectError && q.error.code === Code.FailedPrecondition) return <NoMesh />;
  if (q.error && !q.data) return <Panel title="Mesh"><Failed error={q.error} what="The mesh's control plane" retry={() => void q.refetch()} /></Panel>;
  if (!q.data) return <Panel title="Mesh"><Waiting rows={8} /></Panel>;
  const t = q.data;
  const node = one.data?.nodes.find((n) => n.name === shown);
  return (
    <div className="stack">
      {t.refusal && <div className="banner banner-boxed banner-bad" role="alert" data-testid="refusal"><b>The desired state is not in use.</b> {t.refusal}</div>}
      <Panel title={`Mesh ${t.domain}`} extra={`configuration ${grouped(t.generation)}; calls a second and p99 of the last 10 to 20 seconds`} flush>
        {t.generation === 0n ? (
          <Empty title="No desired state is in use yet">Until one is, data planes keep what they have.</Empty>
        ) : (
          <Graph services={t.services} edges={t.edges} />
        )}
      </Panel>
      <Calls edges={t.edges} planes={t.nodes.length} />
      <Planes t={t} open={setShown} />
      <Drawer open={node !== undefined} onClose={() => setShown("")} size={680} title={node && shortName(node.name)} destroyOnHidden>
        {node && <Plane n={node} />}
      </Drawer>
    </div>
  );
}

function NoMesh() {
  return (
    <Panel title="Mesh">
      <Empty title="This server runs no mesh">
        Give it desired state by <code>mesh.state</code> and <code>mesh.domain</code> in its configuration. A control plane of its own, <code>sterling mesh control</code>, is asked by <code>sterling mesh topology</code>.
      </Empty>
    </Panel>
  );
}

/** spiffe://DOMAIN/cell/CELL/svc/NAME#INSTANCE without what all have in common. */
function shortName(name: string): string {
  const m = /^spiffe:\/\/[^/]+\/cell\/([^/]+)\/svc\/([^#]+)#(.*)$/.exec(name);
  return m ? `${m[2]} · ${m[1]} · ${m[3]}` : name;
}

const kinds: Record<MeshFailure, string> = {
  [MeshFailure.UNSPECIFIED]: "other",
  [MeshFailure.REFUSED]: "refused",
  [MeshFailure.OVERLOAD]: "overload",
  [MeshFailure.UNREACHABLE]: "unreachable",
  [MeshFailure.TIMEOUT]: "timed out",
  [MeshFailure.BROKEN]: "broke off",
  [MeshFailure.UPSTREAM]: "answered 5xx",
  [MeshFailure.INJECTED]: "injected",
  [MeshFailure.INVALID]: "invalid",
};

function Calls({ edges, planes }: { edges: MeshEdge[]; planes: number }) {
  return (
    <Panel title="Calls" extra="as the callers' data planes saw them" flush>
      {edges.length === 0 ? (
        planes === 0 ? (
          <Empty title="No data plane is connected">Start one beside a service: sterling mesh node.</Empty>
        ) : (
          <Empty title="No calls yet" />
        )
      ) : (
        <table className="grid" data-testid="calls">
          <thead>
            <tr>
              <th>Caller</th>
              <th>Service</th>
              <th className="right">Calls/s</th>
              <th className="right">Failed/s</th>
              <th className="right">Failed</th>
              <th className="right">p50</th>
              <th className="right">p99</th>
              <th>Why</th>
            </tr>
          </thead>
          <tbody>
            {edges.map((e) => (
              <tr key={`${e.caller} ${e.service}`}>
                <td><b>{e.caller || <span className="zero">unknown</span>}</b></td>
                <td><b>{e.service}</b></td>
                <td className="right num">{rate(e.requestsPerSecond)}</td>
                <td className="right num">{e.failuresPerSecond > 0 ? rate(e.failuresPerSecond) : <span className="zero">0</span>}</td>
                <td className="right">{e.failuresPerSecond > 0 ? <Tag tone="bad">{((100 * e.failuresPerSecond) / e.requestsPerSecond).toFixed(1)}%</Tag> : <span className="zero">–</span>}</td>
                <td className="right num">{latency(e.p50Seconds)}</td>
                <td className="right num">{latency(e.p99Seconds)}</td>
                <td className="quiet">{e.failures.map((f) => `${kinds[f.kind]} ${rate(f.perSecond)}/s`).join(", ")}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Panel>
  );
}

function Planes({ t, open }: { t: GetTopologyResponse; open: (name: string) => void }) {
  const [at] = useList(t.nodes.length, (i) => t.nodes[i] && open(t.nodes[i].name));
  const current = t.nodes.filter((n) => n.refusal === "" && n.generation === t.generation).length;
  return (
    <Panel title={count(t.nodes.length, "data plane")} extra={t.nodes.length > 0 ? `${current} with configuration ${grouped(t.generation)}` : undefined} flush>
      {t.nodes.length > 0 && (
        <table className="grid" data-testid="planes">
          <thead>
            <tr>
              <th>Data plane</th>
              <th>Kind</th>
              <th>Configuration</th>
              <th className="right">Calls/s</th>
              <th className="right">Failed/s</th>
              <th>Backends out</th>
              <th className="right">Certificate ends</th>
            </tr>
          </thead>
          <tbody>
            {t.nodes.map((n, i) => (
              <tr key={n.name} className={`opens${i === at ? " marked" : ""}`} data-at={i === at} onClick={() => open(n.name)}>
                <td><b>{shortName(n.name)}</b></td>
                <td>{n.kind}</td>
                <td><Configuration n={n} newest={t.generation} /></td>
                <td className="right num">{n.reports ? rate(n.requestsPerSecond) : <span className="zero">not told</span>}</td>
                <td className="right num">{n.reports && n.failuresPerSecond > 0 ? rate(n.failuresPerSecond) : <span className="zero">–</span>}</td>
                <td><Ejected n={n} /></td>
                <td className="right num"><Until n={n} now={t.timestamp} /></td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Panel>
  );
}

function Configuration({ n, newest }: { n: MeshNode; newest: bigint }) {
  if (n.refusal !== "") return <Tag tone="bad">refused</Tag>;
  return n.generation < newest ? <Tag tone="warn">has {grouped(n.generation)}</Tag> : <Tag tone="good">{grouped(n.generation)}</Tag>;
}

function Ejected({ n }: { n: MeshNode }) {
  const out = n.clusters.filter((k) => k.ejected > 0);
  if (out.length === 0) return <span className="zero">{n.reports ? "none" : "–"}</span>;
  return <Tag tone="warn">{out.map((k) => `${k.name}: ${k.ejected} of ${k.endpoints}`).join(", ")}</Tag>;
}

/** What is left of a certificate; below a quarter of an hour something that should have renewed it has not. */
function Until({ n, now }: { n: MeshNode; now: bigint }) {
  if (n.certificateUntil === 0n) return <span className="zero">–</span>;
  if (n.certificateUntil <= now) return <Tag tone="bad">is over</Tag>;
  return <>in {duration(((n.certificateUntil - now) / 1_000_000_000n) * 1_000_000_000n)}</>;
}

function Plane({ n }: { n: MeshNode }) {
  return (
    <div className="stack" data-testid="plane">
      <Facts rows={[["Name", <span key="n" className="mono">{n.name}</span>], ["Kind", n.kind], ["Refuses", n.refusal || <span className="zero">nothing</span>]]} />
      {!n.reports && <Empty title="It reports no calls">Only our own data planes do; one that did fell silent.</Empty>}
      {n.clusters.length > 0 && (
        <table className="grid">
          <thead>
            <tr>
              <th>Goes to</th>
              <th className="right">Backends</th>
              <th className="right">Out</th>
              <th className="right">In flight, of at most</th>
              <th className="right">Refused by breaker</th>
              <th className="right">Shed</th>
            </tr>
          </thead>
          <tbody>
            {n.clusters.map((k) => (
              <tr key={k.name}>
                <td><b>{k.name}</b></td>
                <td className="right"><Count n={k.endpoints} /></td>
                <td className="right">{k.ejected > 0 ? <Tag tone="warn">{k.ejected}</Tag> : <span className="zero">0</span>}</td>
                <td className="right num">{grouped(k.inFlight)} of {grouped(k.most)}</td>
                <td className="right"><Count n={k.refused} /></td>
                <td className="right"><Count n={k.shed} /></td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {n.routes.length > 0 && (
        <table className="grid">
          <thead>
            <tr>
              <th>Route</th>
              <th className="right">Requests</th>
              <th className="right">5xx</th>
              <th className="right">Sent again</th>
            </tr>
          </thead>
          <tbody>
            {n.routes.map((r) => (
              <tr key={r.name}>
                <td className="wraps">{r.name}</td>
                <td className="right"><Count n={r.requests} /></td>
                <td className="right"><Count n={r.failures} /></td>
                <td className="right"><Count n={r.retries} /></td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </div>
  );
}
