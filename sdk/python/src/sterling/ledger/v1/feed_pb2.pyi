from sterling.ledger.v1 import ledger_pb2 as _ledger_pb2
from sterling.ledger.v1 import transit_pb2 as _transit_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
EVENT_KIND_ACCOUNT_ARRIVED: EventKind
EVENT_KIND_ACCOUNT_CREATED: EventKind
EVENT_KIND_ACCOUNT_LEFT: EventKind
EVENT_KIND_ASSET_REGISTERED: EventKind
EVENT_KIND_FROZEN: EventKind
EVENT_KIND_LIMIT_SET: EventKind
EVENT_KIND_OTHER: EventKind
EVENT_KIND_RESERVATION_ARRIVED: EventKind
EVENT_KIND_RESERVATION_EXPIRED: EventKind
EVENT_KIND_RESERVATION_LEFT: EventKind
EVENT_KIND_TRANSFER_CREATED: EventKind
EVENT_KIND_UNFROZEN: EventKind
EVENT_KIND_UNSPECIFIED: EventKind

class EventFilter(_message.Message):
    __slots__ = ["account_ids", "assets", "kinds", "transfer_codes"]
    ACCOUNT_IDS_FIELD_NUMBER: _ClassVar[int]
    ASSETS_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_CODES_FIELD_NUMBER: _ClassVar[int]
    account_ids: _containers.RepeatedScalarFieldContainer[str]
    assets: _containers.RepeatedScalarFieldContainer[str]
    kinds: _containers.RepeatedScalarFieldContainer[EventKind]
    transfer_codes: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, account_ids: _Optional[_Iterable[str]] = ..., assets: _Optional[_Iterable[str]] = ..., transfer_codes: _Optional[_Iterable[int]] = ..., kinds: _Optional[_Iterable[_Union[EventKind, str]]] = ...) -> None: ...

class FeedEvent(_message.Message):
    __slots__ = ["account", "actor", "asset", "attachment", "block_time", "expired", "freeze", "handover", "kind", "kind_name", "limit", "position", "record", "timestamp", "transfer", "unfreeze"]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENT_FIELD_NUMBER: _ClassVar[int]
    BLOCK_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_FIELD_NUMBER: _ClassVar[int]
    FREEZE_FIELD_NUMBER: _ClassVar[int]
    HANDOVER_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    KIND_NAME_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    UNFREEZE_FIELD_NUMBER: _ClassVar[int]
    account: _ledger_pb2.Account
    actor: str
    asset: _ledger_pb2.Asset
    attachment: bytes
    block_time: int
    expired: ReservationExpired
    freeze: _ledger_pb2.FrozenState
    handover: Handover
    kind: EventKind
    kind_name: str
    limit: _ledger_pb2.VelocityLimit
    position: FeedPosition
    record: bytes
    timestamp: int
    transfer: _ledger_pb2.Transfer
    unfreeze: Unfrozen
    def __init__(self, position: _Optional[_Union[FeedPosition, _Mapping]] = ..., block_time: _Optional[int] = ..., timestamp: _Optional[int] = ..., actor: _Optional[str] = ..., kind: _Optional[_Union[EventKind, str]] = ..., kind_name: _Optional[str] = ..., account: _Optional[_Union[_ledger_pb2.Account, _Mapping]] = ..., transfer: _Optional[_Union[_ledger_pb2.Transfer, _Mapping]] = ..., expired: _Optional[_Union[ReservationExpired, _Mapping]] = ..., freeze: _Optional[_Union[_ledger_pb2.FrozenState, _Mapping]] = ..., unfreeze: _Optional[_Union[Unfrozen, _Mapping]] = ..., limit: _Optional[_Union[_ledger_pb2.VelocityLimit, _Mapping]] = ..., asset: _Optional[_Union[_ledger_pb2.Asset, _Mapping]] = ..., record: _Optional[bytes] = ..., attachment: _Optional[bytes] = ..., handover: _Optional[_Union[Handover, _Mapping]] = ...) -> None: ...

