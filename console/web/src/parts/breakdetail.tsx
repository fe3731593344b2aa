// One break: what is wrong, the evidence side by side, what was done, and what can be done.
import { CloseOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button } from "antd";
import { useState, type ReactNode } from "react";
import { Link } from "react-router";
import { BreakState, type Break, type Evidence } from "../gen/sterling/watch/v1/watch_pb";
import { watch } from "../lib/api";
import { duration, money, words } from "../lib/format";
import { livePeriod } from "../lib/live";
import { stateOf, stopWords } from "./breaklist";
import { DecideDialog, ProposeDialog, type Decision } from "./decide";
import { Proposal } from "./proposal";
import { Failed, Waiting } from "./states";
import { Facts, Id, Panel, Tag, Time } from "./values";

/** A break by its id. */
export function BreakDetail({ id, close }: { id: string; close: () => void }) {
  const q = useQuery({ queryKey: ["break", id], queryFn: ({ signal }) => watch.getBreak({ id }, { signal }), refetchInterval: 2 * livePeriod });
  const b = q.data?.found;
  if (q.error && !b) return <div className="triage-detail"><Panel title="Break" extra={<Close close={close} />}><Failed error={q.error} what="Watch" retry={() => void q.refetch()} /></Panel></div>;
  if (!b) return <div className="triage-detail"><Panel title="Break" extra={<Close close={close} />}><Waiting rows={8} /></Panel></div>;
  return (
    <div className="triage-detail stack" data-testid="break">
      <About b={b} close={close} />
      <EvidenceTable evidence={b.evidence} />
      <Repair b={b} />
      {q.data && q.data.group.length > 0 && (
        <Panel title="Of the same cause" flush>
          <GroupList breaks={q.data.group.filter((o) => o.id !== b.id)} />
        </Panel>
      )}
      <History b={b} />
    </div>
  );
}

function Close({ close }: { close: () => void }) {
  return <Button type="text" size="small" aria-label="Close" icon={<CloseOutlined />} onClick={close} />;
}

function About({ b, close }: { b: Break; close: () => void }) {
  const [decision, setDecision] = useState<Decision | null>(null);
  const state = stateOf(b.state);
  const stop = b.stopLoss ? stopWords(b.stopLoss.state, b.stopLoss.selector) : null;
  const rows: [ReactNode, ReactNode][] = [
    ["At risk", <b key="r" className={b.state === BreakState.OPEN ? "tone-text-bad num" : "num"}>{b.amountAtRisk === "" || b.amountAtRisk === "0" ? "nothing counted" : money(b.amountAtRisk, b.asset)}</b>],
    ["Flow, key", <span key="k">{b.flow || <span className="zero">no flow</span>} · <Id id={b.key} keep={10} /></span>],
    ["Happened", <Time key="h" ns={b.happened} full />],
    ["Found", <span key="f"><Time ns={b.firstSeen} full />{b.happened > 0n && b.firstSeen >= b.happened && <span className="quiet"> · after {duration(b.firstSeen - b.happened)}</span>}</span>],
    ["Accounts", b.accountIds.length > 0 ? b.accountIds.map((a) => <span key={a} className="spaced"><Id id={a} keep={8} to={`/accounts/${a}`} /></span>) : <span className="zero">none</span>],
  ];
  if (b.stopLoss && stop) {
    rows.push(["Stop-loss", <span key="s"><Tag tone={stop.tone}>{stop.word}</Tag> <Time ns={b.stopLoss.time} />{b.stopLoss.time > b.firstSeen && b.firstSeen > 0n && <span className="quiet"> · {duration(b.stopLoss.time - b.firstSeen)} after it was found</span>}</span>]);
  }
  return (
    <Panel
      title={<>{words(b.class)} <Tag tone={state.tone}>{state.word}</Tag></>}
      extra={<Close close={close} />}
    >
      <p className="break-sentence">{b.summary}</p>
      <Facts rows={rows} />
      <div className="actions">
        {b.state !== BreakState.EXPLAINED && b.state !== BreakState.REPAIRED && <Button size="small" onClick={() => setDecision("explain")}>Explain</Button>}
        {b.state !== BreakState.ACCEPTED && b.state !== BreakState.REPAIRED && <Button size="small" onClick={() => setDecision("accept")}>Accept</Button>}
        {b.state !== BreakState.OPEN && <Button size="small" onClick={() => setDecision("reopen")}>Open again</Button>}
        <span className="mono quiet break-id">{b.id}</span>
      </div>
      {decision && <DecideDialog b={b} decision={decision} close={() => setDecision(null)} />}
    </Panel>
  );
}

