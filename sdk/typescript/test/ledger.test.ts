import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  AccountFlag, AccountRefused, type CreateTransfersStreamResponse, CreateTransferStatus, DiskState, type Entry, errorReason, ErrorReason, formatAmount, fromU128,
  IdGenerator, OutcomeUnknown, parseAmount, Sterling, TransferFlag, TransferRefused, u128,
} from "../src/index.js";
import { Cutter, TestServer } from "./server.js";

const asset = "CNY/2";
let server: TestServer;
let sterling: Sterling;

before(async () => {
  server = await TestServer.start();
  sterling = new Sterling({ baseUrl: `http://${server.address}`, token: server.token, userAgent: "test/1" });
  for (const id of [1n, 2n]) {
    await sterling.open({ id, asset, code: 1 });
  }
  await sterling.open({ id: 3n, asset, code: 1, flags: [AccountFlag.DEBITS_MUST_NOT_EXCEED_CREDITS], userData128: 7n, userData64: 8n });
});

after(async () => {
  sterling.close();
  await server.stop();
});

function entry(change: Entry = {}): Entry {
  return { debit: 1n, credit: 2n, amount: 5n, asset, code: 1, ...change };
}

async function credits(id: bigint): Promise<bigint> {
  const { accounts } = await sterling.ledger.lookupAccounts({ ids: [u128(id)] });
  return fromU128(accounts[0]!.creditsPosted);
}

test("accounts", async () => {
  const again = await sterling.open({ id: 1n, asset, code: 1 });
  assert.equal(again.existed, true);
  await assert.rejects(sterling.open({ id: 1n, asset: "USD/2", code: 1 }), AccountRefused);
  const { accounts } = await sterling.ledger.lookupAccounts({ ids: ["3", "999"] });
  assert.equal(accounts.length, 1);
  assert.equal(accounts[0]!.userData128, "7");
  assert.equal(accounts[0]!.userData64, 8n);
});

test("a transfer, and the same again", async () => {
  const had = await credits(2n);
  const made = await sterling.transfer(entry());
  assert.equal(made.existed, false);
  const again = await sterling.transfer(entry({ id: made.id }));
  assert.equal(again.existed, true);
  assert.equal(again.timestamp, made.timestamp);
  assert.equal(await credits(2n), had + 5n);
});

test("largest amounts stay exact", async () => {
  const amount = (1n << 127n) + 1n;
  await sterling.open({ id: 50n, asset, code: 1 });
  await sterling.open({ id: 51n, asset, code: 1 });
  await sterling.transfer(entry({ debit: 50n, credit: 51n, amount }));
  assert.equal(await credits(51n), amount);
});

test("refusals", async (t) => {
  await assert.rejects(sterling.transfer(entry({ debit: 3n })), (error) => error instanceof TransferRefused && error.status === CreateTransferStatus.EXCEEDS_CREDITS);
  await assert.rejects(sterling.chain([entry(), entry({ credit: 99n }), entry()]), (error) => error instanceof TransferRefused && error.index === 1 && error.status === CreateTransferStatus.CREDIT_ACCOUNT_NOT_FOUND);
  await assert.rejects(sterling.transfer(entry({ asset: "nonsense" })), (error) => error instanceof ConnectError && error.code === Code.InvalidArgument && errorReason(error) === ErrorReason.MALFORMED);
  await assert.rejects(sterling.transfer(entry({ flags: [TransferFlag.LINKED] })), RangeError);
  const stranger = new Sterling({ baseUrl: `http://${server.address}`, token: async () => "sterling_no" });
  t.after(() => stranger.close());
  await assert.rejects(stranger.transfer(entry()), (error) => error instanceof ConnectError && error.code === Code.Unauthenticated);
  const nameless = new Sterling({ baseUrl: `http://${server.address}`, token: () => Promise.reject(new Error("the vault is sealed")) });
  t.after(() => nameless.close());
  await assert.rejects(nameless.transfer(entry()), (error) => error instanceof ConnectError && error.message.includes("the vault is sealed"));
});

test("a chain sent again is recognised", async () => {
  const chain = [entry({ id: sterling.newId() }), entry({ id: sterling.newId(), userData32: 4 })];
  const first = await sterling.chain(chain);
  const again = await sterling.chain(chain);
  assert.deepEqual(again.map((result) => result.timestamp), first.map((result) => result.timestamp));
  assert.ok(again.every((result) => result.existed));
  await assert.rejects(sterling.chain([chain[0]!, entry()]), (error) => error instanceof TransferRefused && error.status === CreateTransferStatus.LINKED_EVENT_FAILED);
  await assert.rejects(sterling.chain([chain[0]!, { ...chain[1]!, amount: 6n }]), TransferRefused);
});

test("reserve, settle in part, and void", async () => {
  const had = await credits(2n);
  const held = await sterling.transfer(entry({ flags: [TransferFlag.PENDING], timeout: 60 }));
  await sterling.transfer({ pendingId: held.id, amount: 3n, flags: [TransferFlag.POST_PENDING_TRANSFER] });
  assert.equal(await credits(2n), had + 3n);
  await assert.rejects(sterling.transfer({ pendingId: held.id, flags: [TransferFlag.VOID_PENDING_TRANSFER] }), (error) => error instanceof TransferRefused && error.status === CreateTransferStatus.PENDING_TRANSFER_ALREADY_POSTED);
});

