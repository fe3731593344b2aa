// Accounts and transfers: by id, by the beginning of an address, or the latest.
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Input, Segmented, Select } from "antd";
import { useState } from "react";
import { Link, Navigate, useSearchParams } from "react-router";
import { history, ledger } from "../lib/api";
import { useFreezes } from "../lib/freezes";
import { count } from "../lib/format";
import { usePlace } from "../lib/pages";
import { Empty, Failed, Waiting } from "../parts/states";
import { AccountTable, Pager, TransferTable } from "../parts/tables";
import { Panel } from "../parts/values";

const perPage = 50;
const isId = (text: string) => /^\d{1,39}$/.test(text);

/** Search, or the latest of everything. */
export function AccountsPage() {
  const [params, setParams] = useSearchParams();
  const q = (params.get("q") ?? "").trim();
  const kind = params.get("show") === "transfers" ? "transfers" : "accounts";
  return (
    <div className="stack">
      <div className="bar-tools">
        <Input.Search
          key={q}
          defaultValue={q}
          placeholder="Account id, transfer id, or the beginning of an address"
          aria-label="Find accounts and transfers"
          allowClear
          maxLength={160}
          className="find"
          onSearch={(text) => setParams(text.trim() ? { q: text.trim() } : {})}
        />
        {q === "" && <Segmented value={kind} onChange={(v) => setParams(v === "transfers" ? { show: v } : {})} options={[{ value: "accounts", label: "Accounts" }, { value: "transfers", label: "Transfers" }]} />}
      </div>
      {q === "" ? kind === "accounts" ? <LatestAccounts /> : <LatestTransfers /> : isId(q) ? <ById id={q} /> : <ByAddress prefix={q} />}
    </div>
  );
}

/** An id is an account's or a transfer's: one of them opens at once, both are offered. */
function ById({ id }: { id: string }) {
  const found = useQuery({
    queryKey: ["find", id],
    queryFn: async ({ signal }) => {
      const [accounts, transfers] = await Promise.all([ledger.lookupAccounts({ ids: [id] }, { signal }), ledger.lookupTransfers({ ids: [id] }, { signal })]);
      return { account: accounts.accounts[0], transfer: transfers.transfers[0] };
    },
  });
  if (found.error) return <Failed error={found.error} what="The search" retry={() => void found.refetch()} />;
  if (!found.data) return <Waiting rows={2} />;
  const { account, transfer } = found.data;
  if (account && !transfer) return <Navigate to={`/accounts/${id}`} replace />;
  if (transfer && !account) return <Navigate to={`/transfers/${id}`} replace />;
  if (account && transfer) {
    return (
      <Panel>
        <Empty title="This id is an account and a transfer">
          <Link to={`/accounts/${id}`}>The account</Link> or <Link to={`/transfers/${id}`}>the transfer</Link>
        </Empty>
      </Panel>
    );
  }
  return (
    <Panel>
      <Empty title="No account and no transfer has this id">
        <span className="mono">{id}</span>
      </Empty>
    </Panel>
  );
}

function ByAddress({ prefix }: { prefix: string }) {
  const place = usePlace("", prefix);
  const freezes = useFreezes();
  const found = useQuery({
    queryKey: ["address", prefix, place.token],
    queryFn: ({ signal }) => history.listAccountsByAddress({ prefix, limit: perPage, pageToken: place.token }, { signal }),
    placeholderData: keepPreviousData,
  });
  return (
    <Panel title={<>Accounts whose address begins with <span className="mono">{prefix}</span></>} flush>
      {found.error ? (
        <Failed error={found.error} what="The search" retry={() => void found.refetch()} />
      ) : !found.data ? (
        <Waiting />
      ) : found.data.accounts.length === 0 ? (
        <Empty title="No address begins like this">Addresses are case-sensitive, such as merchant:1001:settlement.</Empty>
      ) : (
        <>
          <AccountTable accounts={found.data.accounts} frozenIds={freezes.accounts} />
          <Pager page={place.page} busy={found.isFetching} more={found.data.nextPageToken !== ""} back={place.back} next={() => place.next(found.data.nextPageToken)} note={count(found.data.accounts.length, "account")} />
        </>
      )}
    </Panel>
  );
}