/** Evidence in columns, its fields in rows; what contradicts stands out. */
export function EvidenceTable({ evidence }: { evidence: Evidence[] }) {
  const names = [...new Set(evidence.flatMap((e) => e.fields.map((f) => f.name)))];
  if (evidence.length === 0) return <Panel title="Evidence"><span className="quiet">Watch kept no records with this break.</span></Panel>;
  return (
    <Panel title="Evidence" extra={evidence.some((e) => e.fields.some((f) => f.wrong)) ? <span><span className="wrong">marked</span> fields contradict each other</span> : undefined} flush>
      <div className="evidence-scroll">
        <table className="grid evidence" data-testid="evidence">
          <thead>
            <tr>
              <th />
              {evidence.map((e, i) => (
                <th key={i}>
                  <b>{words(e.what)}</b>
                  <div className="quiet">
                    {e.source || "journal"} <span className="num">#{e.seq.toString()}{e.source === "" && e.index > 0 ? `.${e.index}` : ""}</span>
                  </div>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            <tr>
              <td>time</td>
              {evidence.map((e, i) => (
                <td key={i}><Time ns={e.time} /></td>
              ))}
            </tr>
            {names.map((name) => (
              <tr key={name}>
                <td>{name.replaceAll("_", " ")}</td>
                {evidence.map((e, i) => (
                  <FieldCell key={i} e={e} name={name} />
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}

function FieldCell({ e, name }: { e: Evidence; name: string }) {
  const fields = e.fields.filter((f) => f.name === name);
  if (fields.length === 0) return <td className="zero">–</td>;
  return (
    <td>
      {fields.map((f, i) => (
        <span key={i} className={f.wrong ? "wrong" : ""}>
          <FieldValue name={name} value={f.value} what={e.what} />{" "}
        </span>
      ))}
    </td>
  );
}

/** Ids are links: to the transfer where it is one's own, to the account where it is a side. */
function FieldValue({ name, value, what }: { name: string; value: string; what: string }) {
  if (/^\d{1,39}$/.test(value)) {
    if (/debit|credit|account|from|to/.test(name) && value.length > 3) return <Id id={value} keep={8} to={`/accounts/${value}`} />;
    if (name === "id" && what === "transfer") return <Id id={value} to={`/transfers/${value}`} />;
    if (name === "pending_id") return <Id id={value} to={`/transfers/${value}`} />;
    if (value.length > 16) return <Id id={value} />;
  }
  return <span className="num wraps">{value}</span>;
}

function Repair({ b }: { b: Break }) {
  const [open, setOpen] = useState(false);
  if (b.repair.length === 0 && b.repairProposalId === "") {
    if (b.state !== BreakState.OPEN && b.state !== BreakState.EXPLAINED) return null;
    return (
      <Panel title="Repair">
        <span className="quiet">Watch knows no transfer that would mend this: a person has to find out what is true. A repair can be proposed with <code>sterling watch repair {b.id.slice(0, 8)}…</code></span>
      </Panel>
    );
  }
  return (
    <Panel
      title="Repair"
      extra={b.repairProposalId === "" && b.state !== BreakState.REPAIRED && b.state !== BreakState.ACCEPTED ? <Button size="small" type="primary" onClick={() => setOpen(true)}>Propose this repair</Button> : undefined}
      flush
    >
      {b.repair.length > 0 && (
        <table className="grid" data-testid="repair">
          <thead>
            <tr>
              <th>Debit</th>
              <th>Credit</th>
              <th className="right">Code</th>
              <th className="right">Amount</th>
            </tr>
          </thead>
          <tbody>
            {b.repair.map((t, i) => (
              <tr key={i}>
                <td><Id id={t.debitAccountId} keep={8} to={`/accounts/${t.debitAccountId}`} /></td>
                <td><Id id={t.creditAccountId} keep={8} to={`/accounts/${t.creditAccountId}`} /></td>
                <td className="right num">{t.code}</td>
                <td className="right"><b className="num">{money(t.amount, t.asset)}</b></td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {b.repairProposalId !== "" && <Proposal id={b.repairProposalId} breakId={b.id} />}
      {open && <ProposeDialog b={b} close={() => setOpen(false)} />}
    </Panel>
  );
}

function GroupList({ breaks }: { breaks: Break[] }) {
  return (
    <div className="group">
      {breaks.map((o) => (
        <Link key={o.id} to={`/breaks/${o.id}`} className="group-row">
          <span>{words(o.class)}</span>
          <span className="quiet group-what">{o.summary}</span>
          <span className="num">{o.amountAtRisk && o.amountAtRisk !== "0" ? money(o.amountAtRisk, o.asset) : "–"}</span>
        </Link>
      ))}
    </div>
  );
}

function History({ b }: { b: Break }) {
  return (
    <Panel title="History">
      <ol className="history" data-testid="history">
        {b.history.map((e, i) => {
          const s = stateOf(e.state);
          return (
            <li key={i}>
              <Time ns={e.time} /> <Tag tone={s.tone}>{s.word}</Tag> <span>{e.who || "watch"}</span>
              {e.why && <span className="quiet"> · {e.why}</span>}
            </li>
          );
        })}
        {b.history.length === 0 && <li className="quiet">Found {duration(b.firstSeen - b.happened)} after it happened; nothing since.</li>}
      </ol>
    </Panel>
  );
}

