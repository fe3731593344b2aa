// Overview: is all money safe, how much is not, and is everything moving.
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Link, useNavigate } from "react-router";
import type { GroupTotal } from "../gen/sterling/ledger/v1/history_pb";
import { BreakState, type AssetTotals, type FlowProof, type GetProofResponse } from "../gen/sterling/watch/v1/watch_pb";
import { history, watch as watchClient } from "../lib/api";
import { clockTime, codeOf, count, duration, grouped, moment, money, rate, whole } from "../lib/format";
import { livePeriod, useSamples, useStatus } from "../lib/live";
import { BreakList } from "../parts/breaklist";
import { Chart } from "../parts/chart";
import { useVerdict } from "../parts/clock";
import { Empty, Failed, Waiting } from "../parts/states";
import { Amount, Count, Figure, Panel, Tag } from "../parts/values";

/** The first page. */
export function OverviewPage() {
  const { watch, proof } = useVerdict();
  return (
    <div className="overview">
      <BigClock />
      <Figures proof={proof} />
      <div className="row row-breaks">
        <OpenBreaks running={watch.state === "running"} />
        <FlowsAtAGlance proof={proof} />
      </div>
      <div className="row row-2">
        <Throughput />
        <ProofLag />
      </div>
      <Balances proof={proof} />
    </div>
  );
}

function BigClock() {
  const { watch, proof, ageText, verdict, stale } = useVerdict();
  const m = proof ? moment(proof.safeThrough) : null;
  const today = moment(BigInt(Date.now()) * 1_000_000n)?.date;
  const unproven = proof?.flows.filter((f) => !f.proven) ?? [];
  // What no second witness covers is not claimed.
  let head: ReactNode = unproven.length === 0 ? "All money proven safe through" : "Covered money proven safe through";
  if (watch.state === "not-running") head = "Nothing is being proven";
  else if (!proof) head = "Asking what is proven";
  else if (proof.safeThrough === 0n) head = "Nothing is proven yet";
  else if (stale) head = "Last proven safe through";
  return (
    <section className={`hero tone-${verdict.tone}`} aria-label="Safe through">
      <div className="hero-left">
        <div className="hero-head">
          <span className="dot" />
          {head}
          {m && m.date !== today && <span className="num"> {m.date}</span>}
        </div>
        <div className="hero-clock num" data-testid="clock">
          {m ? (
            <>
              {m.time}
              <span className="hero-fraction">.{m.fraction.slice(0, 3)}</span>
            </>
          ) : (
            <span className="hero-none">{proof || watch.state === "not-running" ? "no proof" : "–"}</span>
          )}
        </div>
      </div>
      <div className="hero-right">
        <div className="hero-age">
          <span className="num">{proof && proof.safeThrough > 0n ? ageText : "–"}</span>
          <span className="hero-age-name">behind now</span>
        </div>
        <div className="hero-reason">{verdict.tone === "good" ? "Follows the clock." : sentence(withoutNotProven(verdict.words))}</div>
        {unproven.length > 0 && (
          <div className="hero-unproven">
            Not covered: {unproven.map((f) => f.title || f.flow).join(", ")}. <Link to="/flows">Why</Link>
          </div>
        )}
      </div>
    </section>
  );
}

/** The reason alone, where the page says already that nothing is proven. */
function withoutNotProven(words: string): string {
  return words.replace(/^not proven: /, "");
}

function sentence(words: string): string {
  // A name such as duplicate_post stays as it is.
  const text = /^[a-z]+[_-]/.test(words) ? words : words.charAt(0).toUpperCase() + words.slice(1);
  return /[.…!]$/.test(text) ? text : `${text}.`;
}

