"""Addresses, metadata, booking dates, transactions, the feed and the books, against a
server that runs."""

import dataclasses
import datetime
import threading
import unittest

import grpc

import sterling
from server import Cutter, TestServer
from sterling import Entry, Ledger, Opening, Transaction, errors, metadata
from sterling.ledger.v1 import books_pb2, erasure_pb2, feed_pb2, ledger_pb2, status_pb2

ASSET = "CNY/2"
CREATED, EXISTS = status_pb2.CONTROL_STATUS_CREATED, status_pb2.CONTROL_STATUS_EXISTS


def entry(**change) -> Entry:
    return dataclasses.replace(Entry(debit=1, credit=2, amount=5, asset=ASSET, code=1), **change)


def day(offset: int) -> str:
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=offset)).strftime("%Y-%m-%d")


def every_kind(subject: str = "customer-py"):
    return {
        "order": metadata.text("A-17"),
        "parts": metadata.integer(-3),
        "gift": metadata.truth(True),
        "tax": metadata.amount(2**100),
        "shipped": metadata.time(1_700_000_000_000_000_005),
        "digest": metadata.data(b"\x00\xff"),
        "name": metadata.personal(subject, metadata.text("Zhao")),
    }


class AttachedTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.server = TestServer()
        cls.addClassCleanup(cls.server.stop)
        cls.ledger = Ledger(cls.server.address, cls.server.token)
        cls.addClassCleanup(cls.ledger.close)
        for id in (1, 2, 80, 90):
            cls.ledger.open(Opening(id=id, asset=ASSET, code=1))

    def assertReason(self, reason: int, call, *args) -> None:
        with self.assertRaises(grpc.RpcError) as caught:
            call(*args)
        self.assertEqual(sterling.error_reason(caught.exception), reason)

    def assertRefused(self, status: int, call, *args) -> sterling.TransferRefused:
        with self.assertRaises(sterling.TransferRefused) as caught:
            call(*args)
        self.assertEqual(caught.exception.status, status)
        return caught.exception

    def through_cutter(self):
        cutter = Cutter(self.server.address)
        ledger = Ledger(cutter.address, self.server.token)
        self.addCleanup(cutter.stop)
        self.addCleanup(ledger.close)
        return cutter, ledger

    def test_addresses_and_metadata(self) -> None:
        opening = Opening(id=70, asset=ASSET, code=2, address="merchant:1001:settlement", metadata=every_kind())
        self.assertEqual([self.ledger.open(opening).existed for _ in range(2)], [False, True])
        with self.assertRaises(sterling.AccountRefused):
            self.ledger.open(Opening(asset=ASSET, code=2, address=opening.address))
        found = self.ledger.lookup_addresses(["nobody", opening.address])
        self.assertEqual([(a.id, dict(a.metadata)) for a in found], [("70", every_kind())])
        change = ledger_pb2.SetMetadataRequest(id="71", account_id="70", metadata={"tier": metadata.integer(2)})
        self.assertEqual([self.ledger.call(self.ledger.stub.SetMetadata, change).status for _ in range(2)], [CREATED, EXISTS])
        self.assertEqual(dict(self.ledger.lookup_addresses([opening.address])[0].metadata), {"tier": metadata.integer(2)})

    def test_a_chain_sent_again_heeds_what_is_attached(self) -> None:
        chain = [entry(id=self.ledger.new_id()), entry(id=self.ledger.new_id(), booking_date=day(-1), metadata=every_kind("chain-py"))]
        self.ledger.chain(chain)
        self.assertTrue(all(r.existed for r in self.ledger.chain(chain)))
        failed = status_pb2.CREATE_TRANSFER_STATUS_LINKED_EVENT_FAILED
        other = {**every_kind("chain-py"), "parts": metadata.integer(4)}
        for change in ({"booking_date": ""}, {"metadata": {}}, {"metadata": other}, {"metadata": every_kind("someone-py")}):
            self.assertRefused(failed, self.ledger.chain, [chain[0], dataclasses.replace(chain[1], **change)])
        erase = erasure_pb2.EraseRequest(id=str(self.ledger.new_id()), subject="chain-py", reason="asked for")
        self.assertEqual(self.ledger.call(self.ledger.erasure.Erase, erase).status, CREATED)
        fresh = dataclasses.replace(chain[1], id=None)
        self.assertReason(status_pb2.ERROR_REASON_SUBJECT_ERASED, self.ledger.transfer, fresh)

    def test_transactions(self) -> None:
        legs = [entry(), entry(debit=2, credit=80, amount=3)]
        cutter, shaky = self.through_cutter()
        shaky.call(shaky.stub.ListAssets, ledger_pb2.ListAssetsRequest())
        cutter.hold()
        sale = Transaction(id=shaky.new_id(), legs=legs, control_sum=8, booking_date=day(-1), metadata={"order": metadata.text("A-17")})
        results = []
        thread = threading.Thread(target=lambda: results.append(shaky.create_transaction(sale)))
        thread.start()
        while self.ledger.stub.LookupAccounts(ledger_pb2.LookupAccountsRequest(ids=["80"])).accounts[0].credits_posted == "0":
            pass
        cutter.cut()
        thread.join(30)
        self.assertTrue(results and results[0].existed)
        got = self.ledger.call(self.ledger.stub.GetTransaction, ledger_pb2.GetTransactionRequest(id=str(sale.id))).transaction
        self.assertEqual([(int(leg.id), leg.booking_date) for leg in got.legs], [(id, day(-1)) for id in results[0].legs])
        different = dataclasses.replace(sale, legs=legs[1:], control_sum=3)
        refused = self.assertRefused(status_pb2.CREATE_TRANSFER_STATUS_EXISTS_WITH_DIFFERENT_LEGS, self.ledger.create_transaction, different)
        self.assertEqual((refused.id, refused.index), (sale.id, -1))
        nowhere = Transaction(legs=[legs[0], entry(credit=99)])
        refused = self.assertRefused(status_pb2.CREATE_TRANSFER_STATUS_CREDIT_ACCOUNT_NOT_FOUND, self.ledger.create_transaction, nowhere)
        self.assertEqual(refused.index, 1)
        self.assertReason(status_pb2.ERROR_REASON_UNBALANCED, self.ledger.create_transaction, Transaction(legs=legs, control_sum=9))
        with self.assertRaises(ValueError):
            self.ledger.create_transaction(Transaction(legs=[entry(id=5)]))
        cutter.hold()
        with self.assertRaises(sterling.OutcomeUnknown):
            shaky.create_transaction(Transaction(legs=legs), timeout=0.2)

    def test_a_subscription_outlives_its_connections(self) -> None:
        cutter, shaky = self.through_cutter()
        events = feed_pb2.EventFilter(account_ids=["90"], kinds=[feed_pb2.EVENT_KIND_TRANSFER_CREATED])
        last, seen = self.ledger.transfer(entry(credit=90)).id, 0
        for run in shaky.subscribe(feed_pb2.SubscribeRequest(from_beginning=True, filter=events)):
            for event in run.events:
                self.assertEqual(int(event.transfer.id), last)
                seen += 1
            if run.events:
                cutter.cut()
                last = self.ledger.transfer(entry(credit=90)).id
            if seen == 4:
                break
        self.assertGreaterEqual(cutter.connections, 4)
        with Ledger(self.server.address, "sterling_no") as stranger, self.assertRaises(grpc.RpcError) as caught:
            next(stranger.subscribe(feed_pb2.SubscribeRequest(from_now=True)))
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAUTHENTICATED)
        cutter.stop()
        with Ledger(cutter.address, "t", patience=0.1) as nobody, self.assertRaises(grpc.RpcError) as caught:
            next(nobody.subscribe(feed_pb2.SubscribeRequest(from_now=True)))
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)

    def test_a_day_is_closed(self) -> None:
        close = books_pb2.CloseDayRequest(id=str(self.ledger.new_id()), date=day(-10), reason="end of day")
        self.assertEqual([self.ledger.call(self.ledger.books.CloseDay, close).status for _ in range(2)], [CREATED, EXISTS])
        signed = self.ledger.call(self.ledger.books.GetClose, books_pb2.GetCloseRequest(id=close.id))
        self.assertEqual(len(signed.signature), 64)
        self.assertRefused(status_pb2.CREATE_TRANSFER_STATUS_BOOKING_DAY_CLOSED, self.ledger.transfer, entry(booking_date=day(-10)))


