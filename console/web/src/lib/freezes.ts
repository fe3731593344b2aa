// The freezes in force.
import { useQuery } from "@tanstack/react-query";
import type { FrozenState } from "../gen/sterling/ledger/v1/ledger_pb";
import { ledger } from "./api";

/** All freezes, and the accounts among them. */
export function useFreezes(): { list: FrozenState[] | undefined; accounts: Set<string>; error: unknown } {
  const q = useQuery({ queryKey: ["freezes"], queryFn: ({ signal }) => ledger.listFreezes({}, { signal }), refetchInterval: 2000 });
  const accounts = new Set<string>();
  for (const f of q.data?.freezes ?? []) if (f.selector.case === "accountId") accounts.add(f.selector.value);
  return { list: q.data?.freezes, accounts, error: q.error };
}
