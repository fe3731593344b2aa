// Tables of accounts and transfers, walked with j and k.
import { Button } from "antd";
import { useNavigate } from "react-router";
import { AccountFlag, type Account, type Transfer } from "../gen/sterling/ledger/v1/ledger_pb";
import { codeOf, whole } from "../lib/format";
import { useList } from "../lib/keys";
import { transferKind } from "../lib/names";
import { Amount, Id, Tag, Time } from "./values";

/** Credits minus debits, posted. */
export function net(a: { creditsPosted: string; debitsPosted: string }): bigint {
  return (whole(a.creditsPosted) ?? 0n) - (whole(a.debitsPosted) ?? 0n);
}

/** Accounts with their balances. */
export function AccountTable({ accounts, frozenIds }: { accounts: Account[]; frozenIds: Set<string> }) {
  const navigate = useNavigate();
  const open = (i: number) => accounts[i] && void navigate(`/accounts/${accounts[i].id}`);
  const [at] = useList(accounts.length, open);
  return (
    <table className="grid" data-testid="accounts">
      <thead>
        <tr>
          <th>Account</th>
          <th>Address</th>
          <th>Asset</th>
          <th className="right">Code</th>
          <th className="right">Debits posted</th>
          <th className="right">Credits posted</th>
          <th className="right">Pending</th>
          <th className="right">Net</th>
          <th />
        </tr>
      </thead>
      <tbody>
        {accounts.map((a, i) => (
          <tr key={a.id} className={`opens${i === at ? " marked" : ""}`} data-at={i === at} onClick={() => open(i)}>
            <td><Id id={a.id} keep={8} to={`/accounts/${a.id}`} /></td>
            <td>{a.address || <span className="zero">–</span>}</td>
            <td>{codeOf(a.asset)}</td>
            <td className="right num">{a.code}</td>
            <td className="right"><Amount minor={a.debitsPosted} asset={a.asset} quiet /></td>
            <td className="right"><Amount minor={a.creditsPosted} asset={a.asset} quiet /></td>
            <td className="right"><Amount minor={(whole(a.debitsPending) ?? 0n) + (whole(a.creditsPending) ?? 0n)} asset={a.asset} quiet /></td>
            <td className="right"><b><Amount minor={net(a)} asset={a.asset} /></b></td>
            <td className="narrow">
              {frozenIds.has(a.id) && <Tag tone="info">frozen</Tag>} {a.flags.includes(AccountFlag.CLOSED) && <Tag tone="quiet">closed</Tag>}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** Transfers as recorded. */
export function TransferTable({ transfers, walk = true }: { transfers: Transfer[]; walk?: boolean }) {
  const navigate = useNavigate();
  const open = (i: number) => transfers[i] && void navigate(`/transfers/${transfers[i].id}`);
  const [at] = useList(transfers.length, open, walk);
  return (
    <table className="grid" data-testid="transfers">
      <thead>
        <tr>
          <th>Time</th>
          <th>Transfer</th>
          <th>Kind</th>
          <th className="right">Code</th>
          <th>Debit</th>
          <th>Credit</th>
          <th className="right">Amount</th>
          <th>Asset</th>
        </tr>
      </thead>
      <tbody>
        {transfers.map((t, i) => (
          <tr key={t.id} className={`opens${i === at ? " marked" : ""}`} data-at={i === at} onClick={() => open(i)}>
            <td><Time ns={t.timestamp} /></td>
            <td><Id id={t.id} to={`/transfers/${t.id}`} /></td>
            <td className="quiet">{transferKind(t.flags)}</td>
            <td className="right num">{t.code}</td>
            <td><Id id={t.debitAccountId} keep={8} to={`/accounts/${t.debitAccountId}`} /></td>
            <td><Id id={t.creditAccountId} keep={8} to={`/accounts/${t.creditAccountId}`} /></td>
            <td className="right"><b><Amount minor={t.amount ?? ""} asset={t.asset} /></b></td>
            <td>{codeOf(t.asset)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** Back and forth through pages of which only the next one's token is known. */
export function Pager({ page, more, back, next, busy, note }: { page: number; more: boolean; back: () => void; next: () => void; busy: boolean; note?: string }) {
  return (
    <div className="pager">
      <span className="quiet">{note ?? ""}</span>
      <Button size="small" disabled={page === 0 || busy} onClick={back}>
        Back
      </Button>
      <span className="quiet num">Page {page + 1}</span>
      <Button size="small" disabled={!more || busy} onClick={next}>
        Next
      </Button>
    </div>
  );
}