test("statement and queries, page by page", async () => {
  const made: bigint[] = [];
  await sterling.open({ id: 60n, asset, code: 6 });
  for (let i = 0; i < 5; i++) {
    made.push((await sterling.transfer(entry({ credit: 60n, userData64: 77n }))).id);
  }
  for (const reversed of [false, true]) {
    const listed: bigint[] = [];
    for await (const transfer of sterling.statement(60n, { limit: 2, reversed })) {
      listed.push(fromU128(transfer.id));
    }
    assert.deepEqual(reversed ? listed.reverse() : listed, made);
  }
  const { transfers } = await sterling.ledger.queryTransfers({ filter: { userData64: 77n } });
  assert.equal(transfers.length, 5);
});

test("a stream", async () => {
  async function* batches() {
    for (let sequence = 1n; sequence <= 3n; sequence++) {
      yield { sequence, transfers: [{ id: u128(sterling.newId()), debitAccountId: "1", creditAccountId: "2", amount: "1", asset, code: 1 }] };
    }
  }
  const answers: CreateTransfersStreamResponse[] = [];
  for await (const answer of sterling.ledger.createTransfersStream(batches())) {
    answers.push(answer);
  }
  assert.deepEqual(answers.map((answer) => answer.sequence).sort(), [1n, 2n, 3n]);
  assert.ok(answers.every((answer) => answer.results[0]!.status === CreateTransferStatus.CREATED));
});

async function throughCutter(t: TestContext) {
  const cutter = await Cutter.start(server.address);
  const client = new Sterling({ baseUrl: `http://${cutter.address}`, token: server.token });
  t.after(async () => {
    client.close();
    await cutter.stop();
  });
  return { cutter, client };
}

test("an answer that is lost pays once", async (t) => {
  const { cutter, client: shaky } = await throughCutter(t);
  const had = await credits(2n);
  await shaky.transfer(entry());
  cutter.hold();
  const id = shaky.newId();
  const pending = shaky.transfer(entry({ id }));
  while ((await sterling.ledger.lookupTransfers({ ids: [u128(id)] })).transfers.length === 0);
  cutter.cut();
  const result = await pending;
  assert.equal(result.existed, true);
  assert.equal(cutter.connections, 2);
  assert.equal(await credits(2n), had + 10n);
});

test("time that runs out leaves the outcome unknown, and names the ids", async (t) => {
  const { cutter, client: shaky } = await throughCutter(t);
  await shaky.transfer(entry());
  cutter.hold();
  const id = shaky.newId();
  await assert.rejects(shaky.transfer(entry({ id }), { timeoutMs: 200 }), (error) => error instanceof OutcomeUnknown && error.ids[0] === id && error.message.includes(String(id)));
  cutter.cut();
  await shaky.transfer(entry({ id }));
  await cutter.stop();
  const nobody = new Sterling({ baseUrl: `http://${cutter.address}`, token: server.token, patienceMs: 100 });
  t.after(() => nobody.close());
  await assert.rejects(nobody.transfer(entry()), OutcomeUnknown);
});

test("the operators' interface", async () => {
  const status = await sterling.admin.status({});
  assert.equal(status.disk, DiskState.OK);
});

test("the example", async () => {
  const example = fileURLToPath(new URL("../examples/payment.js", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [example, `http://${server.address}`, server.tokenFile]);
  assert.equal(stdout, "PENDING 12.90\nPOST_PENDING_TRANSFER 12.90\nnot possible: pending transfer already posted\n");
});

test("amounts", () => {
  for (const [decimal, of, minor, back] of [["12.34", asset, 1234n, "12.34"], ["12", asset, 1200n, "12.00"], ["0.05", asset, 5n, "0.05"], ["1.2300", asset, 123n, "1.23"], ["7", "JPY/0", 7n, "7"]] as const) {
    assert.equal(parseAmount(decimal, of), minor);
    assert.equal(formatAmount(minor, of), back);
  }
  for (const bad of ["1.234", "1.", ".5", "", "-1", "1,5", "1e3", "340282366920938463463374607431768211456"]) {
    assert.throws(() => parseAmount(bad, asset), RangeError, bad);
  }
  assert.throws(() => parseAmount("1", "cny/2"), RangeError);
  assert.throws(() => u128(-1n), RangeError);
  assert.throws(() => u128(1n << 128n), RangeError);
  assert.throws(() => fromU128("0x10"), RangeError);
});

test("ids grow, and carry their time", () => {
  const ids = new IdGenerator();
  let last = 0n;
  for (const now of [1000, 1000, 999, 1001, 1001, 5000]) {
    const id = ids.next(now);
    assert.ok(id > last);
    last = id;
  }
  assert.equal(last >> 80n, 5000n);
});

test("the token does not cross a network in clear", () => {
  assert.throws(() => new Sterling({ baseUrl: "http://ledger.example", token: "t" }), /unencrypted/);
  new Sterling({ baseUrl: "http://ledger.example", token: "t", plaintext: true }).close();
});
