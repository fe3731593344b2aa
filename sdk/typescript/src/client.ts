import { create, type DescService, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import { type CallOptions, type Client, Code, ConnectError, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { fromU128, u128 } from "./amount.js";
import { AccountRefused, OutcomeUnknown, TransferRefused } from "./errors.js";
import { AdminService } from "./gen/sterling/ledger/v1/admin_pb.js";
import { BooksService } from "./gen/sterling/ledger/v1/books_pb.js";
import { ErasureService } from "./gen/sterling/ledger/v1/erasure_pb.js";
import { FeedService, type SubscribeRequestSchema, type SubscribeResponse } from "./gen/sterling/ledger/v1/feed_pb.js";
import {
  type Account, type AccountFilter, type AccountSchema, type CreateTransactionRequest, type CreateTransactionRequestSchema, LedgerService,
  type Position, type Transfer, TransferFlag, TransferSchema,
} from "./gen/sterling/ledger/v1/ledger_pb.js";
import { CreateAccountStatus, CreateTransferStatus } from "./gen/sterling/ledger/v1/status_pb.js";
import { IdGenerator } from "./id.js";
import { isSameMetadata, type Metadata } from "./metadata.js";
import { mayBeRecorded, repeat, resume } from "./retry.js";

/** How to reach a ledger. */
export interface Options {
  /** Such as "http://127.0.0.1:7600" or "https://ledger.example". */
  baseUrl: string;
  /** The token, or what returns it for every attempt, so that it can be rotated. */
  token: string | (() => string | Promise<string>);
  /** How long a call is repeated that has no timeoutMs of its own; 30,000 unless told. */
  patienceMs?: number;
  /** Lets the token cross a network unencrypted; without it only loopback is called by http. */
  plaintext?: boolean;
  /** PEM texts for https: authorities of the server, and this client's certificate and key (mTLS). */
  tls?: { ca?: string; cert?: string; key?: string };
  /** Names the program that calls, such as "checkout/1.4". */
  userAgent?: string;
  /** Marks every call as shadow traffic of a load test, which takes a token made for it. */
  shadow?: boolean;
  /** Run around every attempt of every call. */
  interceptors?: Interceptor[];
}

type TransferInit = Exclude<MessageInitShape<typeof TransferSchema>, Transfer>;
type TransactionInit = Exclude<MessageInitShape<typeof CreateTransactionRequestSchema>, CreateTransactionRequest>;
type AccountInit = Exclude<MessageInitShape<typeof AccountSchema>, Account>;

/**
 * One transfer to record: the fields of the API's Transfer, with integers for ids
 * and for the amount in minor units.
 */
export interface Entry extends Omit<TransferInit, keyof Message | "id" | "debitAccountId" | "creditAccountId" | "amount" | "pendingId" | "userData128" | "timestamp" | "metadata"> {
  /** The idempotency key. Absent: one is made; results and errors have it. */
  id?: bigint;
  debit?: bigint;
  credit?: bigint;
  /** Absent on a post or void: the whole pending amount. */
  amount?: bigint;
  /** That a post or void settles. */
  pendingId?: bigint;
  userData128?: bigint;
  /** Recorded with the transfer and never changed. */
  metadata?: Metadata;
}

/** Several transfers under one id: the fields of the API's CreateTransactionRequest, with integers for ids and amounts. */
export interface Transaction extends Omit<TransactionInit, keyof Message | "id" | "legs" | "userData128" | "controlSum" | "metadata"> {
  /** The idempotency key. Absent: one is made. */
  id?: bigint;
  /** Applied in order; 1 to 8,189. Their ids follow from the transaction's. */
  legs: Omit<Entry, "id">[];
  userData128?: bigint;
  /** What the amounts of all legs must add up to; else nothing is recorded. */
  controlSum?: bigint;
  metadata?: Metadata;
}

/** A transaction that is recorded. */
export interface TransactionResult extends Result {
  /** Ids of the legs, in order. */
  legs: bigint[];
}

/** One account to open: the fields of the API's Account, with integers for ids. */
export interface Opening extends Omit<AccountInit, keyof Message | "id" | "userData128" | "timestamp" | "metadata" | "debitsPending" | "debitsPosted" | "creditsPending" | "creditsPosted"> {
  /** Absent: one is made. */
  id?: bigint;
  /** CODE/SCALE such as "CNY/2". */
  asset: string;
  /** Place in the chart of accounts, 1 to 65,535. */
  code: number;
  userData128?: bigint;
  /** May be replaced later: ledger.setMetadata. */
  metadata?: Metadata;
}

/** An event that is recorded in the ledger. */
export interface Result {
  id: bigint;
  /** The ledger's, in ns since 1970 UTC. */
  timestamp: bigint;
  /** It was there before, perhaps by an earlier attempt of the same call. */
  existed: boolean;
  /** Sees the event when given to a query as minPosition. */
  position?: Position;
}

/** Which transfers of an account, and how many in a call (limit); see AccountFilter. */
export type StatementFilter = Partial<Omit<AccountFilter, "accountId" | keyof Message>>;

/** A client of one ledger. Close it after use, or its connection keeps the process alive. */
export class Sterling {
  /** Every call of the ledger, as generated; unary calls are repeated with the same ids. */
  readonly ledger: Client<typeof LedgerService>;
  /** The operators' calls, as generated; they are not repeated. */
  readonly admin: Client<typeof AdminService>;

  /** Days that are closed, and decisions of two people, as generated; every call has an id and is repeated with it. */
  readonly books: Client<typeof BooksService>;
  /** Erasures of personal metadata, as generated; repeated with the same ids. */
  readonly erasure: Client<typeof ErasureService>;

  private readonly feed: Client<typeof FeedService>;
  private readonly patience: number;
  private readonly sessions: Http2SessionManager;
  private readonly ids = new IdGenerator();
  private readonly closed = new AbortController();
  private readonly repeating: Transport;
  private readonly once: Transport;

  constructor(options: Options) {
    const url = new URL(options.baseUrl);
    const loopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname);
    if (url.protocol !== "https:" && !loopback && !options.plaintext) {
      throw new Error(`${options.baseUrl}: the token would cross the network unencrypted: use https, or plaintext if the network is trusted`);
    }
    this.sessions = new Http2SessionManager(options.baseUrl, { pingIntervalMs: 30_000 }, options.tls);
    const { token, userAgent, shadow } = options;
    const identify: Interceptor = (next) => async (request) => {
      request.header.set("authorization", `Bearer ${await current(token)}`);
      request.header.set("user-agent", userAgent ? `${userAgent} sterling-ts` : "sterling-ts");
      if (shadow) {
        request.header.set("x-sterling-shadow", "1");
      }
      return next(request);
    };
    this.patience = options.patienceMs ?? 30_000;
    const transport = (first: Interceptor[], timeout?: number): Transport =>
      createGrpcTransport({
        baseUrl: options.baseUrl,
        sessionManager: this.sessions,
        ...(timeout !== undefined && { defaultTimeoutMs: timeout }),
        interceptors: [...first, identify, ...(options.interceptors ?? [])],
      });
    this.repeating = transport([repeat(this.closed.signal)], this.patience);
    this.once = transport([], this.patience);
    this.ledger = this.service(LedgerService, { repeat: true });
    this.admin = this.service(AdminService);
    this.books = this.service(BooksService, { repeat: true });
    this.erasure = this.service(ErasureService, { repeat: true });
    this.feed = createClient(FeedService, transport([])); // a subscription has no end
  }

  /**
   * The generated client of any service of the server. Repeat only if every call of
   * the service may be sent twice.
   */
  service<T extends DescService>(service: T, options?: { repeat?: boolean }): Client<T> {
    return createClient(service, options?.repeat ? this.repeating : this.once);
  }

  /** An id for an account or a transfer: unique, and larger than those made before by this client. */
  newId(): bigint {
    return this.ids.next();
  }

  /** Ends the connection. Calls in flight fail. */
  close(): void {
    this.closed.abort();
    this.sessions.abort();
  }

  /** Opens one account. */
  async open(opening: Opening, options?: CallOptions): Promise<Result> {
    const id = opening.id ?? this.newId();
    const { userData128 = 0n, ...fields } = opening;
    const account = { ...fields, id: u128(id), userData128: u128(userData128) };
    const response = await this.known([id], () => this.ledger.createAccounts({ accounts: [account] }, options));
    const result = response.results[0];
    if (result?.status === CreateAccountStatus.CREATED || result?.status === CreateAccountStatus.EXISTS) {
      const existed = result.status === CreateAccountStatus.EXISTS;
      return { id, timestamp: result.timestamp, existed, ...(response.position && { position: response.position }) };
    }
    throw new AccountRefused(id, result?.status ?? CreateAccountStatus.UNSPECIFIED);
  }

  /** Records one transfer and returns when it is durable. */
  async transfer(entry: Entry, options?: CallOptions): Promise<Result> {
    const [result] = await this.chain([entry], options);
    return result!;
  }

  /**
   * Records all of the transfers or none, in order, at most 8,190. A chain that is
   * recorded already, by an attempt whose answer was lost or by an earlier call, is
   * recognised by looking its entries up, and is no error.
   */
  async chain(entries: Entry[], options?: CallOptions): Promise<Result[]> {
    const ids = entries.map((entry) => entry.id ?? this.newId());
    const transfers = entries.map((entry, i) => message(entry, ids[i]!, i < entries.length - 1));
    const response = await this.known(ids, () => this.ledger.createTransfers({ transfers }, options));
    const { CREATED, EXISTS, LINKED_EVENT_FAILED } = CreateTransferStatus;
    const results = response.results.map((result, i): Result => ({
      id: ids[i]!, timestamp: result.timestamp, existed: result.status === EXISTS, ...(response.position && { position: response.position }),
    }));
    const failed = response.results.map((result) => result.status !== CREATED && result.status !== EXISTS);
    let fault = response.results.findIndex((result, i) => failed[i] && result.status !== LINKED_EVENT_FAILED);
    fault = fault < 0 ? failed.indexOf(true) : fault;
    if (fault < 0) {
      return results;
    }
    const [first, ...others] = response.results;
    if (first?.status === EXISTS && others.every((result) => result.status === LINKED_EVENT_FAILED)) {
      // What a chain sent again looks like; but the first may stand in another chain.
      const found = await this.known(ids, () => this.ledger.lookupTransfers({ ids: ids.map(u128) }, options), true);
      if (found.transfers.length === ids.length && found.transfers.every((transfer, i) => isSame(transfers[i]!, transfer))) {
        return results.map((result, i) => ({ ...result, timestamp: found.transfers[i]!.timestamp, existed: true }));
      }
    }
    throw new TransferRefused(ids[fault]!, fault, response.results[fault]!.status);
  }

  /**
   * Records all legs of a transaction or none, and returns when they are durable. A
   * transaction that exists as asked is no error. TransferRefused names the leg at
   * fault; its index is -1 where the transaction as a whole is.
   */
  async createTransaction(transaction: Transaction, options?: CallOptions): Promise<TransactionResult> {
    const id = transaction.id ?? this.newId();
    const { userData128 = 0n, controlSum, ...fields } = transaction;
    const request = {
      ...fields, id: u128(id), userData128: u128(userData128), ...(controlSum !== undefined && { controlSum: u128(controlSum) }),
      legs: transaction.legs.map((leg) => ({ ...message(leg, 0n, false), id: "" })),
    };
    const response = await this.known([id], () => this.ledger.createTransaction(request, options));
    const { CREATED, EXISTS, LINKED_EVENT_FAILED } = CreateTransferStatus;
    const legs = response.legIds.map(fromU128);
    if (response.status === CREATED || response.status === EXISTS) {
      return { id, legs, timestamp: response.timestamp, existed: response.status === EXISTS, ...(response.position && { position: response.position }) };
    }
    const fault = response.status === LINKED_EVENT_FAILED ? response.legs.findIndex((leg) => leg.status !== CREATED && leg.status !== LINKED_EVENT_FAILED) : -1;
    throw fault < 0 ? new TransferRefused(id, -1, response.status) : new TransferRefused(legs[fault] ?? id, fault, response.legs[fault]!.status);
  }

  /** The accounts that have these addresses: those found, in the order asked. */
  async lookupAddresses(addresses: string[], options?: CallOptions): Promise<Account[]> {
    return (await this.ledger.lookupAddresses({ addresses }, options)).accounts;
  }

  /**
   * Runs of events from a start, gapless and in order, until the loop is left or the
   * signal ends it. Where the stream breaks it subscribes again after the last run:
   * an event may then come twice, never not at all. Keep resumeAfter with what the
   * events did, and start after it next time. It fails when refused, or when the
   * server was gone for longer than patienceMs.
   */
  async *subscribe(request: Omit<Exclude<MessageInitShape<typeof SubscribeRequestSchema>, Message>, keyof Message>, options: { signal?: AbortSignal } = {}): AsyncGenerator<SubscribeResponse> {
    const next = { ...request };
    const either = new AbortController();
    const abort = () => either.abort();
    const signals = [this.closed.signal, ...(options.signal ? [options.signal] : [])];
    signals.forEach((signal) => (signal.aborted ? abort() : signal.addEventListener("abort", abort)));
    const { signal } = either;
    const again = resume(signal, this.patience);
    try {
      for (;;) {
        let ended: unknown = new ConnectError("the stream ended", Code.Unavailable);
        try {
          for await (const run of this.feed.subscribe(next, { signal })) {
            again.heard();
            yield run;
            if (run.resumeAfter) {
              next.start = { case: "after", value: run.resumeAfter };
            }
            again.heard(); // the caller may have taken long
          }
        } catch (error) {
          ended = error;
        }
        await again.pause(ended);
      }
    } finally {
      signals.forEach((signal) => signal.removeEventListener("abort", abort));
      abort(); // ends the stream
    }
  }

  /** The transfers of one account, from as many calls as it takes, by timestamp. */
  async *statement(accountId: bigint, filter: StatementFilter = {}, options?: CallOptions): AsyncGenerator<Transfer> {
    const page = { ...filter, accountId: u128(accountId) };
    for (;;) {
      const response = await this.ledger.getAccountTransfers({ filter: page }, options);
      yield* response.transfers;
      if (response.nextTimestamp === 0n) {
        return;
      }
      page[filter.reversed ? "timestampMax" : "timestampMin"] = response.nextTimestamp;
    }
  }

  /** Names the ids where the outcome of a call is unknown. */
  private async known<T>(ids: bigint[], call: () => Promise<T>, always = false): Promise<T> {
    try {
      return await call();
    } catch (error) {
      throw always || mayBeRecorded(error) ? new OutcomeUnknown(ids, error) : error;
    }
  }
}

/** Without a token nothing is sent, which the error's code says. */
async function current(token: Options["token"]): Promise<string> {
  try {
    return typeof token === "string" ? token : await token();
  } catch (error) {
    throw new ConnectError(`get the token: ${String(error)}`, Code.Unauthenticated, undefined, undefined, error);
  }
}

function message(entry: Entry, id: bigint, linked: boolean): TransferInit {
  const { debit = 0n, credit = 0n, amount, pendingId = 0n, userData128 = 0n, flags = [], ...fields } = entry;
  if (flags.includes(TransferFlag.LINKED) || flags.includes(TransferFlag.IMPORTED)) {
    throw new RangeError(`transfer ${id}: LINKED is for chain to set, and imports call ledger.createTransfers`);
  }
  return {
    ...fields,
    id: u128(id), debitAccountId: u128(debit), creditAccountId: u128(credit), pendingId: u128(pendingId), userData128: u128(userData128),
    flags: linked ? [...flags, TransferFlag.LINKED] : flags,
    ...(amount !== undefined && { amount: u128(amount) }),
  };
}

/** Whether got is what asked recorded. A post or void leaves fields to its reservation. */
function isSame(asked: TransferInit, got: Transfer): boolean {
  const bits = (flags: TransferFlag[] | undefined) => (flags ?? []).reduce((sum, flag) => sum | flag, 0);
  const flags = bits(asked.flags);
  const settles = (flags & (TransferFlag.POST_PENDING_TRANSFER | TransferFlag.VOID_PENDING_TRANSFER)) !== 0;
  const balances = (flags & (TransferFlag.BALANCING_DEBIT | TransferFlag.BALANCING_CREDIT)) !== 0;
  const same = (a: string | undefined, g: string) => fromU128(a ?? "") === fromU128(g) || (settles && fromU128(a ?? "") === 0n);
  const equal = <T>(a: T | undefined, g: T, none: T) => (a ?? none) === g || (settles && (a ?? none) === none);
  return (
    asked.id === got.id && flags === bits(got.flags) &&
    same(asked.debitAccountId, got.debitAccountId) && same(asked.creditAccountId, got.creditAccountId) &&
    same(asked.pendingId, got.pendingId) && same(asked.userData128, got.userData128) &&
    (balances || asked.amount === undefined || same(asked.amount, got.amount ?? "")) &&
    equal(asked.asset, got.asset, "") && equal(asked.code, got.code, 0) && equal(asked.timeout, got.timeout, 0) &&
    equal(asked.userData64, got.userData64, 0n) && equal(asked.userData32, got.userData32, 0) &&
    (asked.bookingDate ?? "") === got.bookingDate && isSameMetadata(create(TransferSchema, asked).metadata, got.metadata)
  );
}
