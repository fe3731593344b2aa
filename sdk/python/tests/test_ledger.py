"""The client against a server that runs."""

import dataclasses
import random
import subprocess
import sys
import threading
import unittest
from pathlib import Path

import grpc

import sterling
from server import Cutter, TestServer
from sterling import Entry, Ledger, Opening, errors
from sterling.errors import error_reason
from sterling.ledger.v1 import admin_pb2, ledger_pb2, status_pb2

ASSET = "CNY/2"
PENDING = ledger_pb2.TRANSFER_FLAG_PENDING
POST = ledger_pb2.TRANSFER_FLAG_POST_PENDING_TRANSFER
VOID = ledger_pb2.TRANSFER_FLAG_VOID_PENDING_TRANSFER


def entry(**change) -> Entry:
    return dataclasses.replace(Entry(debit=1, credit=2, amount=5, asset=ASSET, code=1), **change)


class LedgerTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.server = TestServer()
        cls.addClassCleanup(cls.server.stop)
        cls.ledger = Ledger(cls.server.address, cls.server.token, user_agent="test/1")
        cls.addClassCleanup(cls.ledger.close)
        for id in (1, 2):
            cls.ledger.open(Opening(id=id, asset=ASSET, code=1))
        flags = [ledger_pb2.ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS]
        cls.ledger.open(Opening(id=3, asset=ASSET, code=1, flags=flags, user_data_128=7, user_data_64=8))

    def credits(self, id: int) -> int:
        found = self.ledger.stub.LookupAccounts(ledger_pb2.LookupAccountsRequest(ids=[str(id)]))
        return int(found.accounts[0].credits_posted)

    def lookup(self, id: int):
        return self.ledger.stub.LookupTransfers(ledger_pb2.LookupTransfersRequest(ids=[str(id)])).transfers

    def test_shadow_traffic_is_marked_and_refused_by_a_ledger_that_is_no_shadow(self) -> None:
        with Ledger(self.server.address, self.server.token, shadow=True) as shadow:
            with self.assertRaises(grpc.RpcError) as caught:
                shadow.open(Opening(id=77, asset=ASSET, code=1))
        self.assertEqual(error_reason(caught.exception), status_pb2.ERROR_REASON_SHADOW_REFUSED)
        self.assertEqual(len(self.ledger.stub.LookupAccounts(ledger_pb2.LookupAccountsRequest(ids=["77"])).accounts), 0)

    def assertRefused(self, status: int, *entries: Entry) -> sterling.TransferRefused:
        with self.assertRaises(sterling.TransferRefused) as caught:
            self.ledger.chain(entries)
        self.assertEqual(caught.exception.status, status)
        return caught.exception

    def through_cutter(self):
        cutter = Cutter(self.server.address)
        ledger = Ledger(cutter.address, self.server.token)
        self.addCleanup(cutter.stop)
        self.addCleanup(ledger.close)
        return cutter, ledger

    def test_accounts(self) -> None:
        self.assertTrue(self.ledger.open(Opening(id=1, asset=ASSET, code=1)).existed)
        with self.assertRaisesRegex(sterling.AccountRefused, "timestamp must be zero"):
            self.ledger.open(Opening(asset=ASSET, code=1, more={"timestamp": 1}))
        with self.assertRaisesRegex(sterling.AccountRefused, "account 1 refused: exists with different"):
            self.ledger.open(Opening(id=1, asset="USD/2", code=1))
        found = self.ledger.stub.LookupAccounts(ledger_pb2.LookupAccountsRequest(ids=["3", "999"])).accounts
        self.assertEqual([(a.user_data_128, a.user_data_64) for a in found], [("7", 8)])

    def test_a_transfer_and_the_same_again(self) -> None:
        had = self.credits(2)
        made = self.ledger.transfer(entry())
        again = self.ledger.transfer(entry(id=made.id))
        self.assertEqual((made.existed, again.existed, again.timestamp), (False, True, made.timestamp))
        self.assertEqual(self.credits(2), had + 5)

    def test_largest_amounts_stay_exact(self) -> None:
        for id in (50, 51):
            self.ledger.open(Opening(id=id, asset=ASSET, code=1))
        self.ledger.transfer(entry(debit=50, credit=51, amount=2**127 + 1))
        self.assertEqual(self.credits(51), 2**127 + 1)

    def test_refusals(self) -> None:
        self.assertRefused(status_pb2.CREATE_TRANSFER_STATUS_EXCEEDS_CREDITS, entry(debit=3))
        refused = self.assertRefused(status_pb2.CREATE_TRANSFER_STATUS_CREDIT_ACCOUNT_NOT_FOUND, entry(), entry(credit=99), entry())
        self.assertEqual(refused.index, 1)
        self.assertIn("refused: credit account not found", str(refused))
        with self.assertRaises(grpc.RpcError) as caught:
            self.ledger.transfer(entry(asset="nonsense"))
        self.assertEqual(caught.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertEqual(error_reason(caught.exception), status_pb2.ERROR_REASON_MALFORMED)
        with self.assertRaises(ValueError):
            self.ledger.transfer(entry(flags=[ledger_pb2.TRANSFER_FLAG_LINKED]))
        with Ledger(self.server.address, lambda: "sterling_no") as stranger, self.assertRaises(grpc.RpcError) as caught:
            stranger.transfer(entry())
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAUTHENTICATED)

    def test_token_file(self) -> None:
        with Ledger(self.server.address, sterling.token_file(self.server.token_path)) as ledger:
            ledger.transfer(entry())
        with Ledger(self.server.address, sterling.token_file("no/such/file")) as ledger, self.assertRaises(OSError):
            ledger.transfer(entry())

    def test_a_chain_sent_again_is_recognised(self) -> None:
        chain = [entry(id=self.ledger.new_id()), entry(id=self.ledger.new_id(), user_data_32=4)]
        first, again = self.ledger.chain(chain), self.ledger.chain(chain)
        self.assertEqual([r.timestamp for r in first], [r.timestamp for r in again])
        self.assertTrue(all(r.existed for r in again))
        failed = status_pb2.CREATE_TRANSFER_STATUS_LINKED_EVENT_FAILED
        self.assertRefused(failed, chain[0], entry())
        self.assertRefused(failed, chain[0], dataclasses.replace(chain[1], amount=6))

    def test_reserve_settle_in_part_and_void(self) -> None:
        had = self.credits(2)
        held = self.ledger.transfer(entry(flags=[PENDING], timeout=60))
        self.ledger.transfer(Entry(pending_id=held.id, amount=3, flags=[POST]))
        self.assertEqual(self.credits(2), had + 3)
        self.assertRefused(status_pb2.CREATE_TRANSFER_STATUS_PENDING_TRANSFER_ALREADY_POSTED, Entry(pending_id=held.id, flags=[VOID]))

    def test_statement_and_queries_page_by_page(self) -> None:
        self.ledger.open(Opening(id=60, asset=ASSET, code=6))
        made = [self.ledger.transfer(entry(credit=60, user_data_64=77)).id for _ in range(5)]
        self.assertEqual([int(t.id) for t in self.ledger.statement(60, limit=2)], made)
        self.assertEqual([int(t.id) for t in self.ledger.statement(60, limit=2, reversed=True)], made[::-1])
        request = ledger_pb2.QueryTransfersRequest(filter=ledger_pb2.QueryFilter(user_data_64=77))
        self.assertEqual(len(self.ledger.call(self.ledger.stub.QueryTransfers, request).transfers), 5)

    def test_a_stream(self) -> None:
        def batches():
            for sequence in (1, 2, 3):
                transfer = ledger_pb2.Transfer(id=str(self.ledger.new_id()), debit_account_id="1", credit_account_id="2", amount="1", asset=ASSET, code=1)
                yield ledger_pb2.CreateTransfersStreamRequest(sequence=sequence, transfers=[transfer])

        answers = list(self.ledger.stub.CreateTransfersStream(batches(), timeout=30))
        self.assertEqual(sorted(a.sequence for a in answers), [1, 2, 3])
        self.assertTrue(all(a.results[0].status == status_pb2.CREATE_TRANSFER_STATUS_CREATED for a in answers))

    def test_an_answer_that_is_lost_pays_once(self) -> None:
        cutter, shaky = self.through_cutter()
        had = self.credits(2)
        shaky.transfer(entry())
        cutter.hold()
        id, results = shaky.new_id(), []
        thread = threading.Thread(target=lambda: results.append(shaky.transfer(entry(id=id))))
        thread.start()
        while not self.lookup(id):
            pass
        cutter.cut()
        thread.join(30)
        self.assertTrue(results and results[0].existed)
        self.assertEqual(cutter.connections, 2)
        self.assertEqual(self.credits(2), had + 10)

    def test_time_that_runs_out_leaves_the_outcome_unknown(self) -> None:
        cutter, shaky = self.through_cutter()
        shaky.transfer(entry())
        cutter.hold()
        id = shaky.new_id()
        with self.assertRaisesRegex(sterling.OutcomeUnknown, str(id)) as caught:
            shaky.transfer(entry(id=id), timeout=0.2)
        self.assertEqual(caught.exception.ids, [id])
        cutter.cut()
        shaky.transfer(entry(id=id))
        shaky.close()
        with self.assertRaises(ValueError):
            shaky.transfer(entry())
        cutter.stop()
        with Ledger(cutter.address, "t", patience=0.1) as nobody, self.assertRaises(sterling.OutcomeUnknown):
            nobody.transfer(entry())

    def test_the_operators_interface(self) -> None:
        self.assertEqual(self.ledger.admin.Status(admin_pb2.StatusRequest()).disk, admin_pb2.DISK_STATE_OK)

    def test_the_example(self) -> None:
        example = Path(__file__).parent.parent / "examples" / "payment.py"
        done = subprocess.run([sys.executable, example, self.server.address, self.server.token_path], stdout=subprocess.PIPE, text=True, check=True, timeout=60)
        self.assertEqual(done.stdout, "PENDING 12.90\nPOST_PENDING_TRANSFER 12.90\nnot possible: pending transfer already posted\n")


