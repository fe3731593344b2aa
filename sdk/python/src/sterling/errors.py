"""What can go wrong, told apart by what the caller does next."""

from typing import List, Sequence

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError

from sterling.ledger.v1 import status_pb2

_DETAILS = "grpc-status-details-bin"


class TransferRefused(Exception):
    """One transfer was refused: nothing of it, and of the chain it stood in, was
    recorded. status is a status_pb2.CreateTransferStatus."""

    def __init__(self, id: int, index: int, status: int) -> None:
        name = status_pb2.CreateTransferStatus.Name(status)
        super().__init__(f"transfer {id} refused: {_words(name, 'CREATE_TRANSFER_STATUS_')}")
        self.id, self.index, self.status = id, index, status


class AccountRefused(Exception):
    """One account was refused and not opened. status is a
    status_pb2.CreateAccountStatus."""

    def __init__(self, id: int, status: int) -> None:
        name = status_pb2.CreateAccountStatus.Name(status)
        super().__init__(f"account {id} refused: {_words(name, 'CREATE_ACCOUNT_STATUS_')}")
        self.id, self.status = id, status


class OutcomeUnknown(Exception):
    """The events may or may not have been recorded: the answer was lost, or time ran
    out. Send the same events with the same ids again, at any time, to find out; a
    new id could pay twice. The error of the last attempt is its cause."""

    def __init__(self, ids: Sequence[int], cause: BaseException) -> None:
        named = ", ".join(str(id) for id in ids[:8])
        if len(ids) > 8:
            named += f" and {len(ids) - 8} more"
        super().__init__(f"outcome unknown of id {named}: send again with the same ids: {_say(cause)}")
        self.ids: List[int] = list(ids)
        self.__cause__ = cause


def _words(name: str, prefix: str) -> str:
    return name[len(prefix) :].lower().replace("_", " ")


def _say(error: BaseException) -> str:
    if isinstance(error, grpc.RpcError):
        return f"{error.code().name}: {error.details()}"
    return str(error)


def error_reason(error: grpc.RpcError) -> int:
    """Return why the server refused a call as a whole, a status_pb2.ErrorReason;
    UNSPECIFIED if it did not say."""
    return _reason(_status(error))


def retry_after(error: grpc.RpcError) -> float:
    """Return how long the server asks to wait before the call is sent again, in
    seconds; 0 if it does not."""
    return _delay(_status(error))


def _status(error: grpc.RpcError) -> bytes:
    return next((value for key, value in error.trailing_metadata() or () if key == _DETAILS), b"")


def _reason(status: bytes) -> int:
    try:
        return status_pb2.ErrorDetail.FromString(_detail(status, b"/sterling.ledger.v1.ErrorDetail")).reason
    except (DecodeError, IndexError, ValueError):
        return status_pb2.ERROR_REASON_UNSPECIFIED  # not from a Sterling


def _delay(status: bytes) -> float:
    try:
        delay = Duration.FromString(b"".join(_fields(_detail(status, b"/google.rpc.RetryInfo"), 1)))
    except (DecodeError, IndexError, ValueError):
        return 0.0  # not from a Sterling
    return max(0.0, delay.seconds + delay.nanos / 1e9)


def _detail(status: bytes, kind: bytes) -> bytes:
    """Read google.rpc.Status by hand (field 3 is a list of Any), because its Python
    package is one more dependency: the value of the first detail of a type."""
    for detail in _fields(status, 3):
        if b"".join(_fields(detail, 1)).endswith(kind):
            return b"".join(_fields(detail, 2))
    return b""


def _fields(message: bytes, wanted: int) -> List[bytes]:
    """Return the values of the length-delimited fields with a number."""
    found, at = [], 0
    while at < len(message):
        tag, at = _varint(message, at)
        if tag & 7 == 0:
            _, at = _varint(message, at)
        elif tag & 7 == 2:
            size, at = _varint(message, at)
            if at + size > len(message):
                raise ValueError("the field is cut off")
            if tag >> 3 == wanted:
                found.append(message[at : at + size])
            at += size
        else:
            raise ValueError(f"wire type {tag & 7} is not of google.rpc.Status")
    return found


def _varint(message: bytes, at: int):
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("the number is too long")


def is_passing(error: grpc.RpcError) -> bool:
    """Tell whether the same request may succeed in a while."""
    if error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED:
        if error_reason(error) == status_pb2.ERROR_REASON_RATE_LIMITED:
            return retry_after(error) > 0  # else the call is larger than the rate ever allows
        # These need a person to make room.
        return error_reason(error) not in (
            status_pb2.ERROR_REASON_TOO_LARGE,
            status_pb2.ERROR_REASON_ASSETS_EXHAUSTED,
            status_pb2.ERROR_REASON_STORE_FULL,
        )
    return error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


_REFUSED = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.OUT_OF_RANGE,
)


def is_surely_refused(error: grpc.RpcError) -> bool:
    """Tell whether an error says that nothing was recorded. In doubt it is False."""
    reason = error_reason(error)
    if reason == status_pb2.ERROR_REASON_OVERLOADED:
        return True
    if reason in (status_pb2.ERROR_REASON_OUTCOME_UNKNOWN, status_pb2.ERROR_REASON_INTERNAL):
        return False
    return error.code() in _REFUSED
