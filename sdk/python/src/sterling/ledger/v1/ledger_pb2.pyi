from sterling.ledger.v1 import status_pb2 as _status_pb2
from sterling.ledger.v1 import transit_pb2 as _transit_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

ACCOUNT_FLAG_CLOSED: AccountFlag
ACCOUNT_FLAG_CREDITS_MUST_NOT_EXCEED_DEBITS: AccountFlag
ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS: AccountFlag
ACCOUNT_FLAG_HISTORY: AccountFlag
ACCOUNT_FLAG_IMPORTED: AccountFlag
ACCOUNT_FLAG_LINKED: AccountFlag
ACCOUNT_FLAG_UNSPECIFIED: AccountFlag
DESCRIPTOR: _descriptor.FileDescriptor
FREEZE_MODE_ALL: FreezeMode
FREEZE_MODE_CREDIT: FreezeMode
FREEZE_MODE_DEBIT: FreezeMode
FREEZE_MODE_UNSPECIFIED: FreezeMode
TRANSFER_FLAG_BALANCING_CREDIT: TransferFlag
TRANSFER_FLAG_BALANCING_DEBIT: TransferFlag
TRANSFER_FLAG_CLOSING_CREDIT: TransferFlag
TRANSFER_FLAG_CLOSING_DEBIT: TransferFlag
TRANSFER_FLAG_FENCE: TransferFlag
TRANSFER_FLAG_IMPORTED: TransferFlag
TRANSFER_FLAG_KEEP_REMAINDER: TransferFlag
TRANSFER_FLAG_LINKED: TransferFlag
TRANSFER_FLAG_PENDING: TransferFlag
TRANSFER_FLAG_POST_PENDING_TRANSFER: TransferFlag
TRANSFER_FLAG_UNSPECIFIED: TransferFlag
TRANSFER_FLAG_VOID_PENDING_TRANSFER: TransferFlag
TRANSFER_SIDE_CREDIT: TransferSide
TRANSFER_SIDE_DEBIT: TransferSide
TRANSFER_SIDE_UNSPECIFIED: TransferSide

class Account(_message.Message):
    __slots__ = ["address", "asset", "code", "credits_pending", "credits_posted", "debits_pending", "debits_posted", "flags", "id", "metadata", "timestamp", "user_data_128", "user_data_32", "user_data_64"]
    class MetadataEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: MetadataValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[MetadataValue, _Mapping]] = ...) -> None: ...
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    CREDITS_PENDING_FIELD_NUMBER: _ClassVar[int]
    CREDITS_POSTED_FIELD_NUMBER: _ClassVar[int]
    DEBITS_PENDING_FIELD_NUMBER: _ClassVar[int]
    DEBITS_POSTED_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    USER_DATA_128_FIELD_NUMBER: _ClassVar[int]
    USER_DATA_32_FIELD_NUMBER: _ClassVar[int]
    USER_DATA_64_FIELD_NUMBER: _ClassVar[int]
    address: str
    asset: str
    code: int
    credits_pending: str
    credits_posted: str
    debits_pending: str
    debits_posted: str
    flags: _containers.RepeatedScalarFieldContainer[AccountFlag]
    id: str
    metadata: _containers.MessageMap[str, MetadataValue]
    timestamp: int
    user_data_128: str
    user_data_32: int
    user_data_64: int
    def __init__(self, id: _Optional[str] = ..., debits_pending: _Optional[str] = ..., debits_posted: _Optional[str] = ..., credits_pending: _Optional[str] = ..., credits_posted: _Optional[str] = ..., user_data_128: _Optional[str] = ..., user_data_64: _Optional[int] = ..., user_data_32: _Optional[int] = ..., asset: _Optional[str] = ..., code: _Optional[int] = ..., flags: _Optional[_Iterable[_Union[AccountFlag, str]]] = ..., timestamp: _Optional[int] = ..., address: _Optional[str] = ..., metadata: _Optional[_Mapping[str, MetadataValue]] = ...) -> None: ...