function Figures({ proof }: { proof: GetProofResponse | undefined }) {
  const status = useStatus().data;
  const atRisk = proof?.atRisk.filter((a) => whole(a.amount) !== 0n) ?? [];
  const proven = proof?.flows.filter((f) => f.proven && f.safeThrough > 0n).length ?? 0;
  const behind = proof ? proof.headSeq - proof.appliedSeq : 0n;
  return (
    <section className="figures">
      <Figure
        name="Money at risk"
        tone={atRisk.length > 0 ? "bad" : "quiet"}
        value={
          !proof ? (
            "–"
          ) : atRisk.length === 0 ? (
            "0"
          ) : (
            <span title={atRisk.map((a) => money(a.amount, a.asset)).join("\n")}>
              <Amount minor={atRisk[0]!.amount} asset={atRisk[0]!.asset} code />
            </span>
          )
        }
        note={!proof ? "unknown without watch" : atRisk.length === 0 ? "in no asset" : atRisk.length === 1 ? "in open breaks" : `and ${atRisk.slice(1, 3).map((a) => money(a.amount, a.asset)).join(", ")}${atRisk.length > 3 ? `, ${atRisk.length - 3} more` : ""}`}
      />
      <Figure name="Open breaks" tone={proof && proof.openBreaks > 0n ? "bad" : "quiet"} value={proof ? <Count n={proof.openBreaks} /> : "–"} note={<Link to="/breaks">Triage</Link>} />
      <Figure name="Flows proven" tone={proof && proven < proof.flows.length ? "warn" : "quiet"} value={proof ? <span className="num">{proven}<span className="of"> of {proof.flows.length}</span></span> : "–"} note={<Link to="/flows">Coverage</Link>} />
      <Figure name="Open cases" value={proof ? <Count n={proof.openKeys} /> : "–"} note="wait for the rest" />
      <Figure name="Watch behind" tone={behind > 1000n ? "warn" : "quiet"} value={proof ? <span className="num">{grouped(behind)}</span> : "–"} note={proof ? `blocks, of ${grouped(proof.headSeq)}` : "blocks"} />
      <Figure name="Transfers" value={status ? <Count n={status.transfers} /> : "–"} note={status ? `${grouped(status.accounts)} accounts` : undefined} />
    </section>
  );
}

function Throughput() {
  const samples = useSamples();
  const last = samples.at(-1);
  const known = samples.some((s) => !Number.isNaN(s.events));
  const lines = [
    { name: "Transfers booked", colour: "--chart-1", fill: true },
    ...(known ? [{ name: "Events recomputed", colour: "--chart-2" }] : []),
  ];
  return (
    <Panel
      title="Throughput"
      extra={
        <span className="legend">
          <i className="swatch swatch-1" /> booked <b className="num">{last ? rate(last.transfers) : "–"}</b>/s
          {known && (
            <>
              <i className="swatch swatch-2" /> recomputed <b className="num">{last ? rate(last.events) : "–"}</b>/s
            </>
          )}
        </span>
      }
    >
      <Chart label="Transfers a second, last five minutes" at={samples.map((s) => s.at)} lines={lines} values={[samples.map((s) => s.transfers), ...(known ? [samples.map((s) => s.events)] : [])]} height={116} format={rate} />
    </Panel>
  );
}

function ProofLag() {
  const samples = useSamples();
  const last = samples.at(-1);
  const ns = (s: number) => duration(BigInt(Math.round(s * 1e9)));
  return (
    <Panel title="Proof behind now" extra={<span className="legend"><i className="swatch swatch-3" /> <b className="num">{last && !Number.isNaN(last.lag) ? ns(last.lag) : "–"}</b></span>}>
      <Chart label="Seconds from safe-through to now, last five minutes" at={samples.map((s) => s.at)} lines={[{ name: "Behind", colour: "--chart-3", fill: true }]} values={[samples.map((s) => s.lag)]} height={116} format={(s) => (s === 0 ? "0" : ns(s))} />
    </Panel>
  );
}

function Balances({ proof }: { proof: GetProofResponse | undefined }) {
  const totals = useQuery({ queryKey: ["totals"], queryFn: ({ signal }) => history.getTotals({}, { signal }), refetchInterval: livePeriod });
  return (
    <Panel title="Balances per asset" extra={<span className="quiet">Ledger and watch count apart; each must find debits equal to credits.</span>} flush>
      {totals.error && !totals.data ? (
        <Failed error={totals.error} what="The index" retry={() => void totals.refetch()} />
      ) : !totals.data ? (
        <Waiting rows={3} />
      ) : totals.data.assets.length === 0 ? (
        <Empty title="No assets yet">They appear with the first account.</Empty>
      ) : (
        <table className="grid" data-testid="balances">
          <thead>
            <tr>
              <th>Asset</th>
              <th className="right">Accounts</th>
              <th className="right">Debits posted</th>
              <th className="right">Credits posted</th>
              <th className="right">Debits pending</th>
              <th className="right">Credits pending</th>
              <th>Ledger</th>
              <th>Watch</th>
            </tr>
          </thead>
          <tbody>
            {totals.data.assets.map((a) => (
              <BalanceRow key={a.asset} total={a} counted={proof?.totals.find((t) => t.asset === a.asset)} />
            ))}
          </tbody>
        </table>
      )}
    </Panel>
  );
}

