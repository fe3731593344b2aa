import type { MetadataValue } from "../gen/sterling/ledger/v1/ledger_pb";
import { fullTime, hex } from "../lib/format";
import { Facts } from "./values";

/** One value of metadata, as a person reads it. */
export function metadataText(v: MetadataValue): string {
  switch (v.value.case) {
    case "time":
      return fullTime(v.value.value);
    case "data":
      return hex(v.value.value);
    case "personal":
      if (v.value.value.erased) return `erased (subject ${v.value.value.subject})`;
      return `${v.value.value.value ? metadataText(v.value.value.value) : ""} (subject ${v.value.value.subject})`;
    case undefined:
      return "";
    default:
      return String(v.value.value);
  }
}

/** Metadata under a line; nothing where there is none. */
export function Metadata({ of }: { of: Record<string, MetadataValue> }) {
  const keys = Object.keys(of).sort();
  if (keys.length === 0) return null;
  return (
    <div className="metadata">
      <Facts rows={keys.map((k) => [<span key={k} className="mono">{k}</span>, metadataText(of[k]!)])} />
    </div>
  );
}