class FeedPosition(_message.Message):
    __slots__ = ["cell", "index", "seq"]
    CELL_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    cell: int
    index: int
    seq: int
    def __init__(self, cell: _Optional[int] = ..., seq: _Optional[int] = ..., index: _Optional[int] = ...) -> None: ...

class Handover(_message.Message):
    __slots__ = ["clearing_account_id", "move_id"]
    CLEARING_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    MOVE_ID_FIELD_NUMBER: _ClassVar[int]
    clearing_account_id: str
    move_id: str
    def __init__(self, move_id: _Optional[str] = ..., clearing_account_id: _Optional[str] = ...) -> None: ...

class ReservationExpired(_message.Message):
    __slots__ = ["amount", "asset", "code", "credit_account_id", "debit_account_id", "pending_id", "transit"]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    CREDIT_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    DEBIT_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    PENDING_ID_FIELD_NUMBER: _ClassVar[int]
    TRANSIT_FIELD_NUMBER: _ClassVar[int]
    amount: str
    asset: str
    code: int
    credit_account_id: str
    debit_account_id: str
    pending_id: str
    transit: _transit_pb2.Transit
    def __init__(self, pending_id: _Optional[str] = ..., amount: _Optional[str] = ..., debit_account_id: _Optional[str] = ..., credit_account_id: _Optional[str] = ..., asset: _Optional[str] = ..., code: _Optional[int] = ..., transit: _Optional[_Union[_transit_pb2.Transit, _Mapping]] = ...) -> None: ...

class SubscribeRequest(_message.Message):
    __slots__ = ["after", "filter", "from_beginning", "from_now", "from_timestamp", "packed"]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    FROM_BEGINNING_FIELD_NUMBER: _ClassVar[int]
    FROM_NOW_FIELD_NUMBER: _ClassVar[int]
    FROM_TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    PACKED_FIELD_NUMBER: _ClassVar[int]
    after: FeedPosition
    filter: EventFilter
    from_beginning: bool
    from_now: bool
    from_timestamp: int
    packed: bool
    def __init__(self, after: _Optional[_Union[FeedPosition, _Mapping]] = ..., from_beginning: bool = ..., from_timestamp: _Optional[int] = ..., from_now: bool = ..., filter: _Optional[_Union[EventFilter, _Mapping]] = ..., packed: bool = ...) -> None: ...

class SubscribeResponse(_message.Message):
    __slots__ = ["block_time", "events", "head", "resume_after", "runs"]
    BLOCK_TIME_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    RESUME_AFTER_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    block_time: int
    events: _containers.RepeatedCompositeFieldContainer[FeedEvent]
    head: int
    resume_after: FeedPosition
    runs: _containers.RepeatedCompositeFieldContainer[TransferRun]
    def __init__(self, events: _Optional[_Iterable[_Union[FeedEvent, _Mapping]]] = ..., resume_after: _Optional[_Union[FeedPosition, _Mapping]] = ..., block_time: _Optional[int] = ..., head: _Optional[int] = ..., runs: _Optional[_Iterable[_Union[TransferRun, _Mapping]]] = ...) -> None: ...

class TransferRun(_message.Message):
    __slots__ = ["actor", "assets", "block_time", "indexes", "records", "seq"]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    ASSETS_FIELD_NUMBER: _ClassVar[int]
    BLOCK_TIME_FIELD_NUMBER: _ClassVar[int]
    INDEXES_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    actor: bytes
    assets: _containers.RepeatedCompositeFieldContainer[_ledger_pb2.Asset]
    block_time: int
    indexes: bytes
    records: bytes
    seq: int
    def __init__(self, seq: _Optional[int] = ..., block_time: _Optional[int] = ..., actor: _Optional[bytes] = ..., indexes: _Optional[bytes] = ..., records: _Optional[bytes] = ..., assets: _Optional[_Iterable[_Union[_ledger_pb2.Asset, _Mapping]]] = ...) -> None: ...

class Unfrozen(_message.Message):
    __slots__ = ["freeze_id", "id", "reason"]
    FREEZE_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    freeze_id: str
    id: str
    reason: str
    def __init__(self, id: _Optional[str] = ..., freeze_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class EventKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
