// Sandboxes that a test wants: messages of the real definition, put into the browser's calls.
import { create, toJson, type JsonValue } from "@bufbuild/protobuf";
import type { BrowserContext } from "playwright-core";
import { GetSandboxResponseSchema, ListSandboxesResponseSchema, SandboxLineSchema, SandboxProcessSchema, SandboxSchema, type GetSandboxResponse } from "../src/gen/sterling/ledger/v1/sandbox_pb";

const start = BigInt(Date.now() - 60_000) * 1_000_000n;
const at = (ms: number) => start + BigInt(ms) * 1_000_000n;

const parser = create(SandboxSchema, {
  id: "statement-parser", state: "running", isolation: "gvisor-systrap", start: "pool", command: ["/parser", "--format", "camt.053"], root: "sha256:3d9f2889d678",
  policySha256: "a75ae8328132e0f3fedae6b61c8b19cbbedc87c8a9ecd28a49591a74b2d5595c", created: start, events: 6n, gaps: 1n, lost: 12n, alerts: 1n,
  head: "46a86c6c440e933e343671f4350d0e104d387469f6beb6591eb7ef663222a3fc", loggedIn: "https://ledger:7600", loggedLines: 7n,
});
const scorer = create(SandboxSchema, {
  id: "scorer", state: "ended", reason: "exited", isolation: "gvisor-systrap", start: "cold", command: ["/scorer"], created: at(-9000), ended: at(-2000), exit: 0, events: 40n, logFault: "the log is away",
});

const line = (seq: number, kind: string, body: JsonValue) => create(SandboxLineSchema, { seq: BigInt(seq), time: at(seq * 100), kind, body: JSON.stringify(body) });
const process = (id: number, parent: number, argv: string[], sha256: string, ended = 0, status = 0, session = false) =>
  create(SandboxProcessSchema, { id: BigInt(id), parent: BigInt(parent), path: argv[0]!, argv, sha256, uid: 65534, began: at(id * 10), ended: ended ? at(ended) : 0n, status, session });

const sha = (c: string) => c.repeat(64);
const event = (point: string, process: number, rest: Record<string, JsonValue>) => ({ point, context: { process }, ...rest });

/** A record that is right but for a gap and an alert. */
export function record(): GetSandboxResponse {
  const gap = line(3, "gap", { reason: "dropped", lost: 12 });
  const alert = line(5, "alert", { rule: "unknown-binary", action: "alert", of: 4 });
  return create(GetSandboxResponseSchema, {
    sandbox: parser, verified: 7n, breaks: [gap, alert],
    processes: [process(1, 0, ["/parser", "--format", "camt.053"], sha("a")), process(2, 1, ["/bin/gunzip", "-c"], sha("b"), 500, 0), process(3, 2, ["/bin/sh", "-c", "id"], sha("c"), 600, 9, true)],
    lines: [
      line(0, "begin", { format: 2, sandbox: "statement-parser", isolation: "gvisor-systrap" }),
      line(1, "event", event("start", 1, { argv: ["/parser", "--format", "camt.053"] })),
      line(2, "event", event("open", 1, { path: "/run/secrets/key", result: 5 })),
      gap,
      line(4, "event", event("exec", 3, { argv: ["/bin/sh", "-c", "id"], sha256: sha("c") })),
      alert,
      line(6, "host", { cpu: 149416640, memory: 22659072 }),
    ],
  });
}

/** Puts itself between a browser and the server. */
export async function standForSandboxes(context: BrowserContext, one: () => GetSandboxResponse): Promise<void> {
  await context.route(/\/sterling\.ledger\.v1\.SandboxService\//, (route) => {
    const list = route.request().url().endsWith("ListSandboxes");
    const json = list
      ? toJson(ListSandboxesResponseSchema, create(ListSandboxesResponseSchema, { sandboxes: [scorer, parser] }), { alwaysEmitImplicit: true })
      : toJson(GetSandboxResponseSchema, one(), { alwaysEmitImplicit: true });
    return route.fulfill({ contentType: "application/json", body: JSON.stringify(json) });
  });
}
