// One account: balances now and as of any moment or booking day, and its statement.
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { DatePicker, Segmented } from "antd";
import dayjs, { type Dayjs } from "dayjs";
import { useState, type ReactNode } from "react";
import { Link, useNavigate, useParams } from "react-router";
import type { Balances, StatementRow } from "../gen/sterling/ledger/v1/history_pb";
import { AccountFlag, TransferSide, type Account } from "../gen/sterling/ledger/v1/ledger_pb";
import { history, ledger } from "../lib/api";
import { codeOf, fullTime, whole } from "../lib/format";
import { useFreezes } from "../lib/freezes";
import { useList } from "../lib/keys";
import { accountFlag, freezeMode, frozen, transferKind } from "../lib/names";
import { usePlace } from "../lib/pages";
import { Metadata } from "../parts/metadata";
import { Empty, Failed, Waiting } from "../parts/states";
import { net, Pager, TransferTable } from "../parts/tables";
import { Amount, Facts, Id, Panel, Tag, Time } from "../parts/values";

/** An account by its id in the path. */
export function AccountPage() {
  const { id = "" } = useParams();
  const q = useQuery({
    queryKey: ["account", id],
    queryFn: async ({ signal }) => (await ledger.lookupAccounts({ ids: [id] }, { signal })).accounts[0] ?? null,
    refetchInterval: 2000,
    enabled: /^\d{1,39}$/.test(id),
  });
  if (q.error && !q.data) return <Failed error={q.error} what="The account" retry={() => void q.refetch()} />;
  if (q.data === undefined && /^\d{1,39}$/.test(id)) return <Waiting rows={10} />;
  if (!q.data) {
    return (
      <Empty title="There is no such account">
        <span className="mono">{id}</span> · <Link to="/accounts">Accounts</Link>
      </Empty>
    );
  }
  return <Shown a={q.data} />;
}

function Shown({ a }: { a: Account }) {
  return (
    <div className="stack">
      <div className="crumbs">
        <Link to="/accounts">Accounts</Link> / <span className="mono">{a.id}</span>
      </div>
      <div className="row row-account">
        <About a={a} />
        <Now a={a} />
        <AsOf a={a} />
      </div>
      <Movements a={a} />
    </div>
  );
}

function About({ a }: { a: Account }) {
  const freezes = useFreezes().list?.filter((f) => f.selector.case === "accountId" && f.selector.value === a.id) ?? [];
  return (
    <Panel title={a.address || "Account"} extra={freezes.length > 0 ? <Tag tone="info">frozen</Tag> : a.flags.includes(AccountFlag.CLOSED) ? <Tag tone="quiet">closed</Tag> : undefined}>
      <Facts
        rows={[
          ["Id", <Id key="id" id={a.id} whole />],
          ["Asset, code", `${a.asset}, ${a.code}`],
          ["Opened", <Time key="t" ns={a.timestamp} full />],
          ["Rules", a.flags.map(accountFlag).join(", ") || <span className="zero">none</span>],
          ["User data", <span key="u" className="mono">{[a.userData128, a.userData64, a.userData32].map((v) => v.toString() || "0").join(" · ")}</span>],
          ...freezes.map((f): [string, ReactNode] => ["Frozen", `${freezeMode(f.mode)} of ${frozen(f)}: ${f.reason || "no reason given"}`]),
        ]}
      />
      <Metadata of={a.metadata} />
    </Panel>
  );
}

function BalanceGrid({ b, asset }: { b: Balances | Account; asset: string }) {
  const pendingKnown = b.debitsPending !== "" || b.creditsPending !== "";
  return (
    <table className="grid grid-plain" data-testid="balance">
      <thead>
        <tr>
          <th />
          <th className="right">Debits</th>
          <th className="right">Credits</th>
          <th className="right">Credits − debits</th>
        </tr>
      </thead>
      <tbody>
        <tr>
          <td>Posted</td>
          <td className="right"><Amount minor={b.debitsPosted} asset={asset} /></td>
          <td className="right"><Amount minor={b.creditsPosted} asset={asset} /></td>
          <td className="right"><b><Amount minor={net(b)} asset={asset} code /></b></td>
        </tr>
        <tr>
          <td>Pending</td>
          {pendingKnown ? (
            <>
              <td className="right"><Amount minor={b.debitsPending} asset={asset} quiet /></td>
              <td className="right"><Amount minor={b.creditsPending} asset={asset} quiet /></td>
              <td className="right"><Amount minor={(whole(b.creditsPending) ?? 0n) - (whole(b.debitsPending) ?? 0n)} asset={asset} quiet /></td>
            </>
          ) : (
            <td colSpan={3} className="right quiet">reservations have no booking day</td>
          )}
        </tr>
      </tbody>
    </table>
  );
}