class AccountBalance(_message.Message):
    __slots__ = ["credits_pending", "credits_posted", "debits_pending", "debits_posted", "timestamp"]
    CREDITS_PENDING_FIELD_NUMBER: _ClassVar[int]
    CREDITS_POSTED_FIELD_NUMBER: _ClassVar[int]
    DEBITS_PENDING_FIELD_NUMBER: _ClassVar[int]
    DEBITS_POSTED_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    credits_pending: str
    credits_posted: str
    debits_pending: str
    debits_posted: str
    timestamp: int
    def __init__(self, debits_pending: _Optional[str] = ..., debits_posted: _Optional[str] = ..., credits_pending: _Optional[str] = ..., credits_posted: _Optional[str] = ..., timestamp: _Optional[int] = ...) -> None: ...

class AccountFilter(_message.Message):
    __slots__ = ["account_id", "code", "credits", "debits", "limit", "reversed", "timestamp_max", "timestamp_min", "user_data_128", "user_data_32", "user_data_64"]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    CREDITS_FIELD_NUMBER: _ClassVar[int]
    DEBITS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    REVERSED_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MAX_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MIN_FIELD_NUMBER: _ClassVar[int]
    USER_DATA_128_FIELD_NUMBER: _ClassVar[int]
    USER_DATA_32_FIELD_NUMBER: _ClassVar[int]
    USER_DATA_64_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    code: int
    credits: bool
    debits: bool
    limit: int
    reversed: bool
    timestamp_max: int
    timestamp_min: int
    user_data_128: str
    user_data_32: int
    user_data_64: int
    def __init__(self, account_id: _Optional[str] = ..., user_data_128: _Optional[str] = ..., user_data_64: _Optional[int] = ..., user_data_32: _Optional[int] = ..., code: _Optional[int] = ..., timestamp_min: _Optional[int] = ..., timestamp_max: _Optional[int] = ..., limit: _Optional[int] = ..., debits: bool = ..., credits: bool = ..., reversed: bool = ...) -> None: ...

class Asset(_message.Message):
    __slots__ = ["name", "number", "scale"]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    name: str
    number: int
    scale: int
    def __init__(self, name: _Optional[str] = ..., number: _Optional[int] = ..., scale: _Optional[int] = ...) -> None: ...

class ControlResult(_message.Message):
    __slots__ = ["status", "timestamp"]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    status: _status_pb2.ControlStatus
    timestamp: int
    def __init__(self, status: _Optional[_Union[_status_pb2.ControlStatus, str]] = ..., timestamp: _Optional[int] = ...) -> None: ...

class CreateAccountResult(_message.Message):
    __slots__ = ["status", "timestamp"]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    status: _status_pb2.CreateAccountStatus
    timestamp: int
    def __init__(self, status: _Optional[_Union[_status_pb2.CreateAccountStatus, str]] = ..., timestamp: _Optional[int] = ...) -> None: ...

class CreateAccountsPackedRequest(_message.Message):
    __slots__ = ["records"]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: bytes
    def __init__(self, records: _Optional[bytes] = ...) -> None: ...

