import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  AccountFlag, AccountRefused, ControlStatus, type CreateTransfersStreamResponse, CreateTransferStatus, DiskState, type Entry, EventKind, errorReason, ErrorReason, formatAmount, fromU128,
  IdGenerator, type Metadata, OutcomeUnknown, parseAmount, Sterling, TransferFlag, TransferRefused, u128, value,
} from "../src/index.js";
import { isPassing, retryAfter } from "../src/errors.js";
import { ErrorDetailSchema } from "../src/gen/sterling/ledger/v1/status_pb.js";
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

test("shadow traffic is marked, and refused by a ledger that is no shadow", async () => {
  const shadow = new Sterling({ baseUrl: `http://${server.address}`, token: server.token, shadow: true });
  await assert.rejects(shadow.open({ id: 77n, asset, code: 1 }), (error) => errorReason(error) === ErrorReason.SHADOW_REFUSED);
  shadow.close();
  const { accounts } = await sterling.ledger.lookupAccounts({ ids: ["77"] });
  assert.equal(accounts.length, 0);
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

const yesterday = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10);

function everyKind(): Metadata {
  return {
    order: value.text("A-17"), parts: value.integer(-3n), gift: value.truth(true), tax: value.amount(1n << 100n), shipped: value.time(1_700_000_000_000_000_005n),
    digest: value.data(new Uint8Array([0, 255])), name: value.personal("customer-ts", value.text("Zhao")),
  };
}

test("addresses and metadata", async () => {
  const address = "merchant:1001:settlement";
  await sterling.open({ id: 70n, asset, code: 2, address, metadata: everyKind() });
  assert.equal((await sterling.open({ id: 70n, asset, code: 2, address, metadata: everyKind() })).existed, true);
  await assert.rejects(sterling.open({ asset, code: 2, address }), AccountRefused);
  const [found, ...others] = await sterling.lookupAddresses(["nobody", address]);
  assert.equal(others.length, 0);
  assert.equal(found!.id, "70");
  assert.deepEqual(found!.metadata, everyKind());
  for (const status of [ControlStatus.CREATED, ControlStatus.EXISTS]) {
    const set = await sterling.ledger.setMetadata({ id: "71", accountId: "70", metadata: { tier: value.integer(2n) } });
    assert.equal(set.status, status);
  }
  assert.deepEqual((await sterling.lookupAddresses([address]))[0]!.metadata, { tier: value.integer(2n) });
});

test("a chain sent again heeds booking dates and metadata", async () => {
  const chain = [entry({ id: sterling.newId() }), entry({ id: sterling.newId(), bookingDate: yesterday, metadata: everyKind() })];
  await sterling.chain(chain);
  assert.ok((await sterling.chain(chain)).every((result) => result.existed));
  const { transfers } = await sterling.ledger.lookupTransfers({ ids: [u128(chain[1]!.id!)] });
  assert.equal(transfers[0]!.bookingDate, yesterday);
  assert.deepEqual(transfers[0]!.metadata, everyKind());
  for (const change of [{ bookingDate: "" }, { metadata: {} }, { metadata: { ...everyKind(), parts: value.integer(4n) } }]) {
    await assert.rejects(sterling.chain([chain[0]!, { ...chain[1]!, ...change }]), TransferRefused);
  }
});

test("transactions", async (t) => {
  await sterling.open({ id: 80n, asset, code: 1 });
  const legs = [{ debit: 1n, credit: 2n, amount: 5n, asset, code: 1 }, { debit: 2n, credit: 80n, amount: 3n, asset, code: 1 }];
  const { cutter, client: shaky } = await throughCutter(t);
  await shaky.ledger.listAssets({});
  cutter.hold();
  const id = shaky.newId();
  const sale = { id, legs, controlSum: 8n, bookingDate: yesterday, metadata: { order: value.text("A-17") } };
  const pending = shaky.createTransaction(sale);
  while ((await credits(80n)) === 0n);
  cutter.cut();
  const made = await pending;
  assert.equal(made.existed, true);
  assert.equal(made.legs.length, 2);
  assert.equal(await credits(80n), 3n);
  const got = await sterling.ledger.getTransaction({ id: u128(id) });
  assert.deepEqual(got.transaction!.legs.map((leg) => [fromU128(leg.id), leg.bookingDate]), made.legs.map((leg) => [leg, yesterday]));
  await assert.rejects(sterling.createTransaction({ ...sale, legs: legs.slice(1), controlSum: 3n }), (error) => error instanceof TransferRefused && error.index === -1 && error.status === CreateTransferStatus.EXISTS_WITH_DIFFERENT_LEGS);
  await assert.rejects(sterling.createTransaction({ legs: [legs[0]!, { ...legs[1]!, credit: 99n }] }), (error) => error instanceof TransferRefused && error.index === 1 && error.status === CreateTransferStatus.CREDIT_ACCOUNT_NOT_FOUND);
  await assert.rejects(sterling.createTransaction({ legs, controlSum: 9n }), (error) => errorReason(error) === ErrorReason.UNBALANCED);
  cutter.hold();
  await assert.rejects(shaky.createTransaction({ legs }, { timeoutMs: 200 }), OutcomeUnknown);
});

test("a subscription outlives its connections", async (t) => {
  const { cutter, client: shaky } = await throughCutter(t);
  await sterling.open({ id: 90n, asset, code: 1 });
  const filter = { accountIds: ["90"], kinds: [EventKind.TRANSFER_CREATED] };
  let last = (await sterling.transfer(entry({ credit: 90n }))).id;
  let seen = 0;
  for await (const run of shaky.subscribe({ start: { case: "fromBeginning", value: true }, filter })) {
    for (const event of run.events) {
      assert.equal(event.body.case === "transfer" && fromU128(event.body.value.id), last);
      seen++;
    }
    if (run.events.length > 0) {
      cutter.cut();
      last = (await sterling.transfer(entry({ credit: 90n }))).id;
    }
    if (seen === 4) {
      break;
    }
  }
  assert.ok(cutter.connections >= 4);
  const stop = new AbortController();
  stop.abort();
  await assert.rejects(shaky.subscribe({ start: { case: "fromNow", value: true } }, { signal: stop.signal }).next());
  const stranger = new Sterling({ baseUrl: `http://${server.address}`, token: "sterling_no" });
  t.after(() => stranger.close());
  await assert.rejects(stranger.subscribe({ start: { case: "fromNow", value: true } }).next(), (error) => error instanceof ConnectError && error.code === Code.Unauthenticated);
});

test("a day is closed", async () => {
  const day = new Date(Date.now() - 10 * 86_400_000).toISOString().slice(0, 10);
  const id = u128(sterling.newId());
  for (const status of [ControlStatus.CREATED, ControlStatus.EXISTS]) {
    assert.equal((await sterling.books.closeDay({ id, date: day, reason: "end of day" })).status, status);
  }
  const close = await sterling.books.getClose({ id });
  assert.equal(close.signature.length, 64);
  await assert.rejects(sterling.transfer(entry({ bookingDate: day })), (error) => error instanceof TransferRefused && error.status === CreateTransferStatus.BOOKING_DAY_CLOSED);
});

test("personal metadata of who was erased", async () => {
  const chain = [entry({ id: sterling.newId() }), entry({ id: sterling.newId(), metadata: { name: value.personal("erased-ts", value.text("Zhao")) } })];
  await sterling.chain(chain);
  const erased = await sterling.erasure.erase({ id: u128(sterling.newId()), subject: "erased-ts", reason: "asked for" });
  assert.equal(erased.status, ControlStatus.CREATED);
  await assert.rejects(sterling.transfer({ ...chain[1]!, id: sterling.newId() }), (error) => errorReason(error) === ErrorReason.SUBJECT_ERASED);
});

test("a limited rate is waited for where that helps", () => {
  const limited = (delay?: Uint8Array) => {
    const error = new ConnectError("the rate is used up", Code.ResourceExhausted, undefined, [{ desc: ErrorDetailSchema, value: { reason: ErrorReason.RATE_LIMITED } }]);
    if (delay) {
      error.details.push({ type: "google.rpc.RetryInfo", value: delay });
    }
    return error;
  };
  const info = new Uint8Array([0x0a, 0x07, 0x08, 0x02, 0x10, 0x80, 0xca, 0xb5, 0xee]); // 2 s, then nanoseconds cut off
  assert.equal(retryAfter(limited(info)), 0);
  const half = limited(new Uint8Array([0x0a, 0x08, 0x08, 0x02, 0x10, 0x80, 0xca, 0xb5, 0xee, 0x01]));
  assert.equal(retryAfter(half), 2500);
  assert.equal(isPassing(half), true);
  assert.equal(isPassing(limited()), false);
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
