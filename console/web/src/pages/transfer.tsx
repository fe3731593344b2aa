// One transfer: what it moved, what it belongs to, and everything with the same key.
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "react-router";
import type { Account, Transfer } from "../gen/sterling/ledger/v1/ledger_pb";
import { ledger } from "../lib/api";
import { transferFlag, transferKind } from "../lib/names";
import { Metadata } from "../parts/metadata";
import { Empty, Failed, Waiting } from "../parts/states";
import { TransferTable } from "../parts/tables";
import { Amount, Facts, Id, Panel, Tag, Time } from "../parts/values";

/** A transfer by its id in the path. */
export function TransferPage() {
  const { id = "" } = useParams();
  const valid = /^\d{1,39}$/.test(id);
  const q = useQuery({
    queryKey: ["transfer", id],
    queryFn: async ({ signal }) => (await ledger.lookupTransfers({ ids: [id] }, { signal })).transfers[0] ?? null,
    enabled: valid,
  });
  if (q.error) return <Failed error={q.error} what="The transfer" retry={() => void q.refetch()} />;
  if (valid && q.data === undefined) return <Waiting rows={10} />;
  if (!q.data) {
    return (
      <Empty title="There is no such transfer">
        <span className="mono">{id}</span> · <Link to="/accounts?show=transfers">Transfers</Link>
      </Empty>
    );
  }
  return <Shown t={q.data} />;
}

function Shown({ t }: { t: Transfer }) {
  const sides = useQuery({
    queryKey: ["sides", t.debitAccountId, t.creditAccountId],
    queryFn: async ({ signal }) => (await ledger.lookupAccounts({ ids: [t.debitAccountId, t.creditAccountId] }, { signal })).accounts,
  });
  const side = (id: string) => sides.data?.find((a) => a.id === id);
  return (
    <div className="stack">
      <div className="crumbs">
        <Link to="/accounts?show=transfers">Transfers</Link> / <span className="mono">{t.id}</span>
      </div>
      <div className="move">
        <Party name="Debit" id={t.debitAccountId} account={side(t.debitAccountId)} />
        <div className="move-amount">
          <div className="num"><Amount minor={t.amount ?? ""} asset={t.asset} code /></div>
          <div className="move-arrow" />
          <div className="quiet">{transferKind(t.flags)}</div>
        </div>
        <Party name="Credit" id={t.creditAccountId} account={side(t.creditAccountId)} />
      </div>
      <Panel title="Transfer">
        <Facts
          wide
          rows={[
            ["Id", <Id key="i" id={t.id} whole />],
            ["Recorded", <Time key="t" ns={t.timestamp} full />],
            ["Booking day", t.bookingDate || <span className="quiet">that of the time</span>],
            ["Code", t.code],
            ["Flags", t.flags.length > 0 ? t.flags.map((f) => <span key={f}><Tag tone="quiet">{transferFlag(f)}</Tag> </span>) : <span className="zero">none</span>],
            ["Reservation", <Id key="p" id={t.pendingId} whole to={`/transfers/${t.pendingId}`} />],
            ["Expires after", t.timeout > 0 ? `${t.timeout} s` : <span className="zero">never</span>],
            ["User data 128", <Id key="u" id={t.userData128} whole />],
            ["User data 64, 32", <span key="v" className="mono">{t.userData64.toString()} · {t.userData32}</span>],
          ]}
        />
        <Metadata of={t.metadata} />
      </Panel>
      {t.userData128 !== "0" && t.userData128 !== "" && <SameKey userData={t.userData128} />}
    </div>
  );
}

function Party({ name, id, account }: { name: string; id: string; account: Account | undefined }) {
  return (
    <div className="party">
      <div className="quiet">{name}</div>
      <div className="party-name">{account?.address || `Account of code ${account?.code ?? "…"}`}</div>
      <Id id={id} whole to={`/accounts/${id}`} />
    </div>
  );
}

function SameKey({ userData }: { userData: string }) {
  const q = useQuery({
    queryKey: ["same-key", userData],
    queryFn: ({ signal }) => ledger.queryTransfers({ filter: { userData128: userData, limit: 200 } }, { signal }),
  });
  return (
    <Panel title="Everything with the same key" extra={<span className="mono">{userData}</span>} flush>
      {q.error ? <Failed error={q.error} what="The index" retry={() => void q.refetch()} /> : !q.data ? <Waiting /> : <TransferTable transfers={q.data.transfers} />}
    </Panel>
  );
}
