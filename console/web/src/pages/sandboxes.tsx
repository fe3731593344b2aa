// Sandboxes: what runs with a kernel of its own, the processes in it with what they executed, and its record as it grows.
import { useQuery } from "@tanstack/react-query";
import { Button } from "antd";
import { useNavigate, useParams } from "react-router";
import type { GetSandboxResponse, Sandbox, SandboxLine, SandboxProcess } from "../gen/sterling/ledger/v1/sandbox_pb";
import { sandboxes } from "../lib/api";
import { count, grouped, short } from "../lib/format";
import { useList } from "../lib/keys";
import { livePeriod } from "../lib/live";
import { eventText, forest, isolationNote, statusText } from "../lib/sandboxes";
import { Empty, Failed, Waiting } from "../parts/states";
import { Copy, Count, Facts, Panel, Tag, Time, type Tone } from "../parts/values";

/** All sandboxes, or the one that the path names. */
export function SandboxesPage() {
  const { id } = useParams();
  return id ? <One id={id} /> : <All />;
}

const tones: Record<string, Tone> = { running: "good", starting: "info", paused: "warn", ended: "quiet", lost: "bad" };

function State({ s }: { s: Sandbox }) {
  return <Tag tone={tones[s.state] ?? "quiet"}>{s.state}</Tag>;
}

/** What the record lacks, in as few words as there are. */
function Breaks({ s }: { s: Sandbox }) {
  if (s.gaps === 0n && s.alerts === 0n) return <span className="zero">none</span>;
  return (
    <>
      {s.gaps > 0n && <Tag tone="bad">{count(Number(s.gaps), "gap")}</Tag>} {s.alerts > 0n && <Tag tone="warn">{count(Number(s.alerts), "alert")}</Tag>}
    </>
  );
}