function BalanceRow({ total: t, counted }: { total: GroupTotal; counted: AssetTotals | undefined }) {
  return (
    <tr>
      <td>
        <b>{codeOf(t.asset)}</b><span className="quiet">{t.asset.slice(codeOf(t.asset).length)}</span>
      </td>
      <td className="right"><Count n={t.accounts} /></td>
      <td className="right"><Amount minor={t.debitsPosted} asset={t.asset} /></td>
      <td className="right"><Amount minor={t.creditsPosted} asset={t.asset} /></td>
      <td className="right"><Amount minor={t.debitsPending} asset={t.asset} quiet /></td>
      <td className="right"><Amount minor={t.creditsPending} asset={t.asset} quiet /></td>
      <td><Balanced t={t} /></td>
      <td>{counted ? <Balanced t={counted} /> : <Tag tone="quiet">not counted</Tag>}</td>
    </tr>
  );
}

/** Debits equal credits, posted and pending, or by how much they don't. */
function Balanced({ t }: { t: AssetTotals | GroupTotal }) {
  const off = (whole(t.debitsPosted) ?? 0n) - (whole(t.creditsPosted) ?? 0n);
  const offPending = (whole(t.debitsPending) ?? 0n) - (whole(t.creditsPending) ?? 0n);
  if (off === 0n && offPending === 0n) return <Tag tone="good">debits = credits</Tag>;
  return (
    <Tag tone="bad">
      off by <Amount minor={off !== 0n ? off : offPending} asset={t.asset} />
    </Tag>
  );
}

function OpenBreaks({ running }: { running: boolean }) {
  const navigate = useNavigate();
  const q = useQuery({
    queryKey: ["breaks", "overview"],
    queryFn: ({ signal }) => watchClient.listBreaks({ state: BreakState.OPEN, roots: true, limit: 6 }, { signal }),
    refetchInterval: livePeriod,
    enabled: running,
  });
  return (
    <Panel title="Open breaks" extra={<Link to="/breaks">All breaks</Link>} flush>
      {!running ? (
        <Empty title="Nobody looks for breaks">Watch is not running.</Empty>
      ) : q.error && !q.data ? (
        <Failed error={q.error} what="Watch" />
      ) : !q.data ? (
        <Waiting rows={6} />
      ) : q.data.breaks.length === 0 ? (
        <Empty title="No open breaks">Watch has found nothing that is not explained, repaired or accepted.</Empty>
      ) : (
        <BreakList breaks={q.data.breaks} open={(id) => void navigate(`/breaks/${id}`)} />
      )}
    </Panel>
  );
}

/** What needs a look comes first: breaks, then what stands or is not proven. */
function inOrder(flows: FlowProof[]): FlowProof[] {
  const rank = (f: FlowProof) => (f.openBreaks > 0n ? 0 : !f.proven || f.reason !== "" ? 1 : 2);
  return [...flows].sort((a, b) => rank(a) - rank(b));
}

function FlowsAtAGlance({ proof }: { proof: GetProofResponse | undefined }) {
  return (
    <Panel title="Flows" extra={<Link to="/flows">Coverage</Link>} flush>
      {!proof ? (
        <Empty title="No flows are followed" />
      ) : proof.flows.length === 0 ? (
        <Empty title="No flows are declared">Without flows, watch proves the journal only.</Empty>
      ) : (
        <table className="grid">
          <tbody>
            {inOrder(proof.flows).map((f) => (
              <tr key={f.flow}>
                <td>{f.title || f.flow}</td>
                <td className="right">{f.proven && f.safeThrough > 0n ? <span className="num">{clockTime(f.safeThrough)}</span> : <Tag tone="warn">{f.proven ? "nothing yet" : "not proven"}</Tag>}</td>
                <td className="right narrow">{f.openBreaks > 0n ? <Tag tone="bad">{count(f.openBreaks, "break")}</Tag> : <span className="zero">–</span>}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Panel>
  );
}
