"""The client: token, repetition with the same ids, integers for u128."""

import ipaddress
import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterator, List, Mapping, Optional, Sequence, Union

import grpc

from sterling.ledger.v1 import admin_pb2_grpc, books_pb2_grpc, erasure_pb2_grpc, feed_pb2, feed_pb2_grpc, ledger_pb2, ledger_pb2_grpc, status_pb2

from .amount import u128
from .errors import AccountRefused, OutcomeUnknown, TransferRefused, is_passing, is_surely_refused, retry_after
from .ids import IdGenerator
from .metadata import Metadata, is_same

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 2.0  # seconds
_ATTEMPT = 15.0  # seconds of one attempt of a write: a server that hangs is asked again
_MESSAGE = 8 << 20  # bytes of a response

Token = Union[str, Callable[[], str]]


def token_file(path: Union[str, Path]) -> Callable[[], str]:
    """Return a token that is read from a file for every call, so that it can be
    rotated."""
    return lambda: Path(path).read_text(encoding="utf-8").strip()


@dataclass(frozen=True)
class Entry:
    """One transfer to record. Ids and amounts are integers; amounts are minor units.

    id is the idempotency key: without one, one is made, and results and errors have
    it. amount None on a post or void is the whole pending amount. asset is
    CODE/SCALE such as "CNY/2". timeout is in seconds, 0 never. booking_date is such as
    "2026-01-31", without one the day of the ledger's timestamp. more are further fields
    of ledger_pb2.Transfer, by name.
    """

    debit: int = 0
    credit: int = 0
    amount: Optional[int] = None
    asset: str = ""
    code: int = 0
    id: Optional[int] = None
    flags: Sequence[int] = ()  # ledger_pb2.TransferFlag
    pending_id: int = 0
    timeout: int = 0
    user_data_128: int = 0
    user_data_64: int = 0
    user_data_32: int = 0
    booking_date: str = ""
    metadata: Metadata = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Transaction:
    """Several transfers under one id, recorded together or not at all.

    id is the idempotency key; those of the legs follow from it and must be None. legs
    are applied in order, 1 to 8,189. booking_date is of all legs that have none of
    their own. control_sum is what the amounts of all legs must add up to, else nothing
    is recorded. more are further fields of ledger_pb2.CreateTransactionRequest, by name.
    """

    legs: Sequence[Entry]
    id: Optional[int] = None
    code: int = 0
    booking_date: str = ""
    metadata: Metadata = field(default_factory=dict)
    control_sum: Optional[int] = None
    allow_cycles: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Opening:
    """One account to open. address is unique in the ledger, such as
    "merchant:1001:settlement". more are further fields of ledger_pb2.Account, by name.
    """

    asset: str
    code: int
    id: Optional[int] = None
    flags: Sequence[int] = ()  # ledger_pb2.AccountFlag
    user_data_128: int = 0
    user_data_64: int = 0
    user_data_32: int = 0
    address: str = ""
    metadata: Metadata = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """An event that is recorded in the ledger.

    timestamp is the ledger's, in ns since 1970 UTC. existed: it was there before,
    perhaps by an earlier attempt of the same call. position sees the event when
    given to a query as min_position.
    """

    id: int
    timestamp: int
    existed: bool
    position: ledger_pb2.Position


@dataclass(frozen=True)
class TransactionResult(Result):
    """A transaction that is recorded. legs are the ids of its legs, in order."""

    legs: Sequence[int]


