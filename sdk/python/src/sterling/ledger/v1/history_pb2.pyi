from sterling.ledger.v1 import ledger_pb2 as _ledger_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
METADATA_TARGET_ACCOUNTS: MetadataTarget
METADATA_TARGET_TRANSFERS: MetadataTarget
METADATA_TARGET_UNSPECIFIED: MetadataTarget

class AgeingBucket(_message.Message):
    __slots__ = ["amount", "count"]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    amount: str
    count: int
    def __init__(self, count: _Optional[int] = ..., amount: _Optional[str] = ...) -> None: ...

class AgeingGroup(_message.Message):
    __slots__ = ["asset", "buckets", "code"]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    BUCKETS_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    asset: str
    buckets: _containers.RepeatedCompositeFieldContainer[AgeingBucket]
    code: int
    def __init__(self, asset: _Optional[str] = ..., code: _Optional[int] = ..., buckets: _Optional[_Iterable[_Union[AgeingBucket, _Mapping]]] = ...) -> None: ...

class Balances(_message.Message):
    __slots__ = ["credits_pending", "credits_posted", "debits_pending", "debits_posted"]
    CREDITS_PENDING_FIELD_NUMBER: _ClassVar[int]
    CREDITS_POSTED_FIELD_NUMBER: _ClassVar[int]
    DEBITS_PENDING_FIELD_NUMBER: _ClassVar[int]
    DEBITS_POSTED_FIELD_NUMBER: _ClassVar[int]
    credits_pending: str
    credits_posted: str
    debits_pending: str
    debits_posted: str
    def __init__(self, debits_posted: _Optional[str] = ..., credits_posted: _Optional[str] = ..., debits_pending: _Optional[str] = ..., credits_pending: _Optional[str] = ...) -> None: ...

class GetBalanceAsOfRequest(_message.Message):
    __slots__ = ["account_id", "address", "booking_date", "min_position", "timestamp"]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    BOOKING_DATE_FIELD_NUMBER: _ClassVar[int]
    MIN_POSITION_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    address: str
    booking_date: str
    min_position: _ledger_pb2.Position
    timestamp: int
    def __init__(self, account_id: _Optional[str] = ..., address: _Optional[str] = ..., timestamp: _Optional[int] = ..., booking_date: _Optional[str] = ..., min_position: _Optional[_Union[_ledger_pb2.Position, _Mapping]] = ...) -> None: ...

class GetBalanceAsOfResponse(_message.Message):
    __slots__ = ["account_id", "asset", "balances", "position"]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    BALANCES_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    asset: str
    balances: Balances
    position: _ledger_pb2.Position
    def __init__(self, account_id: _Optional[str] = ..., asset: _Optional[str] = ..., balances: _Optional[_Union[Balances, _Mapping]] = ..., position: _Optional[_Union[_ledger_pb2.Position, _Mapping]] = ...) -> None: ...

