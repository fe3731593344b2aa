// The clients of the API, and what their errors mean to a person.
import { Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { AdminService } from "../gen/sterling/ledger/v1/admin_pb";
import { BooksService } from "../gen/sterling/ledger/v1/books_pb";
import { HistoryService } from "../gen/sterling/ledger/v1/history_pb";
import { LedgerService } from "../gen/sterling/ledger/v1/ledger_pb";
import { SandboxService } from "../gen/sterling/ledger/v1/sandbox_pb";
import { AuditService } from "../gen/sterling/watch/v1/audit_pb";
import { WatchService } from "../gen/sterling/watch/v1/watch_pb";
import { signOut, token } from "./session";

/** No call of the console may take longer: a person waits for it. */
const timeoutMs = 15_000;

const authorise: Interceptor = (next) => async (request) => {
  // Signing in tries a token before it is kept, and brings it along.
  if (!request.header.has("Authorization")) request.header.set("Authorization", `Bearer ${token() ?? ""}`);
  const used = request.header.get("Authorization");
  try {
    return await next(request);
  } catch (error) {
    // Only the session's own token ends the session: an answer may come after another person signed in.
    if (faultOf(error).kind === "signed-out" && used === `Bearer ${token()}`) {
      signOut("The server no longer accepts this token. Sign in again.");
    }
    throw error;
  }
};

const transport = createConnectTransport({
  baseUrl: window.location.origin,
  interceptors: [authorise],
  defaultTimeoutMs: timeoutMs,
  // The server's own deadline is shorter; this header would take its JSON calls off their short way.
  fetch: (input, init) => {
    const headers = new Headers(init?.headers);
    headers.delete("Connect-Timeout-Ms");
    return fetch(input, { ...init, headers, credentials: "omit", cache: "no-store" });
  },
});

export const admin = createClient(AdminService, transport);
export const books = createClient(BooksService, transport);
export const history = createClient(HistoryService, transport);
export const ledger = createClient(LedgerService, transport);
export const watch = createClient(WatchService, transport);
export const audit = createClient(AuditService, transport);
export const sandboxes = createClient(SandboxService, transport);

/** Fetches a file below /audit/ with the session's token. */
export async function auditFile(path: string): Promise<Uint8Array> {
  const response = await fetch(path, {
    headers: { Authorization: `Bearer ${token() ?? ""}` },
    credentials: "omit",
    cache: "no-store",
    signal: AbortSignal.timeout(timeoutMs),
  });
  if (!response.ok) throw new Error(`${path}: the server answered ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** What a failed call means to the person at the screen. */
export interface Fault {
  kind: "away" | "signed-out" | "refused" | "missing" | "not-running" | "busy" | "wrong";
  /** In words, by the server where it gave some. */
  text: string;
}

/** Sorts an error by what a person can do about it. */
export function faultOf(error: unknown): Fault {
  if (!(error instanceof ConnectError)) return { kind: "wrong", text: error instanceof Error ? error.message : String(error) };
  const text = error.rawMessage;
  // The browser's own word for "no answer" is a TypeError without an HTTP status.
  if (error.cause instanceof TypeError || error.code === Code.DeadlineExceeded || error.code === Code.Canceled) {
    return { kind: "away", text: "the server does not answer" };
  }
  switch (error.code) {
    case Code.Unauthenticated:
      return { kind: "signed-out", text };
    case Code.PermissionDenied:
      return { kind: "refused", text };
    case Code.NotFound:
      return { kind: "missing", text };
    case Code.Unimplemented:
      // Without words of the server's own it was the path that was not there.
      return { kind: "not-running", text: /^HTTP \d+/.test(text) ? "this server does not offer it" : text };
    case Code.Unavailable:
    case Code.ResourceExhausted:
      return { kind: "busy", text };
    default:
      return { kind: "wrong", text };
  }
}

/** A fresh id for a command: 128 random bits, in decimal, neither zero nor the maximum. */
export function newId(): string {
  const words = crypto.getRandomValues(new BigUint64Array(2));
  const id = (words[0]! << 64n) | words[1]!;
  return id === 0n || id === (1n << 128n) - 1n ? newId() : id.toString();
}
