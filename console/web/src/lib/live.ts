// What every page looks at, asked once a second: where the ledger stands and through when all money is proven safe.
import { useQuery } from "@tanstack/react-query";
import { useEffect, useSyncExternalStore } from "react";
import type { StatusResponse } from "../gen/sterling/ledger/v1/admin_pb";
import type { GetProofResponse } from "../gen/sterling/watch/v1/watch_pb";
import { admin, faultOf, watch, type Fault } from "./api";

/** How often live figures are asked for. */
export const livePeriod = 1000;

/** Where the ledger stands. */
export function useStatus() {
  return useQuery({ queryKey: ["status"], queryFn: ({ signal }) => admin.status({}, { signal }), refetchInterval: livePeriod });
}

/** Through when all money is proven safe. */
export function useProof() {
  return useQuery({ queryKey: ["proof"], queryFn: ({ signal }) => watch.getProof({}, { signal }), refetchInterval: livePeriod });
}

/** Whether the second witness speaks. */
export type WatchState =
  | { state: "asking" }
  | { state: "running"; proof: GetProofResponse; stale: boolean }
  | { state: "not-running"; text: string }
  | { state: "refused"; text: string };

/** The watch, or what to tell instead. A watch that spoke before and now errs is shown as it was, and marked. */
export function useWatch(): WatchState {
  const q = useProof();
  const fault = q.error ? faultOf(q.error) : null;
  if (fault && fault.kind !== "away") {
    return fault.kind === "refused" ? { state: "refused", text: fault.text } : { state: "not-running", text: fault.text };
  }
  if (q.data) return { state: "running", proof: q.data, stale: fault !== null };
  return fault ? { state: "not-running", text: fault.text } : { state: "asking" };
}

/** Why the server can't be reached, and since when; null while it answers. */
export function useAway(): { fault: Fault; since: number } | null {
  const q = useStatus();
  const fault = q.error ? faultOf(q.error) : null;
  return fault?.kind === "away" ? { fault, since: q.dataUpdatedAt } : null;
}

/** A second of the charts. NaN: not known. */
export interface Sample {
  at: number; // seconds since 1970
  transfers: number; // a second, by the ledger
  events: number; // a second, by watch
  lag: number; // seconds from safe-through to now
}

/** How far back the charts go. */
export const chartSeconds = 300;

let samples: Sample[] = [];
const listeners = new Set<() => void>();
let last: { at: number; transfers: bigint | null; events: bigint | null } | null = null;

/** Rate of a counter; NaN where it is unknown or went back (the server was restarted). */
export function rateOf(before: bigint | null | undefined, now: bigint | null, seconds: number): number {
  if (before === null || before === undefined || now === null || seconds <= 0 || now < before) return Number.NaN;
  return Number(now - before) / seconds;
}

function record(status: StatusResponse | undefined, proof: GetProofResponse | undefined, at: number) {
  const now = { at, transfers: status?.transfers ?? null, events: proof?.events ?? null };
  if (last && at - last.at < 0.5) return;
  const seconds = last ? at - last.at : 0;
  const lag = proof && proof.safeThrough > 0n ? Number(proof.now - proof.safeThrough) / 1e9 : Number.NaN;
  if (last) {
    samples = [
      ...samples.filter((s) => s.at > at - chartSeconds),
      { at, transfers: rateOf(last.transfers, now.transfers, seconds), events: rateOf(last.events, now.events, seconds), lag },
    ];
    listeners.forEach((l) => l());
  }
  last = now;
}

/** Forgets what was recorded: another person, perhaps another server. */
export function forgetSamples() {
  samples = [];
  last = null;
}

/** Keeps the charts' history while the app is shown, whatever the page. Mount it once. */
export function useRecorder() {
  const status = useStatus();
  const proof = useProof();
  const at = status.dataUpdatedAt;
  useEffect(() => {
    if (at > 0) record(status.error ? undefined : status.data, proof.error ? undefined : proof.data, at / 1000);
    // A sample is taken when the status was asked for, with what the watch had said by then.
  }, [at]);
}

/** The last five minutes. */
export function useSamples(): Sample[] {
  return useSyncExternalStore(
    (l) => {
      listeners.add(l);
      return () => listeners.delete(l);
    },
    () => samples,
  );
}