function Now({ a }: { a: Account }) {
  const limited = a.flags.includes(AccountFlag.DEBITS_MUST_NOT_EXCEED_CREDITS);
  const available = net(a) - (whole(a.debitsPending) ?? 0n);
  return (
    <Panel title="Balance now" flush>
      <BalanceGrid b={a} asset={a.asset} />
      {limited && (
        <div className="available">
          <span className="quiet">Available (posted, less reserved debits)</span>
          <b><Amount minor={available} asset={a.asset} code /></b>
        </div>
      )}
    </Panel>
  );
}

function AsOf({ a }: { a: Account }) {
  const [by, setBy] = useState<"moment" | "day">("moment");
  const [at, setAt] = useState<Dayjs | null>(null);
  const timestamp = at && by === "moment" ? BigInt(at.valueOf()) * 1_000_000n : 0n;
  const bookingDate = at && by === "day" ? at.format("YYYY-MM-DD") : "";
  const q = useQuery({
    queryKey: ["as-of", a.id, timestamp.toString(), bookingDate],
    queryFn: ({ signal }) => history.getBalanceAsOf({ accountId: a.id, timestamp, bookingDate }, { signal }),
    enabled: at !== null,
    placeholderData: keepPreviousData,
  });
  return (
    <Panel
      title="Balance as of"
      flush
      extra={
        <Segmented<"moment" | "day"> size="small" value={by} onChange={(v) => { setBy(v); setAt(null); }} options={[{ value: "moment", label: "Moment" }, { value: "day", label: "Booking day" }]} />
      }
    >
      <div className="as-of">
        {by === "moment" ? (
          <DatePicker key="m" showTime={{ format: "HH:mm:ss.SSS" }} format="YYYY-MM-DD HH:mm:ss.SSS" placeholder="Moment, this machine's zone" value={at} onChange={setAt} aria-label="As of" />
        ) : (
          <DatePicker key="d" placeholder="Day in the books" value={at} onChange={setAt} aria-label="As of" />
        )}
      </div>
      {q.error ? (
        <Failed error={q.error} what="The index" />
      ) : at && q.data?.balances ? (
        <BalanceGrid b={q.data.balances} asset={a.asset} />
      ) : (
        <div className="hint">{by === "moment" ? "Everything recorded up to that moment counts." : "Everything booked up to that day counts, whenever it was recorded."}</div>
      )}
    </Panel>
  );
}

type Period = [Dayjs | null, Dayjs | null] | null;

type View = "latest" | "time" | "day";
const views: { value: View; label: string }[] = [
  { value: "latest", label: "Latest" },
  { value: "time", label: "By time" },
  { value: "day", label: "By booking day" },
];

/** What moved: the latest first, or a statement of a period. */
function Movements({ a }: { a: Account }) {
  const [view, setView] = useState<View>("latest");
  const choose = <Segmented<View> size="small" value={view} onChange={setView} options={views} />;
  return view === "latest" ? <Latest a={a} choose={choose} /> : <Statement key={view} a={a} byDay={view === "day"} choose={choose} />;
}

function Latest({ a, choose }: { a: Account; choose: ReactNode }) {
  const place = usePlace(0n, a.id);
  const q = useQuery({
    queryKey: ["latest", a.id, place.token.toString()],
    queryFn: ({ signal }) => ledger.getAccountTransfers({ filter: { accountId: a.id, limit: 50, reversed: true, timestampMax: place.token } }, { signal }),
    placeholderData: keepPreviousData,
    refetchInterval: place.page === 0 ? 2000 : false,
  });
  return (
    <Panel title="Transfers" flush extra={choose}>
      {q.error && !q.data ? (
        <Failed error={q.error} what="The index" retry={() => void q.refetch()} />
      ) : !q.data ? (
        <Waiting rows={10} />
      ) : q.data.transfers.length === 0 ? (
        <Empty title="Nothing moved">No transfer has touched this account.</Empty>
      ) : (
        <>
          <TransferTable transfers={q.data.transfers} />
          <Pager page={place.page} busy={false} more={q.data.nextTimestamp > 0n} back={place.back} next={() => place.next(q.data.nextTimestamp)} />
        </>
      )}
    </Panel>
  );
}

const periods = () => {
  const today = dayjs();
  return [
    { label: "Today", value: [today, today] as [Dayjs, Dayjs] },
    { label: "Yesterday", value: [today.subtract(1, "day"), today.subtract(1, "day")] as [Dayjs, Dayjs] },
    { label: "7 days", value: [today.subtract(6, "day"), today] as [Dayjs, Dayjs] },
    { label: "This month", value: [today.startOf("month"), today] as [Dayjs, Dayjs] },
  ];
};