class GetPendingAgeingRequest(_message.Message):
    __slots__ = ["asset", "bounds", "code", "limit", "page_token"]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    BOUNDS_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    asset: str
    bounds: _containers.RepeatedScalarFieldContainer[int]
    code: int
    limit: int
    page_token: str
    def __init__(self, asset: _Optional[str] = ..., code: _Optional[int] = ..., bounds: _Optional[_Iterable[int]] = ..., limit: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class GetPendingAgeingResponse(_message.Message):
    __slots__ = ["bounds", "groups", "next_page_token", "oldest", "position"]
    BOUNDS_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    OLDEST_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    bounds: _containers.RepeatedScalarFieldContainer[int]
    groups: _containers.RepeatedCompositeFieldContainer[AgeingGroup]
    next_page_token: str
    oldest: _containers.RepeatedCompositeFieldContainer[OpenPending]
    position: _ledger_pb2.Position
    def __init__(self, bounds: _Optional[_Iterable[int]] = ..., groups: _Optional[_Iterable[_Union[AgeingGroup, _Mapping]]] = ..., oldest: _Optional[_Iterable[_Union[OpenPending, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., position: _Optional[_Union[_ledger_pb2.Position, _Mapping]] = ...) -> None: ...

class GetStatementRequest(_message.Message):
    __slots__ = ["account_id", "address", "by_booking_date", "from_date", "limit", "min_position", "page_token", "timestamp_max", "timestamp_min", "to_date"]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    BY_BOOKING_DATE_FIELD_NUMBER: _ClassVar[int]
    FROM_DATE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    MIN_POSITION_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MAX_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MIN_FIELD_NUMBER: _ClassVar[int]
    TO_DATE_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    address: str
    by_booking_date: bool
    from_date: str
    limit: int
    min_position: _ledger_pb2.Position
    page_token: str
    timestamp_max: int
    timestamp_min: int
    to_date: str
    def __init__(self, account_id: _Optional[str] = ..., address: _Optional[str] = ..., timestamp_min: _Optional[int] = ..., timestamp_max: _Optional[int] = ..., by_booking_date: bool = ..., from_date: _Optional[str] = ..., to_date: _Optional[str] = ..., limit: _Optional[int] = ..., page_token: _Optional[str] = ..., min_position: _Optional[_Union[_ledger_pb2.Position, _Mapping]] = ...) -> None: ...

class GetStatementResponse(_message.Message):
    __slots__ = ["account_id", "asset", "closing", "next_page_token", "opening", "position", "rows"]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    CLOSING_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    OPENING_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    asset: str
    closing: Balances
    next_page_token: str
    opening: Balances
    position: _ledger_pb2.Position
    rows: _containers.RepeatedCompositeFieldContainer[StatementRow]
    def __init__(self, account_id: _Optional[str] = ..., asset: _Optional[str] = ..., opening: _Optional[_Union[Balances, _Mapping]] = ..., closing: _Optional[_Union[Balances, _Mapping]] = ..., rows: _Optional[_Iterable[_Union[StatementRow, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., position: _Optional[_Union[_ledger_pb2.Position, _Mapping]] = ...) -> None: ...

class GetTotalsRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class GetTotalsResponse(_message.Message):
    __slots__ = ["assets", "groups", "position"]
    ASSETS_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    assets: _containers.RepeatedCompositeFieldContainer[GroupTotal]
    groups: _containers.RepeatedCompositeFieldContainer[GroupTotal]
    position: _ledger_pb2.Position
    def __init__(self, groups: _Optional[_Iterable[_Union[GroupTotal, _Mapping]]] = ..., assets: _Optional[_Iterable[_Union[GroupTotal, _Mapping]]] = ..., position: _Optional[_Union[_ledger_pb2.Position, _Mapping]] = ...) -> None: ...

class GroupTotal(_message.Message):
    __slots__ = ["accounts", "asset", "code", "credits_pending", "credits_posted", "debits_pending", "debits_posted"]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    CREDITS_PENDING_FIELD_NUMBER: _ClassVar[int]
    CREDITS_POSTED_FIELD_NUMBER: _ClassVar[int]
    DEBITS_PENDING_FIELD_NUMBER: _ClassVar[int]
    DEBITS_POSTED_FIELD_NUMBER: _ClassVar[int]
    accounts: int
    asset: str
    code: int
    credits_pending: str
    credits_posted: str
    debits_pending: str
    debits_posted: str
    def __init__(self, asset: _Optional[str] = ..., code: _Optional[int] = ..., accounts: _Optional[int] = ..., debits_posted: _Optional[str] = ..., credits_posted: _Optional[str] = ..., debits_pending: _Optional[str] = ..., credits_pending: _Optional[str] = ...) -> None: ...

class ListAccountsByAddressRequest(_message.Message):
    __slots__ = ["limit", "min_position", "page_token", "prefix"]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    MIN_POSITION_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    limit: int
    min_position: _ledger_pb2.Position
    page_token: str
    prefix: str
    def __init__(self, prefix: _Optional[str] = ..., limit: _Optional[int] = ..., page_token: _Optional[str] = ..., min_position: _Optional[_Union[_ledger_pb2.Position, _Mapping]] = ...) -> None: ...

class ListAccountsByAddressResponse(_message.Message):
    __slots__ = ["accounts", "next_page_token", "position"]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    accounts: _containers.RepeatedCompositeFieldContainer[_ledger_pb2.Account]
    next_page_token: str
    position: _ledger_pb2.Position
    def __init__(self, accounts: _Optional[_Iterable[_Union[_ledger_pb2.Account, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., position: _Optional[_Union[_ledger_pb2.Position, _Mapping]] = ...) -> None: ...

class MetadataCondition(_message.Message):
    __slots__ = ["key", "value"]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: _ledger_pb2.MetadataValue
    def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_ledger_pb2.MetadataValue, _Mapping]] = ...) -> None: ...

class MovedBalances(_message.Message):
    __slots__ = ["balances", "left"]
    BALANCES_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    balances: Balances
    left: bool
    def __init__(self, left: bool = ..., balances: _Optional[_Union[Balances, _Mapping]] = ...) -> None: ...

class OpenPending(_message.Message):
    __slots__ = ["amount", "asset", "code", "credit_account_id", "debit_account_id", "expires", "id", "remaining", "timestamp"]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    CREDIT_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    DEBIT_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    amount: str
    asset: str
    code: int
    credit_account_id: str
    debit_account_id: str
    expires: int
    id: str
    remaining: str
    timestamp: int
    def __init__(self, id: _Optional[str] = ..., debit_account_id: _Optional[str] = ..., credit_account_id: _Optional[str] = ..., asset: _Optional[str] = ..., code: _Optional[int] = ..., amount: _Optional[str] = ..., remaining: _Optional[str] = ..., timestamp: _Optional[int] = ..., expires: _Optional[int] = ...) -> None: ...

class QueryByMetadataRequest(_message.Message):
    __slots__ = ["conditions", "limit", "min_position", "page_token", "target"]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    MIN_POSITION_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    conditions: _containers.RepeatedCompositeFieldContainer[MetadataCondition]
    limit: int
    min_position: _ledger_pb2.Position
    page_token: str
    target: MetadataTarget
    def __init__(self, target: _Optional[_Union[MetadataTarget, str]] = ..., conditions: _Optional[_Iterable[_Union[MetadataCondition, _Mapping]]] = ..., limit: _Optional[int] = ..., page_token: _Optional[str] = ..., min_position: _Optional[_Union[_ledger_pb2.Position, _Mapping]] = ...) -> None: ...

class QueryByMetadataResponse(_message.Message):
    __slots__ = ["accounts", "next_page_token", "position", "transfers"]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    TRANSFERS_FIELD_NUMBER: _ClassVar[int]
    accounts: _containers.RepeatedCompositeFieldContainer[_ledger_pb2.Account]
    next_page_token: str
    position: _ledger_pb2.Position
    transfers: _containers.RepeatedCompositeFieldContainer[_ledger_pb2.Transfer]
    def __init__(self, accounts: _Optional[_Iterable[_Union[_ledger_pb2.Account, _Mapping]]] = ..., transfers: _Optional[_Iterable[_Union[_ledger_pb2.Transfer, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., position: _Optional[_Union[_ledger_pb2.Position, _Mapping]] = ...) -> None: ...

class RebuildIndexRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class RebuildIndexResponse(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class StatementRow(_message.Message):
    __slots__ = ["balances", "booking_date", "expired", "moved", "posted", "released", "reserved", "side", "timestamp", "transfer"]
    BALANCES_FIELD_NUMBER: _ClassVar[int]
    BOOKING_DATE_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_FIELD_NUMBER: _ClassVar[int]
    MOVED_FIELD_NUMBER: _ClassVar[int]
    POSTED_FIELD_NUMBER: _ClassVar[int]
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    RESERVED_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    balances: Balances
    booking_date: str
    expired: bool
    moved: MovedBalances
    posted: str
    released: str
    reserved: str
    side: _ledger_pb2.TransferSide
    timestamp: int
    transfer: _ledger_pb2.Transfer
    def __init__(self, transfer: _Optional[_Union[_ledger_pb2.Transfer, _Mapping]] = ..., expired: bool = ..., timestamp: _Optional[int] = ..., booking_date: _Optional[str] = ..., side: _Optional[_Union[_ledger_pb2.TransferSide, str]] = ..., posted: _Optional[str] = ..., reserved: _Optional[str] = ..., released: _Optional[str] = ..., balances: _Optional[_Union[Balances, _Mapping]] = ..., moved: _Optional[_Union[MovedBalances, _Mapping]] = ...) -> None: ...

class MetadataTarget(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
