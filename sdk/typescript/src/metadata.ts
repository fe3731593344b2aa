import { create, equals, type MessageInitShape } from "@bufbuild/protobuf";
import { u128 } from "./amount.js";
import { type MetadataValue, MetadataValueSchema } from "./gen/sterling/ledger/v1/ledger_pb.js";

/** Entries by key: letters, digits, '.', '_' and '-', up to 64 bytes; up to 32 entries, all together up to 4 KiB. */
export type Metadata = Record<string, MetadataValue>;

type Value = Exclude<MessageInitShape<typeof MetadataValueSchema>, MetadataValue>["value"];

const make = (value: NonNullable<Value>): MetadataValue => create(MetadataValueSchema, { value });

/** Makes the values of metadata. */
export const value = {
  /** Up to 1,024 bytes. */
  text: (text: string): MetadataValue => make({ case: "text", value: text }),
  /** 64 bits with a sign. */
  integer: (integer: bigint): MetadataValue => make({ case: "integer", value: integer }),
  truth: (truth: boolean): MetadataValue => make({ case: "truth", value: truth }),
  /** Minor units. */
  amount: (minor: bigint): MetadataValue => make({ case: "amount", value: u128(minor) }),
  /** Nanoseconds since 1970 UTC. */
  time: (nanoseconds: bigint): MetadataValue => make({ case: "time", value: nanoseconds }),
  /** Up to 1,024 bytes. */
  data: (data: Uint8Array): MetadataValue => make({ case: "data", value: data }),
  /**
   * Of a person: encrypted with a key of the subject's own, which can be destroyed. The
   * subject is kept in clear for ever: a customer number, never a name.
   */
  personal: (subject: string, of: MetadataValue): MetadataValue => make({ case: "personal", value: { subject, value: of } }),
};

/** Whether got is what asked recorded. What was erased since can't be compared but by whose it was. */
export function isSameMetadata(asked: Metadata, got: Metadata): boolean {
  const keys = Object.keys(asked);
  return keys.length === Object.keys(got).length && keys.every((key) => {
    const [a, g] = [asked[key]!.value, got[key]?.value];
    if (a.case === "personal" && g?.case === "personal" && g.value.erased) {
      return a.value.subject === g.value.subject;
    }
    return got[key] !== undefined && equals(MetadataValueSchema, asked[key]!, got[key]);
  });
}
