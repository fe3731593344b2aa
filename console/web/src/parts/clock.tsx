// The safe-through clock. It shows what is proven and never runs ahead of it: between two answers only its age grows.
import { useEffect, useState } from "react";
import type { GetProofResponse } from "../gen/sterling/watch/v1/watch_pb";
import { duration } from "../lib/format";
import { useAway, useProof, useWatch } from "../lib/live";
import type { Tone } from "./values";

/** From here on a proof that does not follow is worth a look: nanoseconds. */
const lateAfter = 5_000_000_000n;

/** Re-renders every so many ms. */
export function useTick(ms: number): number {
  const [now, setNow] = useState(() => performance.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(performance.now()), ms);
    return () => clearInterval(timer);
  }, [ms]);
  return now;
}

/** How far the proof is behind the server's clock, in ns: as answered, plus the time since. */
export function useAge(proof: GetProofResponse | undefined): bigint {
  const { dataUpdatedAt } = useProof();
  useTick(200);
  if (!proof || proof.safeThrough === 0n) return 0n;
  const since = BigInt(Math.max(0, Math.round(Date.now() - dataUpdatedAt))) * 1_000_000n;
  const age = proof.now - proof.safeThrough + since;
  return age > 0n ? age : 0n;
}

/** What the proof says, in a tone and a few words. */
export interface Verdict {
  tone: Tone;
  words: string;
}

/** Judges a proof of this age. */
export function judge(proof: GetProofResponse, age: bigint, stale: boolean): Verdict {
  if (stale) return { tone: "bad", words: "server does not answer" };
  if (proof.safeThrough === 0n) return { tone: "warn", words: proof.reason || "nothing is proven yet" };
  if (proof.openBreaks > 0n) return { tone: "bad", words: proof.reason || "breaks are open" };
  if (proof.reason !== "") return { tone: "warn", words: proof.reason };
  if (age > lateAfter) return { tone: "warn", words: "proof is behind" };
  return { tone: "good", words: "follows the clock" };
}

/** The proof as it stands: to be shown small in every page's header and large on the overview. */
export function useVerdict() {
  const watch = useWatch();
  const away = useAway() !== null;
  const proof = watch.state === "running" ? watch.proof : undefined;
  const age = useAge(proof);
  if (watch.state === "running") {
    return { watch, proof, age, ageText: duration(age), verdict: judge(watch.proof, age, watch.stale || away), stale: watch.stale || away };
  }
  const words = { asking: "asking…", "not-running": "watch is not running", refused: "not for this token" }[watch.state];
  const verdict: Verdict = { tone: watch.state === "not-running" ? "bad" : "quiet", words };
  return { watch, proof, age, ageText: "", verdict, stale: away };
}
