// Proofs: what the ledger signed about itself, checked in this browser.
import { CheckCircleFilled, CloseCircleFilled, LoadingOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Drawer } from "antd";
import { useState } from "react";
import type { GetAuditStatusResponse, SignedCheckpoint } from "../gen/sterling/watch/v1/audit_pb";
import { audit, auditFile } from "../lib/api";
import { codeOf, grouped, hex, short } from "../lib/format";
import { useList } from "../lib/keys";
import { verifierText } from "../proof/note";
import { fingerprint, verify, type Remembered, type Report } from "../proof/verify";
import { Empty, Failed, Waiting } from "../parts/states";
import { Amount, Copy, Count, Facts, Id, Panel, Tag, Time } from "../parts/values";

const place = "sterling.log";
const perPage = 25;
const period = 5000;

/** What this browser saw of the log; it is public, and outlives the session on purpose. */
function remembered(): Remembered | null {
  try {
    const r = JSON.parse(localStorage.getItem(place) ?? "null") as Remembered | null;
    return r && typeof r.key === "string" && typeof r.root === "string" && Number.isSafeInteger(r.size) ? r : null;
  } catch {
    return null;
  }
}

/** Lists entries, then checks the log as it is after that: so every entry listed must be in it. */
async function load(before: bigint, signal: AbortSignal): Promise<{ status: GetAuditStatusResponse; list: SignedCheckpoint[]; report: Report | null; verifier: string }> {
  const status = await audit.getAuditStatus({}, { signal });
  const { checkpoints: list } = await audit.listCheckpoints({ limit: perPage, before }, { signal });
  if (!window.isSecureContext || status.size === 0n) return { status, list, report: null, verifier: "" };
  const report = await verify(list, (path) => auditFile(`/audit/${path}`), remembered());
  if (report.remember) localStorage.setItem(place, JSON.stringify(report.remember));
  return { status, list, report, verifier: report.verifier ? await verifierText(report.verifier) : "" };
}

/** Checkpoints and their verification. */
export function ProofsPage() {
  const [before, setBefore] = useState<bigint[]>([]);
  const [shown, setShown] = useState<bigint | null>(null);
  const at = before.at(-1) ?? 0n;
  const q = useQuery({ queryKey: ["audit", at.toString()], queryFn: ({ signal }) => load(at, signal), refetchInterval: period, structuralSharing: false });
  if (q.error && !q.data) return <Panel title="Transparency log"><Failed error={q.error} what="The transparency log" retry={() => void q.refetch()} /></Panel>;
  if (!q.data) return <Panel title="Transparency log" extra={<span className="quiet"><LoadingOutlined /> checking</span>}><Waiting rows={10} /></Panel>;
  const { status, list, report, verifier } = q.data;
  const open = list.find((c) => c.index === shown);
  return (
    <div className="stack">
      {status.failure !== "" && (
        <div className="banner banner-bad banner-boxed" role="alert">
          <b>No new entries are made.</b> {status.failure}
        </div>
      )}
      <div className="row row-2">
        <Checks report={report} status={status} again={() => void q.refetch()} busy={q.isFetching} />
        <Log status={status} verifier={verifier} report={report} />
      </div>
      <Entries list={list} report={report} open={setShown} page={before.length} older={() => setBefore([...before, list.at(-1)?.index ?? 0n])} newer={() => setBefore(before.slice(0, -1))} />
      <Drawer open={open !== undefined} onClose={() => setShown(null)} size={640} title={open ? `Entry ${grouped(open.index)}` : ""} destroyOnHidden>
        {open && <Entry c={open} verdict={report?.entries.get(open.index.toString())} />}
      </Drawer>
    </div>
  );
}

function Checks({ report, status, again, busy }: { report: Report | null; status: GetAuditStatusResponse; again: () => void; busy: boolean }) {
  const ok = report !== null && report.checks.every((c) => c.ok);
  return (
    <Panel
      title={<>Checked in this browser {report && (ok ? <Tag tone="good">all hold</Tag> : <Tag tone="bad">does not hold</Tag>)}</>}
      extra={<Button size="small" loading={busy} onClick={again} disabled={report === null}>Check again</Button>}
    >
      {report ? (
        <ul className="checks" data-testid="checks">
          {report.checks.map((c) => (
            <li key={c.name} className={c.ok ? "tone-good" : "tone-bad"} data-ok={c.ok}>
              {c.ok ? <CheckCircleFilled className="check-mark" /> : <CloseCircleFilled className="check-mark" />}
              <b>{c.name}</b>
              <span>{c.text}</span>
            </li>
          ))}
        </ul>
      ) : status.size === 0n ? (
        <Empty title="The log is empty">The first checkpoint is signed within a minute of the start.</Empty>
      ) : (
        <Empty title="This browser can't check here">Browsers offer cryptography only over HTTPS or on this machine's own address.</Empty>
      )}
      <p className="cannot">
        A browser can't check that the blocks themselves add up to these totals, nor that others were shown the same log,
        and it runs code that this server sent. From another machine, with the public key alone:{" "}
        <code>sterling audit verify</code>.
      </p>
    </Panel>
  );
}

