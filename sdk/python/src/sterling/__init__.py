"""Client of a Sterling ledger.

Start reading at Ledger. What the fields of messages mean is said in
proto/sterling/ledger/v1, from which sterling.ledger is generated.
"""

from . import metadata
from .amount import format_amount, parse_amount, u128
from .client import Entry, Ledger, Opening, Result, Transaction, TransactionResult, token_file
from .errors import AccountRefused, OutcomeUnknown, TransferRefused, error_reason
from .ids import IdGenerator

__all__ = [
    "AccountRefused",
    "Entry",
    "IdGenerator",
    "Ledger",
    "Opening",
    "OutcomeUnknown",
    "Result",
    "Transaction",
    "TransactionResult",
    "TransferRefused",
    "error_reason",
    "format_amount",
    "metadata",
    "parse_amount",
    "token_file",
    "u128",
]
