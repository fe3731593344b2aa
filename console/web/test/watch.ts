// A watch that says what a test wants: messages of the real definition, put into the browser's calls.
import { clone, create, fromJson, toJson, type DescMessage, type JsonValue, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import type { BrowserContext, Route } from "playwright-core";
import { GetAuditStatusResponseSchema, ListCheckpointsRequestSchema, ListCheckpointsResponseSchema } from "../src/gen/sterling/watch/v1/audit_pb";
import * as w from "../src/gen/sterling/watch/v1/watch_pb";
import type { FakeLogAt } from "./log";

const second = 1_000_000_000n;
const nowNs = () => BigInt(Date.now()) * 1_000_000n;

/** Accounts of the demo bank. */
export const customer = "8800101000000001";
export const merchant = "8800201000000001";
export const fees = "8800301000000001";

export const ids = {
  duplicate: "3f9a1c5e7b2d40688e11aa2290ccd1f0",
  fee: "a51b0f3377aa4c9d9b0e5566778899aa",
  stuck: "0c44d1e2f3a4b5c6d7e8f90011223344",
  late: "77f0e1d2c3b4a5968778695a4b3c2d1e",
};

function seedBreaks(start: bigint): w.Break[] {
  const key = "88324405994843913958908055239297911837";
  return [
    create(w.BreakSchema, {
      id: ids.duplicate, class: "duplicate_post", flow: "card-payment", key, amountAtRisk: "128850", asset: "CNY/2", state: w.BreakState.OPEN,
      firstSeen: start + 96_000_000n, happened: start, changed: start + 96_000_000n, group: ids.duplicate, others: 2,
      summary: "One order of 1,288.50 CNY was booked twice: the second transfer came 41 ms after the first, with another id.",
      accountIds: [customer, merchant],
      stopLoss: { state: "frozen", selector: `account ${merchant}`, freezeId: "42", time: start + 131_000_000n },
      evidence: [
        { what: "instruction", source: "orders", seq: 48_211n, time: start - 310_000_000n, fields: [{ name: "amount", value: "1,288.50 CNY" }, { name: "debit_account", value: customer }, { name: "credit_account", value: merchant }, { name: "times", value: "1" }] },
        { what: "transfer", seq: 91_402n, index: 3, time: start - 41_000_000n, fields: [{ name: "amount", value: "1,288.50 CNY" }, { name: "debit_account", value: customer }, { name: "credit_account", value: merchant }, { name: "id", value: "247806050623272497941894152342749549933" }] },
        { what: "transfer", seq: 91_404n, index: 1, time: start, fields: [{ name: "amount", value: "1,288.50 CNY", wrong: true }, { name: "debit_account", value: customer }, { name: "credit_account", value: merchant }, { name: "id", value: "275983147784382417546124131212053332648", wrong: true }] },
      ],
      history: [{ time: start + 96_000_000n, state: w.BreakState.OPEN, who: "watch", why: "found in block 91,404" }],
      repair: [{ debitAccountId: merchant, creditAccountId: customer, amount: "128850", asset: "CNY/2", code: 4 }],
    }),
    create(w.BreakSchema, {
      id: ids.fee, class: "wrong_fee", flow: "card-payment", key: "91120733418862904471188230017265544102", amountAtRisk: "1", asset: "CNY/2", state: w.BreakState.OPEN,
      firstSeen: start - 75n * second, happened: start - 75n * second - 12_000_000n, group: ids.fee, summary: "The fee is 0.68 CNY; the terms of the flow make it 0.67 CNY.", accountIds: [merchant, fees],
      evidence: [
        { what: "instruction", source: "orders", seq: 47_950n, time: start - 76n * second, fields: [{ name: "amount", value: "112.00 CNY" }, { name: "fee", value: "0.67 CNY" }] },
        { what: "transfer", seq: 91_120n, index: 1, time: start - 75n * second, fields: [{ name: "amount", value: "112.00 CNY" }, { name: "fee", value: "0.68 CNY", wrong: true }] },
      ],
      repair: [{ debitAccountId: fees, creditAccountId: merchant, amount: "1", asset: "CNY/2", code: 12 }],
    }),
    create(w.BreakSchema, {
      id: ids.stuck, class: "stuck_pending", flow: "card-payment", key: "70113405994843913958908055239297910021", amountAtRisk: "20050", asset: "USD/2", state: w.BreakState.OPEN,
      firstSeen: start - 1260n * second, happened: start - 4860n * second, group: ids.stuck, summary: "Reserved 1 h ago, and neither captured nor released by the deadline.", accountIds: [customer],
      evidence: [{ what: "transfer", seq: 71_001n, time: start - 4860n * second, fields: [{ name: "amount", value: "200.50 USD" }, { name: "state", value: "pending", wrong: true }] }],
    }),
    create(w.BreakSchema, {
      id: ids.late, class: "missing_receipt", flow: "refund", key: "refund:2026-11-22:0071", amountAtRisk: "4990", asset: "CNY/2", state: w.BreakState.REPAIRED,
      firstSeen: start - 4000n * second, happened: start - 4040n * second, group: ids.late, summary: "Booked, and no word of the channel by the deadline. The receipt came 3 min late.", accountIds: [merchant],
      history: [
        { time: start - 4000n * second, state: w.BreakState.OPEN, who: "watch", why: "no receipt within 30 s" },
        { time: start - 3900n * second, state: w.BreakState.EXPLAINED, who: "lin.wei", why: "the scheme announced a delay" },
        { time: start - 3820n * second, state: w.BreakState.REPAIRED, who: "watch", why: "the receipt came" },
      ],
    }),
  ];
}

function flow(name: string, title: string, o: MessageInitShape<typeof w.FlowProofSchema> = {}): w.FlowProof {
  return create(w.FlowProofSchema, { flow: name, title, proven: true, sources: ["orders"], latenessP50: 41_000_000n, latenessP99: 390_000_000n, closedKeys: 18_402n, lateKeys: 3n, openKeys: 12n, ...o });
}

const cardYaml = `# Card payments: reserved, then captured whole or in parts.
flow: card-payment
title: Card payments
transfers: code == 3
key: user_data_128
order: {source: orders, deadline: 5s}
receipt: {source: card-scheme, deadline: 30s, outcomes: [settled, failed]}
settle: {deadline: 1h}
legs:
  - {name: payment, when: user_data_32 == 1, from: order.debit, to: order.credit, amount: order.amount, asset: order.asset}
  - {name: fee, fee: true, when: user_data_32 == 2, from: order.credit, to: "${fees}", amount: "max(1, moved * 6 / 1000)"}
`;

/** What the watch says now; a test changes it. */
export class FakeWatch {
  running = true;
  /** No answer at all, as the server. */
  away = false;
  /** Not null: the clock stands here. */
  standsAt: bigint | null = null;
  reason = "";
  breaks: w.Break[] = [];
  flows: w.FlowProof[] = [];
  sources: w.Source[] = [];
  definitions: string[] = [];
  log: FakeLogAt | null = null;
  /** Bends a file of the log on its way. */
  bend: (path: string, file: Uint8Array) => Uint8Array = (_, f) => f;
  publicKey = new Uint8Array(32);
  private readonly began = nowNs();
  /** The calls that changed something. */
  readonly calls: { method: string; body: JsonValue }[] = [];

  /** A bank's quiet day. */
  calm(): this {
    this.flows = [
      flow("card-payment", "Card payments", { sources: ["orders", "card-scheme"], closedKeys: 48_117n, lateKeys: 21n, latenessP50: 1_210_000_000n, latenessP99: 4_800_000_000n, openKeys: 118n }),
      flow("transfer", "Transfers between customers", { closedKeys: 9_120n }),
      flow("refund", "Refunds", { sources: ["orders", "card-scheme"], closedKeys: 1_204n, lateKeys: 9n, openKeys: 3n }),
      flow("salary", "Salaries"),
      flow("instalment", "Loan instalments", { closedKeys: 2_110n }),
      flow("settlement", "Settlement with the bank", { proven: false, sources: ["bank"], reason: "not proven: the bank's statement is the only witness; no second one is declared", closedKeys: 0n, lateKeys: 0n, openKeys: 0n }),
    ];
    this.definitions = [cardYaml, ...this.flows.slice(1).map((f) => `flow: ${f.flow}\ntitle: ${f.title}\n`)];
    const at = nowNs();
    this.sources = [
      create(w.SourceSchema, { name: "orders", throughSeq: 48_230n, throughTime: at, heard: at, observations: 48_230n }),
      create(w.SourceSchema, { name: "card-scheme", throughSeq: 39_870n, throughTime: at - second, heard: at, observations: 39_870n }),
      create(w.SourceSchema, { name: "bank", throughSeq: 12n, throughTime: at - 3600n * second, heard: at - 3600n * second, observations: 12n, silent: true }),
    ];
    return this;
  }

  /** A day with trouble. */
  trouble(): this {
    this.calm();
    this.breaks = seedBreaks(nowNs() - 64n * second);
    this.standsAt = this.breaks[0]!.happened - 1n;
    this.reason = "duplicate_post in card-payment is open";
    for (const f of this.flows) {
      f.openBreaks = BigInt(this.breaks.filter((b) => b.flow === f.flow && b.state === w.BreakState.OPEN).length);
      if (f.flow === "card-payment") f.reason = "duplicate_post is open";
    }
    return this;
  }

  proof(): w.GetProofResponse {
    const now = nowNs();
    const open = this.breaks.filter((b) => b.state === w.BreakState.OPEN);
    const safeThrough = this.standsAt ?? now - 240_000_000n;
    const risk = new Map<string, bigint>();
    for (const b of open) risk.set(b.asset, (risk.get(b.asset) ?? 0n) + BigInt(b.amountAtRisk));
    const blocks = 91_000n + (now - this.began) / 50_000_000n;
    return create(w.GetProofResponseSchema, {
      safeThrough, now, reason: this.reason, openBreaks: BigInt(open.reduce((n, b) => n + 1 + b.others, 0)),
      atRisk: [...risk].map(([asset, amount]) => ({ asset, amount: amount.toString() })),
      flows: this.flows.map((f) => clone(w.FlowProofSchema, { ...f, safeThrough: f.proven ? (f.reason ? safeThrough : now - 240_000_000n) : 0n })),
      appliedSeq: blocks - 2n, headSeq: blocks, events: 402_110n + ((now - this.began) / 1_000_000n) * 321n / 1000n, openKeys: 133n,
      totals: [
        { asset: "CNY/2", debitsPosted: "51579343983", creditsPosted: "51579343983", debitsPending: "351859", creditsPending: "351859", transfers: 2796n },
        { asset: "USD/2", debitsPosted: "5284927", creditsPosted: "5284927", debitsPending: "102", creditsPending: "102", transfers: 412n },
      ],
    });
  }

  private list(r: w.ListBreaksRequest): w.ListBreaksResponse {
    const found = this.breaks.filter((b) => (r.state === 0 || b.state === r.state) && (!r.flow || b.flow === r.flow) && (!r.class || b.class === r.class));
    return create(w.ListBreaksResponseSchema, { breaks: found.slice(0, r.limit || 100).map((b) => ({ ...b, evidence: [], history: [] })) });
  }

  private decide(id: string, state: w.BreakState, why: string) {
    const b = this.breaks.find((o) => o.id === id)!;
    b.state = state;
    b.history.push(create(w.BreakEventSchema, { time: nowNs(), state, who: "first admin", why }));
    return b;
  }

  /** Answers a call of WatchService; null: there is no such method. */
  private answer(method: string, body: JsonValue): JsonValue | null {
    const reply = <D extends DescMessage>(schema: D, message: MessageShape<D>) => toJson(schema, message, { alwaysEmitImplicit: true });
    const read = <D extends DescMessage>(schema: D) => fromJson(schema, body);
    switch (method) {
      case "GetProof":
        return reply(w.GetProofResponseSchema, this.proof());
      case "ListFlows":
        return reply(w.ListFlowsResponseSchema, create(w.ListFlowsResponseSchema, { flows: this.proof().flows, definitions: this.definitions }));
      case "ListSources":
        return reply(w.ListSourcesResponseSchema, create(w.ListSourcesResponseSchema, { sources: this.sources }));
      case "ListBreaks":
        return reply(w.ListBreaksResponseSchema, this.list(read(w.ListBreaksRequestSchema)));
      case "GetBreak": {
        const found = this.breaks.find((b) => b.id === read(w.GetBreakRequestSchema).id);
        return found ? reply(w.GetBreakResponseSchema, create(w.GetBreakResponseSchema, { found })) : null;
      }
      case "DecideBreak": {
        const r = read(w.DecideBreakRequestSchema);
        return reply(w.DecideBreakResponseSchema, create(w.DecideBreakResponseSchema, { found: this.decide(r.id, r.state, r.why) }));
      }
      case "ListCheckpoints": {
        const r = read(ListCheckpointsRequestSchema);
        const all = this.log!.newest(r.limit + (r.before > 0n ? this.log!.entries.length - Number(r.before) : 0));
        return reply(ListCheckpointsResponseSchema, create(ListCheckpointsResponseSchema, { checkpoints: r.before > 0n ? all.filter((c) => c.index < r.before) : all }));
      }
      default:
        return null;
    }
  }

  private async auditStatus(): Promise<JsonValue> {
    const log = this.log!;
    return toJson(
      GetAuditStatusResponseSchema,
      create(GetAuditStatusResponseSchema, { size: BigInt(log.entries.length), root: await log.root(), note: await log.note(), publicKey: this.publicKey }),
      { alwaysEmitImplicit: true },
    );
  }

  private async serve(route: Route): Promise<void> {
    const request = route.request();
    const path = new URL(request.url()).pathname;
    if (this.away) return route.abort("connectionrefused");
    const log = path.startsWith("/audit/") || path.includes("AuditService");
    if (!this.running || (log && !this.log)) return route.fulfill({ status: 404, contentType: "text/plain", body: "there is nothing at this path" });
    if (path.startsWith("/audit/")) {
      const name = path.slice("/audit/".length);
      return route.fulfill({ body: Buffer.from(this.bend(name, await this.log!.audit(name))) });
    }
    const method = path.split("/").at(-1)!;
    const body = request.postDataJSON() as JsonValue;
    if (/^(Decide|Propose)/.test(method)) this.calls.push({ method, body });
    const json = method === "GetAuditStatus" ? await this.auditStatus() : this.answer(method, body);
    if (json === null) return route.fulfill({ status: 404, contentType: "application/json", body: JSON.stringify({ code: "not_found", message: "there is no such break" }) });
    return route.fulfill({ contentType: "application/json", body: JSON.stringify(json) });
  }

  /** Puts itself between a browser and the server. */
  async stand(context: BrowserContext): Promise<this> {
    await context.route(/\/(sterling\.watch\.v1\.|audit\/)/, (route) => this.serve(route));
    return this;
  }
}
