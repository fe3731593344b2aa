import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { CreateAccountStatus, CreateTransferStatus, ErrorDetailSchema, ErrorReason } from "./gen/sterling/ledger/v1/status_pb.js";

/** Why the server refused a call as a whole; UNSPECIFIED if it did not say. */
export function errorReason(error: unknown): ErrorReason {
  if (!(error instanceof ConnectError)) {
    return ErrorReason.UNSPECIFIED;
  }
  return error.findDetails(ErrorDetailSchema)[0]?.reason ?? ErrorReason.UNSPECIFIED;
}

/** How long the server asks to wait before the call is sent again, in ms; 0 if it does not. */
export function retryAfter(error: ConnectError): number {
  for (const detail of error.details) {
    if ("type" in detail && detail.type === "google.rpc.RetryInfo") {
      try {
        const { seconds, nanos } = fromBinary(DurationSchema, delayOf(detail.value));
        return Math.max(0, Number(seconds) * 1000 + nanos / 1e6);
      } catch {
        return 0; // not from a Sterling
      }
    }
  }
  return 0;
}

/** The Duration in a google.rpc.RetryInfo, its only field: one more package for it is not worth its weight. */
function delayOf(info: Uint8Array): Uint8Array {
  const reader = new BinaryReader(info);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === 1) {
      return reader.bytes();
    }
    reader.skip(type);
  }
  return new Uint8Array();
}

/** One transfer was refused: nothing of it, and of the chain it stood in, was recorded. */
export class TransferRefused extends Error {
  override readonly name = "TransferRefused";
  constructor(
    readonly id: bigint,
    /** Place in the chain, from 0. */
    readonly index: number,
    readonly status: CreateTransferStatus,
  ) {
    super(`transfer ${id} refused: ${words(CreateTransferStatus[status])}`);
  }
}

/** One account was refused and not opened. */
export class AccountRefused extends Error {
  override readonly name = "AccountRefused";
  constructor(
    readonly id: bigint,
    readonly status: CreateAccountStatus,
  ) {
    super(`account ${id} refused: ${words(CreateAccountStatus[status])}`);
  }
}

/**
 * The events may or may not have been recorded: the answer was lost, or time ran
 * out. Send the same events with the same ids again, at any time, to find out; a
 * new id could pay twice.
 */
export class OutcomeUnknown extends Error {
  override readonly name = "OutcomeUnknown";
  constructor(
    readonly ids: bigint[],
    override readonly cause: unknown,
  ) {
    const named = ids.slice(0, 8).join(", ") + (ids.length > 8 ? ` and ${ids.length - 8} more` : "");
    super(`outcome unknown of id ${named}: send again with the same ids: ${String(cause)}`);
  }
}

function words(name: string | undefined): string {
  return (name ?? "unknown status").toLowerCase().replaceAll("_", " ");
}

/** Whether the same request may succeed in a while. */
export function isPassing(error: ConnectError): boolean {
  switch (error.code) {
    case Code.Unavailable:
    case Code.DeadlineExceeded:
      return true;
    case Code.ResourceExhausted:
      // These need a person to make room.
      return ![ErrorReason.TOO_LARGE, ErrorReason.ASSETS_EXHAUSTED, ErrorReason.STORE_FULL].includes(errorReason(error)) &&
        // Without a time the call is larger than the rate ever allows.
        (errorReason(error) !== ErrorReason.RATE_LIMITED || retryAfter(error) > 0);
    // A connection that broke in the middle of an answer has no code of its own.
    case Code.Aborted:
    case Code.Canceled: // by the caller: its signal is aborted, which the loop sees first
    case Code.Internal:
    case Code.Unknown:
      return errorReason(error) === ErrorReason.UNSPECIFIED && isLostConnection(error);
    default:
      return false;
  }
}

function isLostConnection(error: ConnectError): boolean {
  for (let cause: unknown = error.cause; cause instanceof Error; cause = cause.cause) {
    if ("code" in cause && typeof cause.code === "string" && /^(ECONN|EPIPE|ERR_HTTP2|ERR_STREAM)/.test(cause.code)) {
      return true;
    }
  }
  return /http2|stream|connection|missing trailer|protocol error/i.test(error.rawMessage);
}

/** Whether an error says that nothing was recorded. In doubt it is false. */
export function isSurelyRefused(error: ConnectError): boolean {
  switch (errorReason(error)) {
    case ErrorReason.OVERLOADED:
      return true;
    case ErrorReason.OUTCOME_UNKNOWN:
    case ErrorReason.INTERNAL:
      return false;
  }
  return [
    Code.InvalidArgument, Code.NotFound, Code.PermissionDenied, Code.Unauthenticated, Code.FailedPrecondition,
    Code.ResourceExhausted, Code.Unimplemented, Code.OutOfRange,
  ].includes(error.code);
}