class Limited(grpc.RpcError):
    """The answer to a token whose rate is used up."""

    def __init__(self, delay: bytes = b"") -> None:
        detail = status_pb2.ErrorDetail(reason=status_pb2.ERROR_REASON_RATE_LIMITED).SerializeToString()
        self._details = b"".join(
            _field(3, _field(1, b"type.googleapis.com/" + kind) + _field(2, value))
            for kind, value in ((b"sterling.ledger.v1.ErrorDetail", detail), (b"google.rpc.RetryInfo", delay))
            if value
        )

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.RESOURCE_EXHAUSTED

    def trailing_metadata(self):
        return (("grpc-status-details-bin", self._details),)


def _field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2, len(value)]) + value


class LimitTest(unittest.TestCase):
    def test_a_limited_rate_is_waited_for_where_that_helps(self) -> None:
        half = Limited(_field(1, b"\x08\x02\x10\x80\xca\xb5\xee\x01"))
        self.assertEqual((errors.retry_after(half), errors.is_passing(half), errors.is_surely_refused(half)), (2.5, True, True))
        for error in (Limited(), Limited(b"\x0a\x07\x08")):
            self.assertEqual((errors.retry_after(error), errors.is_passing(error)), (0.0, False))

    def test_the_client_waits_as_told(self) -> None:
        with Ledger("127.0.0.1:1", "t") as ledger:
            calls = []

            def limited(request, timeout):
                calls.append(timeout)
                if len(calls) == 1:
                    raise Limited(_field(1, b"\x10\x80\xc2\xd7\x2f"))  # 0.1 s
                return request

            self.assertEqual(ledger.call(limited, "sent", timeout=30), "sent")
            self.assertLessEqual(calls[1], calls[0] - 0.1)
            calls.clear()
            with self.assertRaises(Limited):  # there is less time than that
                ledger.call(limited, "sent", timeout=0.05)
            self.assertEqual(len(calls), 1)


if __name__ == "__main__":
    unittest.main()
