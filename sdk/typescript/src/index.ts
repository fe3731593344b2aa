/**
 * Client of a Sterling ledger for Node. Start reading at Sterling; what the fields
 * of messages mean is said in the generated files, which carry the comments of
 * proto/sterling/ledger/v1.
 */
export * from "./amount.js";
export * from "./client.js";
export { AccountRefused, errorReason, OutcomeUnknown, TransferRefused } from "./errors.js";
export * from "./gen/sterling/ledger/v1/admin_pb.js";
export * from "./gen/sterling/ledger/v1/books_pb.js";
export * from "./gen/sterling/ledger/v1/erasure_pb.js";
export * from "./gen/sterling/ledger/v1/feed_pb.js";
export * from "./gen/sterling/ledger/v1/ledger_pb.js";
export * from "./gen/sterling/ledger/v1/status_pb.js";
export { IdGenerator } from "./id.js";
export { type Metadata, value } from "./metadata.js";