class ValuesTest(unittest.TestCase):
    def test_amounts(self) -> None:
        for decimal, asset, minor, back in (("12.34", ASSET, 1234, "12.34"), ("12", ASSET, 1200, "12.00"), ("0.05", ASSET, 5, "0.05"), ("1.2300", ASSET, 123, "1.23"), ("7", "JPY/0", 7, "7")):
            self.assertEqual(sterling.parse_amount(decimal, asset), minor)
            self.assertEqual(sterling.format_amount(minor, asset), back)
        for bad in ("1.234", "1.", ".5", "", "-1", "1,5", "1e3", "1\n", "١", "340282366920938463463374607431768211456"):
            with self.assertRaises(ValueError, msg=bad):
                sterling.parse_amount(bad, ASSET)
        for asset in ("cny/2", "CNY", "CNY/19", "CNY/02"):
            with self.assertRaises(ValueError, msg=asset):
                sterling.parse_amount("1", asset)
        for value in (-1, 2**128):
            with self.assertRaises(ValueError):
                sterling.u128(value)
        for value in (1.0, "1", True):
            with self.assertRaises(TypeError):
                sterling.u128(value)

    def test_an_error_detail_that_is_damaged_is_no_detail(self) -> None:
        detail = status_pb2.ErrorDetail(reason=status_pb2.ERROR_REASON_STORE_FULL, field="x").SerializeToString()
        name = b"type.googleapis.com/sterling.ledger.v1.ErrorDetail"
        any = b"\x0a%c%s\x12%c%s" % (len(name), name, len(detail), detail)
        whole = b"\x08\x08\x12\x02no\x1a%c%s" % (len(any), any)
        self.assertEqual(errors._reason(whole), status_pb2.ERROR_REASON_STORE_FULL)
        randoms = random.Random(1)
        for i in range(5000):
            damaged = bytearray(whole[: i % (len(whole) + 1)] if i % 2 else whole)
            for _ in range(i % 4):
                if damaged:
                    damaged[randoms.randrange(len(damaged))] = randoms.randrange(256)
            self.assertIsInstance(errors._reason(bytes(damaged)), int)

    def test_ids_grow_and_carry_their_time(self) -> None:
        times = iter([1.0, 1.0, 0.999, 1.001, 1.001, 5.0])
        ids, last = sterling.IdGenerator(lambda: next(times)), 0
        for _ in range(6):
            id = ids.next()
            self.assertGreater(id, last)
            last = id
        self.assertEqual(last >> 80, 5000)

    def test_the_token_does_not_cross_a_network_in_clear(self) -> None:
        with self.assertRaisesRegex(ValueError, "unencrypted"):
            Ledger("ledger.example:1", "t")
        Ledger("ledger.example:1", "t", plaintext=True).close()
        Ledger("ledger.example:1", "t", tls=grpc.ssl_channel_credentials()).close()


if __name__ == "__main__":
    unittest.main()