function Log({ status, verifier, report }: { status: GetAuditStatusResponse; verifier: string; report: Report | null }) {
  const shownKey = report?.verifier?.key;
  const differ = shownKey && hex(shownKey) !== hex(status.publicKey);
  return (
    <Panel title="Transparency log" extra={status.failure === "" ? <Tag tone="good">grows</Tag> : <Tag tone="bad">stands</Tag>}>
      <Facts
        rows={[
          ["Entries", <Count key="s" n={status.size} />],
          ["Root", status.root.length > 0 ? <span key="r" className="mono">{short(hex(status.root), 16)} <Copy text={hex(status.root)} /></span> : <span className="zero">–</span>],
          ["Public key", <span key="k" className="mono key">{fingerprint(status.publicKey)} <Copy text={hex(status.publicKey)} /></span>],
          ["Verifier key", verifier ? <span key="v" className="mono key">{verifier} <Copy text={verifier} /></span> : <span className="zero">–</span>],
          ["Files", <span key="f"><span className="mono">/audit/log/</span> <span className="quiet">C2SP tlog-tiles</span></span>],
        ]}
      />
      {differ && <p className="tone-text-bad">The status and the log name different keys.</p>}
      <p className="cannot">Compare the key with the one you keep: <code>sterling audit key</code> on the server's machine prints it.</p>
    </Panel>
  );
}

interface EntriesProps {
  list: SignedCheckpoint[];
  report: Report | null;
  open: (index: bigint) => void;
  page: number;
  older: () => void;
  newer: () => void;
}

function Entries({ list, report, open, page, older, newer }: EntriesProps) {
  const [marked] = useList(list.length, (i) => list[i] && open(list[i].index));
  const assets = [...new Set(list.flatMap((c) => c.totals.map((t) => t.asset)))].slice(0, 2);
  if (list.length === 0) return <Panel title="Signed checkpoints"><Empty title="None yet" /></Panel>;
  return (
    <Panel title="Signed checkpoints" extra="newest first" flush>
      <table className="grid" data-testid="checkpoints">
        <thead>
          <tr>
            <th className="right">Entry</th>
            <th className="right">Block</th>
            <th>Block's time</th>
            <th>Safe through</th>
            <th>Block hash</th>
            {assets.map((a) => <th key={a} className="right">Posted {codeOf(a)}</th>)}
            <th className="right">Events</th>
            <th>This browser</th>
          </tr>
        </thead>
        <tbody>
          {list.map((c, i) => (
            <tr key={c.index.toString()} className={`opens${i === marked ? " marked" : ""}`} data-at={i === marked} onClick={() => open(c.index)}>
              <td className="right"><Count n={c.index} /></td>
              <td className="right"><Count n={c.seq} /></td>
              <td><Time ns={c.time} /></td>
              <td><Time ns={c.safeThrough} /></td>
              <td><Id id={hex(c.blockHash)} keep={8} /></td>
              {assets.map((a) => {
                const t = c.totals.find((o) => o.asset === a);
                return <td key={a} className="right">{t && <Amount minor={t.debitsPosted} asset={a} />}</td>;
              })}
              <td className="right"><Count n={c.events} /></td>
              <td><Verdict text={report?.entries.get(c.index.toString())} /></td>
            </tr>
          ))}
        </tbody>
      </table>
      <div className="pager">
        <span />
        <Button size="small" disabled={page === 0} onClick={newer}>Newer</Button>
        <Button size="small" disabled={(list.at(-1)?.index ?? 0n) === 0n} onClick={older}>Older</Button>
      </div>
    </Panel>
  );
}

function Verdict({ text }: { text: string | undefined }) {
  if (text === undefined) return <Tag tone="quiet">not checked</Tag>;
  return text === "" ? <Tag tone="good">signed, in the log</Tag> : <Tag tone="bad">{text}</Tag>;
}

function Entry({ c, verdict }: { c: SignedCheckpoint; verdict: string | undefined }) {
  return (
    <div className="stack">
      <Facts
        rows={[
          ["This browser", <Verdict key="v" text={verdict} />],
          ["Cell, block", `${c.cell}, ${grouped(c.seq)}`],
          ["Block hash", <span key="h" className="mono">{hex(c.blockHash)}</span>],
          ["Block's time", <Time key="t" ns={c.time} full />],
          ["Safe through", <Time key="s" ns={c.safeThrough} full />],
          ["Signature", <span key="g" className="mono">{hex(c.signature)}</span>],
        ]}
      />
      <table className="grid">
        <thead>
          <tr>
            <th>Asset</th>
            <th className="right">Debits</th>
            <th className="right">Credits</th>
            <th className="right">Transfers</th>
          </tr>
        </thead>
        <tbody>
          {c.totals.map((t) => (
            <tr key={t.asset}>
              <td>{t.asset}</td>
              <td className="right"><Amount minor={t.debitsPosted} asset={t.asset} /></td>
              <td className="right"><Amount minor={t.creditsPosted} asset={t.asset} /></td>
              <td className="right"><Count n={t.transfers} /></td>
            </tr>
          ))}
        </tbody>
      </table>
      {c.sources.length > 0 && <Facts rows={c.sources.map((s) => [s.source, <span key={s.source}>through <Count n={s.throughSeq} />, <span className="mono">{short(hex(s.digest), 10)}</span></span>])} />}
      <pre className="yaml mono">{new TextDecoder().decode(c.entry)}</pre>
    </div>
  );
}