function All() {
  const navigate = useNavigate();
  const q = useQuery({ queryKey: ["sandboxes"], queryFn: ({ signal }) => sandboxes.listSandboxes({}, { signal }), refetchInterval: 2 * livePeriod });
  const list = q.data?.sandboxes ?? [];
  const open = (i: number) => list[i] && void navigate(`/sandboxes/${encodeURIComponent(list[i].id)}`);
  const [at] = useList(list.length, open);
  if (q.error && !q.data) return <Panel title="Sandboxes"><Failed error={q.error} what="The view of sandboxes" retry={() => void q.refetch()} /></Panel>;
  if (!q.data) return <Panel title="Sandboxes"><Waiting rows={6} /></Panel>;
  if (list.length === 0) {
    return <Panel title="Sandboxes"><Empty title="No sandbox was started">sterling sandbox run POLICY starts one; it is shown here until it is removed.</Empty></Panel>;
  }
  return (
    <Panel title={count(list.length, "sandbox", "sandboxes")} extra={`${list.filter((s) => s.state === "running").length} running`} flush>
      <table className="grid" data-testid="sandboxes">
        <thead>
          <tr>
            <th>Sandbox</th>
            <th>State</th>
            <th>Isolation</th>
            <th>Began</th>
            <th>Ended</th>
            <th className="right">Exit</th>
            <th className="right">Events</th>
            <th>Breaks in the record</th>
            <th>Known to a log</th>
          </tr>
        </thead>
        <tbody>
          {list.map((s, i) => (
            <tr key={s.id} className={`opens${i === at ? " marked" : ""}`} data-at={i === at} onClick={() => open(i)}>
              <td className="flow-name">
                <b>{s.id}</b>
                <div className="quiet mono sandbox-command">{s.command.join(" ")}</div>
              </td>
              <td>
                <State s={s} />
                {s.reason && <div className="quiet flow-reason">{s.reason}</div>}
              </td>
              <td className="mono">{s.isolation}</td>
              <td><Time ns={s.created} /></td>
              <td><Time ns={s.ended} /></td>
              <td className="right num">{s.exit === undefined ? <span className="zero">–</span> : s.exit}</td>
              <td className="right"><Count n={s.events} /></td>
              <td><Breaks s={s} /></td>
              <td>{s.loggedIn === "" || s.logFault !== "" ? <Tag tone="warn">{s.logFault || "by none"}</Tag> : <span className="quiet">{grouped(s.loggedLines)} lines</span>}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Panel>
  );
}

/** Lines of the record that are asked for at a time. */
const shownLines = 200;

function One({ id }: { id: string }) {
  const navigate = useNavigate();
  const q = useQuery({ queryKey: ["sandbox", id], queryFn: ({ signal }) => sandboxes.getSandbox({ id, limit: shownLines }, { signal }), refetchInterval: livePeriod });
  const back = <Button size="small" onClick={() => void navigate("/sandboxes")}>All sandboxes</Button>;
  if (q.error && !q.data) return <Panel title={id} extra={back}><Failed error={q.error} what="The view of sandboxes" retry={() => void q.refetch()} /></Panel>;
  if (!q.data?.sandbox) return <Panel title={id} extra={back}><Waiting rows={8} /></Panel>;
  const s = q.data.sandbox;
  return (
    <div className="stack">
      <Broken r={q.data} />
      <Panel title={<>{s.id} <State s={s} /></>} extra={back}>
        <Facts
          wide
          rows={[
            ["Command", <span key="c" className="mono wraps">{s.command.join(" ")}</span>],
            ["Isolation", `${s.isolation}${isolationNote(s.isolation)}`],
            ["Began", <Time key="b" ns={s.created} full />],
            ["Ended", s.ended > 0n ? <Time key="e" ns={s.ended} full /> : "it has not"],
            ["Exit status", s.exit === undefined ? <span className="zero">–</span> : String(s.exit)],
            ["Why", s.reason || <span className="zero">–</span>],
            ["Root", <span key="r" className="mono wraps">{s.root}</span>],
            ["Policy", <Hash key="p" text={s.policySha256} />],
          ]}
        />
      </Panel>
      <Processes r={q.data} />
      <Record r={q.data} s={s} />
    </div>
  );
}

function Hash({ text }: { text: string }) {
  if (text === "") return <span className="zero">–</span>;
  return (
    <span className="id">
      <span className="mono" title={text}>{short(text, 8)}</span>
      <Copy text={text} />
    </span>
  );
}

/** Why the record is not all that happened, or not what was written. */
function Broken({ r }: { r: GetSandboxResponse }) {
  if (r.fault !== "") {
    return (
      <Panel className="unproven" title="The record was changed" extra="what follows the fault is not shown, and nothing in it is evidence">
        <p className="wraps" role="alert">{r.fault}</p>
      </Panel>
    );
  }
  if (r.breaks.length === 0) return null;
  return (
    <Panel className="unproven" title={count(r.breaks.length, "break in the record", "breaks in the record")} extra="places where it does not show all that happened, and rules that fired">
      <Lines lines={r.breaks} testid="breaks" />
    </Panel>
  );
}

function Processes({ r }: { r: GetSandboxResponse }) {
  const rows = forest(r.processes);
  const left = r.processesLeftOut > 0n ? `${grouped(r.processesLeftOut)} that ended are left out` : "by what the sandbox's kernel told; hashes are of the files that were executed";
  return (
    <Panel title={count(r.processes.length, "process", "processes")} extra={left} flush>
      {rows.length === 0 ? (
        <Empty title="No process is known yet" />
      ) : (
        <table className="grid" data-testid="processes">
          <thead>
            <tr>
              <th>Process</th>
              <th className="right">Id</th>
              <th className="right">User</th>
              <th>SHA-256</th>
              <th>Began</th>
              <th>Ended</th>
              <th>How</th>
            </tr>
          </thead>
          <tbody>
            {rows.map(({ p, depth }) => (
              <tr key={`${p.id}-${p.began}`}>
                <td className="sandbox-process"><Indent depth={depth} /><Argv p={p} /></td>
                <td className="right num">{String(p.id)}</td>
                <td className="right num">{p.uid}</td>
                <td><Hash text={p.sha256} /></td>
                <td><Time ns={p.began} /></td>
                <td><Time ns={p.ended} /></td>
                <td>{p.ended === 0n ? <Tag tone="good">runs</Tag> : statusText(p.status)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Panel>
  );
}

function Indent({ depth }: { depth: number }) {
  return <span className="quiet mono">{depth > 0 ? `${"  ".repeat(Math.min(depth, 12) - 1)}└ ` : ""}</span>;
}

function Argv({ p }: { p: SandboxProcess }) {
  return (
    <>
      <b className="mono">{p.path || "?"}</b> <span className="quiet mono">{p.argv.slice(1).join(" ")}</span> {p.session && <Tag tone="info">by exec</Tag>}
    </>
  );
}

function Record({ r, s }: { r: GetSandboxResponse; s: Sandbox }) {
  const newest = [...r.lines].reverse();
  return (
    <Panel title="Record" extra={<>{grouped(r.verified)} lines verified · head <Hash text={s.head} /></>} flush>
      {newest.length === 0 ? <Empty title="Nothing is verified yet">Each line is shown once its hash follows from those before it.</Empty> : <Lines lines={newest} testid="record" />}
    </Panel>
  );
}

const kindTones: Record<string, Tone> = { gap: "bad", alert: "warn", begin: "info", end: "info", host: "quiet" };

function Lines({ lines, testid }: { lines: SandboxLine[]; testid: string }) {
  return (
    <table className="grid" data-testid={testid}>
      <thead>
        <tr>
          <th className="right">Line</th>
          <th>Time</th>
          <th>Kind</th>
          <th>What</th>
        </tr>
      </thead>
      <tbody>
        {lines.map((l) => {
          const e = eventText(l.kind, l.body);
          return (
            <tr key={String(l.seq)}>
              <td className="right num">{grouped(l.seq)}</td>
              <td><Time ns={l.time} /></td>
              <td>{kindTones[l.kind] ? <Tag tone={kindTones[l.kind]!}>{l.kind}</Tag> : <span className="mono">{e.point}</span>}</td>
              <td className="mono wraps sandbox-what" title={l.body.slice(0, 2000)}>{e.text}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