function Statement({ a, byDay, choose }: { a: Account; byDay: boolean; choose: ReactNode }) {
  const navigate = useNavigate();
  const [period, setPeriod] = useState<Period>(null);
  const [from, to] = [period?.[0] ?? null, period?.[1] ?? null];
  const key = `${a.id} ${byDay} ${from?.format("YYYY-MM-DD")} ${to?.format("YYYY-MM-DD")}`;
  const place = usePlace("", key);
  const q = useQuery({
    queryKey: ["statement", key, place.token],
    queryFn: ({ signal }) =>
      history.getStatement(
        {
          accountId: a.id, limit: 50, pageToken: place.token, byBookingDate: byDay,
          ...(byDay
            ? { fromDate: from?.format("YYYY-MM-DD") ?? "", toDate: to?.format("YYYY-MM-DD") ?? "" }
            : { timestampMin: from ? BigInt(from.startOf("day").valueOf()) * 1_000_000n : 0n, timestampMax: to ? BigInt(to.endOf("day").valueOf()) * 1_000_000n + 999_999n : 0n }),
        },
        { signal },
      ),
    placeholderData: keepPreviousData,
  });
  const rows = q.data?.rows ?? [];
  const open = (i: number) => rows[i]?.transfer && void navigate(`/transfers/${rows[i].transfer.id}`);
  const [marked] = useList(rows.length, open);
  return (
    <Panel
      title="Statement"
      flush
      extra={
        <span className="filters">
          <DatePicker.RangePicker size="small" allowEmpty={[true, true]} value={period} onChange={setPeriod} placeholder={["From", "To"]} presets={periods()} />
          {choose}
        </span>
      }
    >
      {q.error ? (
        <Failed error={q.error} what="The index" retry={() => void q.refetch()} />
      ) : !q.data ? (
        <Waiting rows={10} />
      ) : rows.length === 0 && place.page === 0 && q.data.nextPageToken === "" ? (
        <Empty title="Nothing moved">{period ? "Nothing in this period." : "No transfer has touched this account."}</Empty>
      ) : (
        <>
          <StatementTable rows={rows} asset={a.asset} byDay={byDay} marked={marked} open={open} opening={q.data.opening} account={a.id} />
          <Pager page={place.page} more={q.data.nextPageToken !== ""} busy={q.isFetching} back={place.back} next={() => place.next(q.data.nextPageToken)} />
        </>
      )}
    </Panel>
  );
}

interface TableProps {
  rows: StatementRow[];
  asset: string;
  account: string;
  byDay: boolean;
  marked: number;
  open: (i: number) => void;
  opening: Balances | undefined;
}

function StatementTable({ rows, asset, account, byDay, marked, open, opening }: TableProps) {
  return (
    <table className="grid" data-testid="statement">
      <thead>
        <tr>
          <th>{byDay ? "Booked" : "Time"}</th>
          <th>What</th>
          <th className="right">Code</th>
          <th>Other side</th>
          <th className="right">Debit</th>
          <th className="right">Credit</th>
          <th className="right">Reserved</th>
          <th className="right">Balance {codeOf(asset)}</th>
        </tr>
      </thead>
      <tbody>
        {opening && (
          <tr className="opening">
            <td colSpan={7}>Before</td>
            <td className="right"><Amount minor={net(opening)} asset={asset} /></td>
          </tr>
        )}
        {rows.map((r, i) => {
          const t = r.transfer;
          const debit = r.side === TransferSide.DEBIT;
          const other = debit ? t?.creditAccountId : t?.debitAccountId;
          const reserved = (whole(r.reserved) ?? 0n) - (whole(r.released) ?? 0n);
          const posted = whole(r.posted) ?? 0n;
          const handed = r.moved?.balances;
          const debited = handed ? whole(handed.debitsPosted) ?? 0n : debit ? posted : 0n;
          const credited = handed ? whole(handed.creditsPosted) ?? 0n : debit ? 0n : posted;
          return (
            <tr key={`${t?.id}${r.expired}`} className={`opens${i === marked ? " marked" : ""}`} data-at={i === marked} onClick={() => open(i)} title={fullTime(r.timestamp)}>
              <td>{byDay ? <span className="num">{r.bookingDate}</span> : <Time ns={r.timestamp} />}</td>
              <td>{r.moved ? <Tag tone="info">{r.moved.left ? "went to another cell" : "came from another cell"}</Tag> : r.expired ? <Tag tone="warn">expired</Tag> : <span className="quiet">{t ? transferKind(t.flags) : ""}</span>}</td>
              <td className="right num">{t?.code}</td>
              <td>{other && other !== account && <Id id={other} keep={8} to={`/accounts/${other}`} />}</td>
              <td className="right">{debited > 0n && <Amount minor={debited} asset={asset} />}</td>
              <td className="right">{credited > 0n && <Amount minor={credited} asset={asset} />}</td>
              <td className="right">{reserved !== 0n && <span className="quiet"><Amount minor={reserved} asset={asset} /></span>}</td>
              <td className="right">{r.balances && <b><Amount minor={net(r.balances)} asset={asset} /></b>}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
