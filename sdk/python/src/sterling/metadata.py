"""Values of metadata, typed."""

from typing import Mapping

from sterling.ledger.v1 import ledger_pb2

from .amount import u128

Metadata = Mapping[str, ledger_pb2.MetadataValue]
"""Entries by key: letters, digits, '.', '_' and '-', up to 64 bytes; up to 32 entries,
all together up to 4 KiB."""


def text(value: str) -> ledger_pb2.MetadataValue:
    """Up to 1,024 bytes of UTF-8."""
    return ledger_pb2.MetadataValue(text=value)


def integer(value: int) -> ledger_pb2.MetadataValue:
    """64 bits with a sign."""
    return ledger_pb2.MetadataValue(integer=value)


def truth(value: bool) -> ledger_pb2.MetadataValue:
    """True or False."""
    return ledger_pb2.MetadataValue(truth=value)


def amount(minor: int) -> ledger_pb2.MetadataValue:
    """A number of minor units."""
    return ledger_pb2.MetadataValue(amount=u128(minor))


def time(nanoseconds: int) -> ledger_pb2.MetadataValue:
    """Nanoseconds since 1970 UTC."""
    return ledger_pb2.MetadataValue(time=nanoseconds)


def data(value: bytes) -> ledger_pb2.MetadataValue:
    """Up to 1,024 bytes."""
    return ledger_pb2.MetadataValue(data=value)


def personal(subject: str, value: ledger_pb2.MetadataValue) -> ledger_pb2.MetadataValue:
    """Of a person: encrypted with a key of the subject's own, which can be destroyed.
    The subject is kept in clear for ever: a customer number, never a name."""
    return ledger_pb2.MetadataValue(personal=ledger_pb2.PersonalValue(subject=subject, value=value))


def is_same(asked: Metadata, got: Metadata) -> bool:
    """Tell whether got is what asked recorded. What was erased since can't be compared
    but by whose it was."""
    if set(asked) != set(got):
        return False
    for key, value in asked.items():
        if value != got[key] and not (got[key].personal.erased and value.HasField("personal") and value.personal.subject == got[key].personal.subject):
            return False
    return True