class CreateAccountsPackedResponse(_message.Message):
    __slots__ = ["position", "results"]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    position: Position
    results: bytes
    def __init__(self, results: _Optional[bytes] = ..., position: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class CreateAccountsRequest(_message.Message):
    __slots__ = ["accounts"]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    accounts: _containers.RepeatedCompositeFieldContainer[Account]
    def __init__(self, accounts: _Optional[_Iterable[_Union[Account, _Mapping]]] = ...) -> None: ...

class CreateAccountsResponse(_message.Message):
    __slots__ = ["position", "results"]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    position: Position
    results: _containers.RepeatedCompositeFieldContainer[CreateAccountResult]
    def __init__(self, results: _Optional[_Iterable[_Union[CreateAccountResult, _Mapping]]] = ..., position: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class CreateTransactionRequest(_message.Message):
    __slots__ = ["allow_cycles", "booking_date", "code", "control_sum", "id", "legs", "metadata", "user_data_128", "user_data_32", "user_data_64"]
    class MetadataEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: MetadataValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[MetadataValue, _Mapping]] = ...) -> None: ...
    ALLOW_CYCLES_FIELD_NUMBER: _ClassVar[int]
    BOOKING_DATE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    CONTROL_SUM_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    LEGS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    USER_DATA_128_FIELD_NUMBER: _ClassVar[int]
    USER_DATA_32_FIELD_NUMBER: _ClassVar[int]
    USER_DATA_64_FIELD_NUMBER: _ClassVar[int]
    allow_cycles: bool
    booking_date: str
    code: int
    control_sum: str
    id: str
    legs: _containers.RepeatedCompositeFieldContainer[Transfer]
    metadata: _containers.MessageMap[str, MetadataValue]
    user_data_128: str
    user_data_32: int
    user_data_64: int
    def __init__(self, id: _Optional[str] = ..., legs: _Optional[_Iterable[_Union[Transfer, _Mapping]]] = ..., code: _Optional[int] = ..., user_data_128: _Optional[str] = ..., user_data_64: _Optional[int] = ..., user_data_32: _Optional[int] = ..., booking_date: _Optional[str] = ..., metadata: _Optional[_Mapping[str, MetadataValue]] = ..., control_sum: _Optional[str] = ..., allow_cycles: bool = ...) -> None: ...