class Ledger:
    """A client of one ledger; it may be used by several threads. Close it after use,
    or use it in a with statement.

    stub, admin, books, erasure and feed are the generated clients, which authenticate
    but repeat nothing; call() repeats one of their calls.
    """

    def __init__(
        self,
        address: str,
        token: Token,
        *,
        tls: Optional[grpc.ChannelCredentials] = None,
        plaintext: bool = False,
        patience: float = 30.0,
        user_agent: str = "",
        shadow: bool = False,
    ) -> None:
        """address is host:port. tls, of grpc.ssl_channel_credentials, may carry a
        certificate and key of this client (mTLS). plaintext lets the token cross a
        network unencrypted; without it only loopback is called without tls. patience
        bounds, in seconds, how long a call without a timeout is repeated. shadow marks
        every call as shadow traffic of a load test, which takes a token made for it."""
        if tls is None and not plaintext and not _is_loopback(address):
            raise ValueError(f"{address}: the token would cross the network unencrypted: give tls, or plaintext if the network is trusted")
        agent = f"{user_agent} sterling-python".strip()
        options = [
            ("grpc.primary_user_agent", agent),
            ("grpc.max_receive_message_length", _MESSAGE),
            ("grpc.enable_retries", 0),  # call() knows what is safe
            ("grpc.max_reconnect_backoff_ms", int(_LONGEST_PAUSE * 1000)),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
        ]
        channel = grpc.secure_channel(address, tls, options) if tls else grpc.insecure_channel(address, options)
        self._channel = grpc.intercept_channel(channel, _Authenticate(token, shadow))
        self._patience = patience
        self._ids = IdGenerator()
        self._closed = threading.Event()
        self.stub = ledger_pb2_grpc.LedgerServiceStub(self._channel)
        self.admin = admin_pb2_grpc.AdminServiceStub(self._channel)
        self.books = books_pb2_grpc.BooksServiceStub(self._channel)
        self.erasure = erasure_pb2_grpc.ErasureServiceStub(self._channel)
        self.feed = feed_pb2_grpc.FeedServiceStub(self._channel)

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection. Calls in flight fail."""
        self._closed.set()
        self._channel.close()

    def new_id(self) -> int:
        """Return an id for an account or a transfer: unique, and larger than those
        made before by this client."""
        return self._ids.next()

    def service(self, stub: Callable[[grpc.Channel], Any]) -> Any:
        """Return the generated client of any service of the server, from its Stub."""
        return stub(self._channel)

    def call(self, method: Callable[..., Any], request: Any, timeout: Optional[float] = None) -> Any:
        """Call a unary method of a generated client, and again with the same bytes
        while the server does not answer and there is time left, in seconds. Only for
        calls that may be sent twice: reads, and writes with ids."""
        return self._call(method, request, timeout, ())

    def open(self, opening: Opening, timeout: Optional[float] = None) -> Result:
        """Open one account."""
        id = self.new_id() if opening.id is None else opening.id
        account = ledger_pb2.Account(
            id=u128(id),
            asset=opening.asset,
            code=opening.code,
            flags=opening.flags,
            user_data_128=u128(opening.user_data_128),
            user_data_64=opening.user_data_64,
            user_data_32=opening.user_data_32,
            address=opening.address,
            metadata=opening.metadata,
            **opening.more,
        )
        response = self._call(self.stub.CreateAccounts, ledger_pb2.CreateAccountsRequest(accounts=[account]), timeout, [id])
        result = response.results[0]
        existed = result.status == status_pb2.CREATE_ACCOUNT_STATUS_EXISTS
        if not existed and result.status != status_pb2.CREATE_ACCOUNT_STATUS_CREATED:
            raise AccountRefused(id, result.status)
        return Result(id, result.timestamp, existed, response.position)

    def transfer(self, entry: Entry, timeout: Optional[float] = None) -> Result:
        """Record one transfer and return when it is durable."""
        return self.chain([entry], timeout)[0]

    def chain(self, entries: Sequence[Entry], timeout: Optional[float] = None) -> List[Result]:
        """Record all of the transfers or none, in order, at most 8,190.

        A chain that is recorded already, by an attempt whose answer was lost or by an
        earlier call, is recognised by looking its entries up, and is no error.
        """
        ids = [self.new_id() if entry.id is None else entry.id for entry in entries]
        transfers = [_message(entry, id, i < len(ids) - 1) for i, (entry, id) in enumerate(zip(entries, ids))]
        response = self._call(self.stub.CreateTransfers, ledger_pb2.CreateTransfersRequest(transfers=transfers), timeout, ids)
        statuses = [result.status for result in response.results]
        fault = _fault(statuses)
        if fault is None:
            return [
                Result(id, result.timestamp, result.status == status_pb2.CREATE_TRANSFER_STATUS_EXISTS, response.position)
                for id, result in zip(ids, response.results)
            ]
        if statuses[0] == status_pb2.CREATE_TRANSFER_STATUS_EXISTS and set(statuses[1:]) == {status_pb2.CREATE_TRANSFER_STATUS_LINKED_EVENT_FAILED}:
            # What a chain sent again looks like; but the first may stand in another chain.
            lookup = ledger_pb2.LookupTransfersRequest(ids=[u128(id) for id in ids])
            found = self._call(self.stub.LookupTransfers, lookup, timeout, ids, always=True).transfers
            if len(found) == len(ids) and all(map(_is_same, transfers, found)):
                return [Result(id, got.timestamp, True, response.position) for id, got in zip(ids, found)]
        raise TransferRefused(ids[fault], fault, statuses[fault])

    def create_transaction(self, transaction: Transaction, timeout: Optional[float] = None) -> TransactionResult:
        """Record all legs of a transaction or none, and return when they are durable.

        A transaction that exists as asked is no error. TransferRefused names the leg at
        fault; its index is -1 where the transaction as a whole is.
        """
        id = self.new_id() if transaction.id is None else transaction.id
        if any(leg.id is not None for leg in transaction.legs):
            raise ValueError(f"transaction {id}: the ids of its legs follow from its own")
        request = ledger_pb2.CreateTransactionRequest(
            id=u128(id),
            legs=[_message(leg, 0, False) for leg in transaction.legs],
            code=transaction.code,
            booking_date=transaction.booking_date,
            metadata=transaction.metadata,
            control_sum="" if transaction.control_sum is None else u128(transaction.control_sum),
            allow_cycles=transaction.allow_cycles,
            **transaction.more,
        )
        for leg in request.legs:
            leg.id = ""
        response = self._call(self.stub.CreateTransaction, request, timeout, [id])
        legs = [int(leg) for leg in response.leg_ids]
        existed = response.status == status_pb2.CREATE_TRANSFER_STATUS_EXISTS
        if existed or response.status == status_pb2.CREATE_TRANSFER_STATUS_CREATED:
            return TransactionResult(id, response.timestamp, existed, response.position, legs)
        statuses = [leg.status for leg in response.legs]
        fault = _fault(statuses) if response.status == status_pb2.CREATE_TRANSFER_STATUS_LINKED_EVENT_FAILED else None
        if fault is None:
            raise TransferRefused(id, -1, response.status)
        raise TransferRefused(legs[fault], fault, statuses[fault])

    def lookup_addresses(self, addresses: Sequence[str], timeout: Optional[float] = None) -> List[ledger_pb2.Account]:
        """Return the accounts that have these addresses: those found, in the order
        asked."""
        return list(self.call(self.stub.LookupAddresses, ledger_pb2.LookupAddressesRequest(addresses=addresses), timeout).accounts)

    def subscribe(self, request: feed_pb2.SubscribeRequest) -> Iterator[feed_pb2.SubscribeResponse]:
        """Yield runs of events from where request starts, gapless and in order, until
        the loop is left or the client is closed.

        Where the stream breaks it subscribes again after the last run: an event may then
        come twice, never not at all. Keep resume_after with what the events did, and
        start after it next time. It fails when refused, or when the server was gone for
        longer than the client's patience.
        """
        following = feed_pb2.SubscribeRequest()
        following.CopyFrom(request)
        pause, since = _FIRST_PAUSE, time.monotonic()
        while True:
            stream = self.feed.Subscribe(following)
            try:
                for run in stream:
                    pause, since = _FIRST_PAUSE, time.monotonic()
                    yield run
                    if run.HasField("resume_after"):
                        following.after.CopyFrom(run.resume_after)
                    since = time.monotonic()
            except grpc.RpcError as error:
                wait = _wait(pause, error)
                if not is_passing(error) or time.monotonic() + retry_after(error) - since >= self._patience or self._closed.wait(wait):
                    raise
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:  # the server ended it without a word, which is as if it had stopped
                if time.monotonic() - since >= self._patience or self._closed.wait(_wait(pause)):
                    raise ConnectionError("the subscription ended")
                pause = min(2 * pause, _LONGEST_PAUSE)
            finally:
                stream.cancel()

    def statement(self, account_id: int, timeout: Optional[float] = None, **filter: Any) -> Iterator[ledger_pb2.Transfer]:
        """Yield the transfers of one account, from as many calls as it takes, by
        timestamp. filter are fields of ledger_pb2.AccountFilter; limit is that of one
        call."""
        page = ledger_pb2.AccountFilter(account_id=u128(account_id), **filter)
        while True:
            response = self.call(self.stub.GetAccountTransfers, ledger_pb2.GetAccountTransfersRequest(filter=page), timeout)
            yield from response.transfers
            if response.next_timestamp == 0:
                return
            if page.reversed:
                page.timestamp_max = response.next_timestamp
            else:
                page.timestamp_min = response.next_timestamp

    def _call(self, method: Callable[..., Any], request: Any, timeout: Optional[float], ids: Sequence[int], always: bool = False) -> Any:
        """Call and repeat. Errors name ids where what they stand for may have been
        recorded."""
        end = time.monotonic() + (self._patience if timeout is None else timeout)
        pause, unsure = _FIRST_PAUSE, always
        while True:
            left = max(0.0, end - time.monotonic())
            try:
                return method(request, timeout=min(_ATTEMPT, left) if ids else left)
            except grpc.RpcError as error:
                unsure = unsure or not is_surely_refused(error)
                left = end - time.monotonic()
                if left <= retry_after(error) or not is_passing(error) or self._closed.wait(min(left, _wait(pause, error))):
                    if ids and unsure:
                        raise OutcomeUnknown(ids, error) from error
                    raise
            except Exception as error:  # no token, or grpc says that the channel is closed
                if ids and unsure:
                    raise OutcomeUnknown(ids, error) from error
                raise
            pause = min(2 * pause, _LONGEST_PAUSE)


def _wait(pause: float, error: Optional[grpc.RpcError] = None) -> float:
    """Return how long to wait, in seconds: as the server asks, and more. Half of it is
    random, so that clients cut off together do not come back together."""
    return (retry_after(error) if error else 0.0) + pause / 2 + random.uniform(0, pause / 2)


def _message(entry: Entry, id: int, linked: bool) -> ledger_pb2.Transfer:
    flags = list(entry.flags)
    if ledger_pb2.TRANSFER_FLAG_LINKED in flags or ledger_pb2.TRANSFER_FLAG_IMPORTED in flags:
        raise ValueError(f"transfer {id}: LINKED is for chain to set, and imports call stub.CreateTransfers")
    if linked:
        flags.append(ledger_pb2.TRANSFER_FLAG_LINKED)
    return ledger_pb2.Transfer(
        id=u128(id),
        debit_account_id=u128(entry.debit),
        credit_account_id=u128(entry.credit),
        amount=None if entry.amount is None else u128(entry.amount),
        pending_id=u128(entry.pending_id),
        user_data_128=u128(entry.user_data_128),
        user_data_64=entry.user_data_64,
        user_data_32=entry.user_data_32,
        timeout=entry.timeout,
        asset=entry.asset,
        code=entry.code,
        flags=flags,
        booking_date=entry.booking_date,
        metadata=entry.metadata,
        **entry.more,
    )


def _fault(statuses: Sequence[int]) -> Optional[int]:
    """Return the place of the event at fault, not of those that fell with it."""
    good = (status_pb2.CREATE_TRANSFER_STATUS_CREATED, status_pb2.CREATE_TRANSFER_STATUS_EXISTS)
    failed = [i for i, status in enumerate(statuses) if status not in good]
    if not failed:
        return None
    return next((i for i in failed if statuses[i] != status_pb2.CREATE_TRANSFER_STATUS_LINKED_EVENT_FAILED), failed[0])


def _is_same(asked: ledger_pb2.Transfer, got: ledger_pb2.Transfer) -> bool:
    """Tell whether got is what asked recorded. A post or void leaves fields to its
    reservation."""
    flags = set(asked.flags)
    settles = flags & {ledger_pb2.TRANSFER_FLAG_POST_PENDING_TRANSFER, ledger_pb2.TRANSFER_FLAG_VOID_PENDING_TRANSFER}
    balances = flags & {ledger_pb2.TRANSFER_FLAG_BALANCING_DEBIT, ledger_pb2.TRANSFER_FLAG_BALANCING_CREDIT}
    if flags != set(got.flags) or (asked.HasField("amount") and not balances and asked.amount != got.amount):
        return False
    none = ("", "0", 0)
    for name in _COMPARED:
        a, g = getattr(asked, name), getattr(got, name)
        if a != g and not (a in none and (settles or g in none)):
            return False
    return asked.booking_date == got.booking_date and is_same(asked.metadata, got.metadata)


_COMPARED = (
    "id",
    "debit_account_id",
    "credit_account_id",
    "pending_id",
    "user_data_128",
    "user_data_64",
    "user_data_32",
    "timeout",
    "asset",
    "code",
)


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Details(grpc.ClientCallDetails):
    """A call's details with other metadata."""

    def __init__(self, of: grpc.ClientCallDetails, metadata: list) -> None:
        self.method, self.timeout, self.credentials = of.method, of.timeout, of.credentials
        self.wait_for_ready, self.compression, self.metadata = of.wait_for_ready, of.compression, metadata


class _Authenticate(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Adds the token to every call, and the mark of shadow traffic."""

    def __init__(self, token: Token, shadow: bool) -> None:
        self._token = token
        self._mark = [("x-sterling-shadow", "1")] if shadow else []

    def _add(self, proceed: Callable[..., Any], details: grpc.ClientCallDetails, request: Any) -> Any:
        token = self._token if isinstance(self._token, str) else self._token()
        return proceed(_Details(details, [*(details.metadata or ()), *self._mark, ("authorization", f"Bearer {token}")]), request)

    intercept_unary_unary = _add
    intercept_unary_stream = _add
    intercept_stream_unary = _add
    intercept_stream_stream = _add