/** Asset and code, as far as they are chosen. */
function useFilter() {
  const [asset, setAsset] = useState<string>();
  const [code, setCode] = useState("");
  const assets = useQuery({ queryKey: ["assets"], queryFn: ({ signal }) => ledger.listAssets({}, { signal }), staleTime: 60_000 });
  const number = /^\d{1,5}$/.test(code) && Number(code) <= 65_535 ? Number(code) : 0;
  const fields = (
    <span className="filters">
      <Select size="small" allowClear placeholder="All assets" value={asset} onChange={setAsset} className="filter-asset" aria-label="Asset" options={assets.data?.assets.map((a) => ({ value: a.name, label: a.name })) ?? []} />
      <Input size="small" allowClear placeholder="Code" value={code} onChange={(e) => setCode(e.target.value)} className="filter-code" aria-label="Code" status={code !== "" && number === 0 ? "error" : ""} maxLength={5} />
    </span>
  );
  return { asset: asset ?? "", code: number, fields };
}

function LatestAccounts() {
  const filter = useFilter();
  const place = usePlace(0n, `${filter.asset} ${filter.code}`);
  const freezes = useFreezes();
  const found = useQuery({
    queryKey: ["accounts", filter.asset, filter.code, place.token.toString()],
    queryFn: ({ signal }) => ledger.queryAccounts({ filter: { asset: filter.asset, code: filter.code, limit: perPage, reversed: true, timestampMax: place.token } }, { signal }),
    placeholderData: keepPreviousData,
  });
  return (
    <Panel title="Accounts, latest first" extra={filter.fields} flush>
      {found.error ? (
        <Failed error={found.error} what="The index" retry={() => void found.refetch()} />
      ) : !found.data ? (
        <Waiting rows={12} />
      ) : found.data.accounts.length === 0 ? (
        <Empty title="No accounts">{filter.asset || filter.code ? "None has this asset and code." : "The ledger is empty. Accounts are opened through the API, or with sterling ledger create-accounts."}</Empty>
      ) : (
        <>
          <AccountTable accounts={found.data.accounts} frozenIds={freezes.accounts} />
          <Pager page={place.page} busy={found.isFetching} more={found.data.nextTimestamp > 0n} back={place.back} next={() => place.next(found.data.nextTimestamp)} />
        </>
      )}
    </Panel>
  );
}

function LatestTransfers() {
  const filter = useFilter();
  const place = usePlace(0n, `${filter.asset} ${filter.code}`);
  const found = useQuery({
    queryKey: ["transfers", filter.asset, filter.code, place.token.toString()],
    queryFn: ({ signal }) => ledger.queryTransfers({ filter: { asset: filter.asset, code: filter.code, limit: perPage, reversed: true, timestampMax: place.token } }, { signal }),
    placeholderData: keepPreviousData,
  });
  return (
    <Panel title="Transfers, latest first" extra={filter.fields} flush>
      {found.error ? (
        <Failed error={found.error} what="The index" retry={() => void found.refetch()} />
      ) : !found.data ? (
        <Waiting rows={12} />
      ) : found.data.transfers.length === 0 ? (
        <Empty title="No transfers">{filter.asset || filter.code ? "None has this asset and code." : "Nothing has moved yet."}</Empty>
      ) : (
        <>
          <TransferTable transfers={found.data.transfers} />
          <Pager page={place.page} busy={found.isFetching} more={found.data.nextTimestamp > 0n} back={place.back} next={() => place.next(found.data.nextTimestamp)} />
        </>
      )}
    </Panel>
  );
}
