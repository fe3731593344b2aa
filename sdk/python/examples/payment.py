"""A payment: reserve now, settle when the goods leave, read the statement.

PYTHONPATH=src python3 examples/payment.py 127.0.0.1:7600 ../../sterling-data/admin.token
"""

import sys

from sterling import Entry, Ledger, Opening, OutcomeUnknown, TransferRefused, format_amount, parse_amount, token_file
from sterling.ledger.v1 import ledger_pb2

ASSET = "CNY/2"


def main(address: str, token: str) -> None:
    with Ledger(address, token_file(token), user_agent="example/1") as ledger:
        customer = ledger.open(Opening(asset=ASSET, code=2))
        shop = ledger.open(Opening(asset=ASSET, code=3))

        order = ledger.new_id()  # kept with the order: a restart of this program can't pay twice
        amount = parse_amount("12.90", ASSET)
        hold = [ledger_pb2.TRANSFER_FLAG_PENDING]
        ledger.transfer(Entry(id=order, debit=customer.id, credit=shop.id, amount=amount, asset=ASSET, code=10, flags=hold, timeout=900))
        ledger.transfer(Entry(pending_id=order, flags=[ledger_pb2.TRANSFER_FLAG_POST_PENDING_TRANSFER]))

        for transfer in ledger.statement(shop.id):
            flags = ",".join(ledger_pb2.TransferFlag.Name(flag) for flag in transfer.flags)
            print(flags.replace("TRANSFER_FLAG_", ""), format_amount(int(transfer.amount), ASSET))
        try:
            ledger.transfer(Entry(pending_id=order, flags=[ledger_pb2.TRANSFER_FLAG_VOID_PENDING_TRANSFER]))
        except TransferRefused as refused:
            print("not possible:", str(refused).split(": ")[1])  # nothing was recorded
        except OutcomeUnknown as unknown:
            print("perhaps recorded: send again with the ids", unknown.ids)


if __name__ == "__main__":
    main(*sys.argv[1:])