class CreateTransactionResponse(_message.Message):
    __slots__ = ["leg_ids", "legs", "position", "status", "timestamp"]
    LEGS_FIELD_NUMBER: _ClassVar[int]
    LEG_IDS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    leg_ids: _containers.RepeatedScalarFieldContainer[str]
    legs: _containers.RepeatedCompositeFieldContainer[CreateTransferResult]
    position: Position
    status: _status_pb2.CreateTransferStatus
    timestamp: int
    def __init__(self, status: _Optional[_Union[_status_pb2.CreateTransferStatus, str]] = ..., timestamp: _Optional[int] = ..., legs: _Optional[_Iterable[_Union[CreateTransferResult, _Mapping]]] = ..., leg_ids: _Optional[_Iterable[str]] = ..., position: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class CreateTransferResult(_message.Message):
    __slots__ = ["status", "timestamp"]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    status: _status_pb2.CreateTransferStatus
    timestamp: int
    def __init__(self, status: _Optional[_Union[_status_pb2.CreateTransferStatus, str]] = ..., timestamp: _Optional[int] = ...) -> None: ...

class CreateTransfersPackedRequest(_message.Message):
    __slots__ = ["records"]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: bytes
    def __init__(self, records: _Optional[bytes] = ...) -> None: ...

class CreateTransfersPackedResponse(_message.Message):
    __slots__ = ["position", "results"]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    position: Position
    results: bytes
    def __init__(self, results: _Optional[bytes] = ..., position: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class CreateTransfersRequest(_message.Message):
    __slots__ = ["transfers"]
    TRANSFERS_FIELD_NUMBER: _ClassVar[int]
    transfers: _containers.RepeatedCompositeFieldContainer[Transfer]
    def __init__(self, transfers: _Optional[_Iterable[_Union[Transfer, _Mapping]]] = ...) -> None: ...

class CreateTransfersResponse(_message.Message):
    __slots__ = ["position", "results"]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    position: Position
    results: _containers.RepeatedCompositeFieldContainer[CreateTransferResult]
    def __init__(self, results: _Optional[_Iterable[_Union[CreateTransferResult, _Mapping]]] = ..., position: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class CreateTransfersStreamRequest(_message.Message):
    __slots__ = ["sequence", "transfers"]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TRANSFERS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    transfers: _containers.RepeatedCompositeFieldContainer[Transfer]
    def __init__(self, sequence: _Optional[int] = ..., transfers: _Optional[_Iterable[_Union[Transfer, _Mapping]]] = ...) -> None: ...

class CreateTransfersStreamResponse(_message.Message):
    __slots__ = ["position", "results", "sequence"]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    position: Position
    results: _containers.RepeatedCompositeFieldContainer[CreateTransferResult]
    sequence: int
    def __init__(self, sequence: _Optional[int] = ..., results: _Optional[_Iterable[_Union[CreateTransferResult, _Mapping]]] = ..., position: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class FreezeRequest(_message.Message):
    __slots__ = ["account_id", "id", "mode", "reason", "transfer_code", "whole_cell"]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_CODE_FIELD_NUMBER: _ClassVar[int]
    WHOLE_CELL_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    id: str
    mode: FreezeMode
    reason: str
    transfer_code: int
    whole_cell: bool
    def __init__(self, id: _Optional[str] = ..., account_id: _Optional[str] = ..., transfer_code: _Optional[int] = ..., whole_cell: bool = ..., mode: _Optional[_Union[FreezeMode, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class FreezeResponse(_message.Message):
    __slots__ = ["position", "status", "timestamp"]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    position: Position
    status: _status_pb2.ControlStatus
    timestamp: int
    def __init__(self, status: _Optional[_Union[_status_pb2.ControlStatus, str]] = ..., timestamp: _Optional[int] = ..., position: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class FrozenState(_message.Message):
    __slots__ = ["account_id", "actor", "id", "mode", "reason", "timestamp", "transfer_code", "whole_cell"]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_CODE_FIELD_NUMBER: _ClassVar[int]
    WHOLE_CELL_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    actor: str
    id: str
    mode: FreezeMode
    reason: str
    timestamp: int
    transfer_code: int
    whole_cell: bool
    def __init__(self, id: _Optional[str] = ..., account_id: _Optional[str] = ..., transfer_code: _Optional[int] = ..., whole_cell: bool = ..., mode: _Optional[_Union[FreezeMode, str]] = ..., reason: _Optional[str] = ..., actor: _Optional[str] = ..., timestamp: _Optional[int] = ...) -> None: ...

class GetAccountBalancesRequest(_message.Message):
    __slots__ = ["filter", "min_position"]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    MIN_POSITION_FIELD_NUMBER: _ClassVar[int]
    filter: AccountFilter
    min_position: Position
    def __init__(self, filter: _Optional[_Union[AccountFilter, _Mapping]] = ..., min_position: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class GetAccountBalancesResponse(_message.Message):
    __slots__ = ["balances", "next_timestamp", "position"]
    BALANCES_FIELD_NUMBER: _ClassVar[int]
    NEXT_TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    balances: _containers.RepeatedCompositeFieldContainer[AccountBalance]
    next_timestamp: int
    position: Position
    def __init__(self, balances: _Optional[_Iterable[_Union[AccountBalance, _Mapping]]] = ..., position: _Optional[_Union[Position, _Mapping]] = ..., next_timestamp: _Optional[int] = ...) -> None: ...

class GetAccountTransfersRequest(_message.Message):
    __slots__ = ["filter", "min_position"]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    MIN_POSITION_FIELD_NUMBER: _ClassVar[int]
    filter: AccountFilter
    min_position: Position
    def __init__(self, filter: _Optional[_Union[AccountFilter, _Mapping]] = ..., min_position: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class GetAccountTransfersResponse(_message.Message):
    __slots__ = ["next_timestamp", "position", "transfers"]
    NEXT_TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    TRANSFERS_FIELD_NUMBER: _ClassVar[int]
    next_timestamp: int
    position: Position
    transfers: _containers.RepeatedCompositeFieldContainer[Transfer]
    def __init__(self, transfers: _Optional[_Iterable[_Union[Transfer, _Mapping]]] = ..., position: _Optional[_Union[Position, _Mapping]] = ..., next_timestamp: _Optional[int] = ...) -> None: ...

class GetTransactionRequest(_message.Message):
    __slots__ = ["id"]
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetTransactionResponse(_message.Message):
    __slots__ = ["position", "timestamp", "transaction"]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    TRANSACTION_FIELD_NUMBER: _ClassVar[int]
    position: Position
    timestamp: int
    transaction: CreateTransactionRequest
    def __init__(self, transaction: _Optional[_Union[CreateTransactionRequest, _Mapping]] = ..., timestamp: _Optional[int] = ..., position: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class ListAssetsRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class ListAssetsResponse(_message.Message):
    __slots__ = ["assets", "position"]
    ASSETS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    assets: _containers.RepeatedCompositeFieldContainer[Asset]
    position: Position
    def __init__(self, assets: _Optional[_Iterable[_Union[Asset, _Mapping]]] = ..., position: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class ListFreezesRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class ListFreezesResponse(_message.Message):
    __slots__ = ["freezes", "position"]
    FREEZES_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    freezes: _containers.RepeatedCompositeFieldContainer[FrozenState]
    position: Position
    def __init__(self, freezes: _Optional[_Iterable[_Union[FrozenState, _Mapping]]] = ..., position: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class LookupAccountsPackedRequest(_message.Message):
    __slots__ = ["ids"]
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: bytes
    def __init__(self, ids: _Optional[bytes] = ...) -> None: ...

class LookupAccountsPackedResponse(_message.Message):
    __slots__ = ["position", "records"]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    position: Position
    records: bytes
    def __init__(self, records: _Optional[bytes] = ..., position: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class LookupAccountsRequest(_message.Message):
    __slots__ = ["ids"]
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, ids: _Optional[_Iterable[str]] = ...) -> None: ...

class LookupAccountsResponse(_message.Message):
    __slots__ = ["accounts", "position"]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    accounts: _containers.RepeatedCompositeFieldContainer[Account]
    position: Position
    def __init__(self, accounts: _Optional[_Iterable[_Union[Account, _Mapping]]] = ..., position: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class LookupAddressesRequest(_message.Message):
    __slots__ = ["addresses"]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    addresses: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, addresses: _Optional[_Iterable[str]] = ...) -> None: ...

class LookupAddressesResponse(_message.Message):
    __slots__ = ["accounts", "position"]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    accounts: _containers.RepeatedCompositeFieldContainer[Account]
    position: Position
    def __init__(self, accounts: _Optional[_Iterable[_Union[Account, _Mapping]]] = ..., position: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class LookupTransfersRequest(_message.Message):
    __slots__ = ["ids"]
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, ids: _Optional[_Iterable[str]] = ...) -> None: ...

class LookupTransfersResponse(_message.Message):
    __slots__ = ["position", "transfers"]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    TRANSFERS_FIELD_NUMBER: _ClassVar[int]
    position: Position
    transfers: _containers.RepeatedCompositeFieldContainer[Transfer]
    def __init__(self, transfers: _Optional[_Iterable[_Union[Transfer, _Mapping]]] = ..., position: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class MetadataValue(_message.Message):
    __slots__ = ["amount", "data", "integer", "personal", "text", "time", "truth"]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    INTEGER_FIELD_NUMBER: _ClassVar[int]
    PERSONAL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    TRUTH_FIELD_NUMBER: _ClassVar[int]
    amount: str
    data: bytes
    integer: int
    personal: PersonalValue
    text: str
    time: int
    truth: bool
    def __init__(self, text: _Optional[str] = ..., integer: _Optional[int] = ..., truth: bool = ..., amount: _Optional[str] = ..., time: _Optional[int] = ..., data: _Optional[bytes] = ..., personal: _Optional[_Union[PersonalValue, _Mapping]] = ...) -> None: ...

class PersonalValue(_message.Message):
    __slots__ = ["erased", "subject", "value"]
    ERASED_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    erased: bool
    subject: str
    value: MetadataValue
    def __init__(self, subject: _Optional[str] = ..., value: _Optional[_Union[MetadataValue, _Mapping]] = ..., erased: bool = ...) -> None: ...

class Position(_message.Message):
    __slots__ = ["cell", "seq"]
    CELL_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    cell: int
    seq: int
    def __init__(self, cell: _Optional[int] = ..., seq: _Optional[int] = ...) -> None: ...

class QueryAccountsRequest(_message.Message):
    __slots__ = ["filter", "min_position"]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    MIN_POSITION_FIELD_NUMBER: _ClassVar[int]
    filter: QueryFilter
    min_position: Position
    def __init__(self, filter: _Optional[_Union[QueryFilter, _Mapping]] = ..., min_position: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class QueryAccountsResponse(_message.Message):
    __slots__ = ["accounts", "next_timestamp", "position"]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    accounts: _containers.RepeatedCompositeFieldContainer[Account]
    next_timestamp: int
    position: Position
    def __init__(self, accounts: _Optional[_Iterable[_Union[Account, _Mapping]]] = ..., position: _Optional[_Union[Position, _Mapping]] = ..., next_timestamp: _Optional[int] = ...) -> None: ...

class QueryFilter(_message.Message):
    __slots__ = ["asset", "code", "limit", "reversed", "timestamp_max", "timestamp_min", "user_data_128", "user_data_32", "user_data_64"]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    REVERSED_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MAX_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MIN_FIELD_NUMBER: _ClassVar[int]
    USER_DATA_128_FIELD_NUMBER: _ClassVar[int]
    USER_DATA_32_FIELD_NUMBER: _ClassVar[int]
    USER_DATA_64_FIELD_NUMBER: _ClassVar[int]
    asset: str
    code: int
    limit: int
    reversed: bool
    timestamp_max: int
    timestamp_min: int
    user_data_128: str
    user_data_32: int
    user_data_64: int
    def __init__(self, user_data_128: _Optional[str] = ..., user_data_64: _Optional[int] = ..., user_data_32: _Optional[int] = ..., asset: _Optional[str] = ..., code: _Optional[int] = ..., timestamp_min: _Optional[int] = ..., timestamp_max: _Optional[int] = ..., limit: _Optional[int] = ..., reversed: bool = ...) -> None: ...

class QueryTransfersRequest(_message.Message):
    __slots__ = ["filter", "min_position"]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    MIN_POSITION_FIELD_NUMBER: _ClassVar[int]
    filter: QueryFilter
    min_position: Position
    def __init__(self, filter: _Optional[_Union[QueryFilter, _Mapping]] = ..., min_position: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class QueryTransfersResponse(_message.Message):
    __slots__ = ["next_timestamp", "position", "transfers"]
    NEXT_TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    TRANSFERS_FIELD_NUMBER: _ClassVar[int]
    next_timestamp: int
    position: Position
    transfers: _containers.RepeatedCompositeFieldContainer[Transfer]
    def __init__(self, transfers: _Optional[_Iterable[_Union[Transfer, _Mapping]]] = ..., position: _Optional[_Union[Position, _Mapping]] = ..., next_timestamp: _Optional[int] = ...) -> None: ...

class RegisterAssetsRequest(_message.Message):
    __slots__ = ["assets"]
    ASSETS_FIELD_NUMBER: _ClassVar[int]
    assets: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, assets: _Optional[_Iterable[str]] = ...) -> None: ...

class RegisterAssetsResponse(_message.Message):
    __slots__ = ["assets", "position"]
    ASSETS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    assets: _containers.RepeatedCompositeFieldContainer[Asset]
    position: Position
    def __init__(self, assets: _Optional[_Iterable[_Union[Asset, _Mapping]]] = ..., position: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class SetMetadataRequest(_message.Message):
    __slots__ = ["account_id", "id", "metadata"]
    class MetadataEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: MetadataValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[MetadataValue, _Mapping]] = ...) -> None: ...
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    id: str
    metadata: _containers.MessageMap[str, MetadataValue]
    def __init__(self, id: _Optional[str] = ..., account_id: _Optional[str] = ..., metadata: _Optional[_Mapping[str, MetadataValue]] = ...) -> None: ...

class SetMetadataResponse(_message.Message):
    __slots__ = ["position", "status", "timestamp"]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    position: Position
    status: _status_pb2.ControlStatus
    timestamp: int
    def __init__(self, status: _Optional[_Union[_status_pb2.ControlStatus, str]] = ..., timestamp: _Optional[int] = ..., position: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class SetVelocityLimitsRequest(_message.Message):
    __slots__ = ["limits"]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    limits: _containers.RepeatedCompositeFieldContainer[VelocityLimit]
    def __init__(self, limits: _Optional[_Iterable[_Union[VelocityLimit, _Mapping]]] = ...) -> None: ...

class SetVelocityLimitsResponse(_message.Message):
    __slots__ = ["position", "results"]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    position: Position
    results: _containers.RepeatedCompositeFieldContainer[ControlResult]
    def __init__(self, results: _Optional[_Iterable[_Union[ControlResult, _Mapping]]] = ..., position: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class Transfer(_message.Message):
    __slots__ = ["amount", "asset", "booking_date", "code", "credit_account_id", "debit_account_id", "flags", "id", "metadata", "pending_id", "timeout", "timestamp", "transit", "user_data_128", "user_data_32", "user_data_64"]
    class MetadataEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: MetadataValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[MetadataValue, _Mapping]] = ...) -> None: ...
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    BOOKING_DATE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    CREDIT_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    DEBIT_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    PENDING_ID_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    TRANSIT_FIELD_NUMBER: _ClassVar[int]
    USER_DATA_128_FIELD_NUMBER: _ClassVar[int]
    USER_DATA_32_FIELD_NUMBER: _ClassVar[int]
    USER_DATA_64_FIELD_NUMBER: _ClassVar[int]
    amount: str
    asset: str
    booking_date: str
    code: int
    credit_account_id: str
    debit_account_id: str
    flags: _containers.RepeatedScalarFieldContainer[TransferFlag]
    id: str
    metadata: _containers.MessageMap[str, MetadataValue]
    pending_id: str
    timeout: int
    timestamp: int
    transit: _transit_pb2.Transit
    user_data_128: str
    user_data_32: int
    user_data_64: int
    def __init__(self, id: _Optional[str] = ..., debit_account_id: _Optional[str] = ..., credit_account_id: _Optional[str] = ..., amount: _Optional[str] = ..., pending_id: _Optional[str] = ..., user_data_128: _Optional[str] = ..., user_data_64: _Optional[int] = ..., user_data_32: _Optional[int] = ..., timeout: _Optional[int] = ..., asset: _Optional[str] = ..., code: _Optional[int] = ..., flags: _Optional[_Iterable[_Union[TransferFlag, str]]] = ..., timestamp: _Optional[int] = ..., booking_date: _Optional[str] = ..., metadata: _Optional[_Mapping[str, MetadataValue]] = ..., transit: _Optional[_Union[_transit_pb2.Transit, _Mapping]] = ...) -> None: ...

class UnfreezeRequest(_message.Message):
    __slots__ = ["freeze_id", "id", "reason"]
    FREEZE_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    freeze_id: str
    id: str
    reason: str
    def __init__(self, id: _Optional[str] = ..., freeze_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class UnfreezeResponse(_message.Message):
    __slots__ = ["position", "status", "timestamp"]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    position: Position
    status: _status_pb2.ControlStatus
    timestamp: int
    def __init__(self, status: _Optional[_Union[_status_pb2.ControlStatus, str]] = ..., timestamp: _Optional[int] = ..., position: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class VelocityLimit(_message.Message):
    __slots__ = ["account_id", "amount_per_day", "amount_per_hour", "count_per_day", "count_per_hour", "id", "side"]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_PER_DAY_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_PER_HOUR_FIELD_NUMBER: _ClassVar[int]
    COUNT_PER_DAY_FIELD_NUMBER: _ClassVar[int]
    COUNT_PER_HOUR_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    amount_per_day: str
    amount_per_hour: str
    count_per_day: int
    count_per_hour: int
    id: str
    side: TransferSide
    def __init__(self, id: _Optional[str] = ..., account_id: _Optional[str] = ..., side: _Optional[_Union[TransferSide, str]] = ..., amount_per_hour: _Optional[str] = ..., amount_per_day: _Optional[str] = ..., count_per_hour: _Optional[int] = ..., count_per_day: _Optional[int] = ...) -> None: ...

class AccountFlag(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class TransferFlag(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class FreezeMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class TransferSide(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
