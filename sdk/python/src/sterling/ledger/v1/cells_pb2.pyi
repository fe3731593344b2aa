from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
MOVE_STATE_DONE: MoveState
MOVE_STATE_FAILED: MoveState
MOVE_STATE_RUNNING: MoveState
MOVE_STATE_STOPPED: MoveState
MOVE_STATE_UNSPECIFIED: MoveState

class BucketSpan(_message.Message):
    __slots__ = ["cell", "to"]
    CELL_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    cell: int
    to: int
    def __init__(self, to: _Optional[int] = ..., cell: _Optional[int] = ..., **kwargs) -> None: ...

class GetMapRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class GetMapResponse(_message.Message):
    __slots__ = ["cell", "cells", "moving", "spans", "version"]
    CELLS_FIELD_NUMBER: _ClassVar[int]
    CELL_FIELD_NUMBER: _ClassVar[int]
    MOVING_FIELD_NUMBER: _ClassVar[int]
    SPANS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    cell: int
    cells: _containers.RepeatedCompositeFieldContainer[LedgerCell]
    moving: _containers.RepeatedCompositeFieldContainer[MovingBucket]
    spans: _containers.RepeatedCompositeFieldContainer[BucketSpan]
    version: int
    def __init__(self, version: _Optional[int] = ..., cells: _Optional[_Iterable[_Union[LedgerCell, _Mapping]]] = ..., spans: _Optional[_Iterable[_Union[BucketSpan, _Mapping]]] = ..., cell: _Optional[int] = ..., moving: _Optional[_Iterable[_Union[MovingBucket, _Mapping]]] = ...) -> None: ...

class GetMoveRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class GetMoveResponse(_message.Message):
    __slots__ = ["progress"]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    progress: MoveProgress
    def __init__(self, progress: _Optional[_Union[MoveProgress, _Mapping]] = ...) -> None: ...

class LedgerCell(_message.Message):
    __slots__ = ["id", "nodes"]
    ID_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    id: int
    nodes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[int] = ..., nodes: _Optional[_Iterable[str]] = ...) -> None: ...

class MoveBucketsRequest(_message.Message):
    __slots__ = ["buckets", "dry_run", "to"]
    BUCKETS_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    buckets: _containers.RepeatedScalarFieldContainer[int]
    dry_run: bool
    to: int
    def __init__(self, buckets: _Optional[_Iterable[int]] = ..., to: _Optional[int] = ..., dry_run: bool = ...) -> None: ...

class MoveBucketsResponse(_message.Message):
    __slots__ = ["progress"]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    progress: MoveProgress
    def __init__(self, progress: _Optional[_Union[MoveProgress, _Mapping]] = ...) -> None: ...

class MoveProgress(_message.Message):
    __slots__ = ["accounts", "already", "began", "blocks", "blocks_read", "buckets", "ended", "error", "ids", "moved", "phase", "reservations", "state", "to"]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    ALREADY_FIELD_NUMBER: _ClassVar[int]
    BEGAN_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_READ_FIELD_NUMBER: _ClassVar[int]
    BUCKETS_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    MOVED_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    RESERVATIONS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    accounts: int
    already: int
    began: int
    blocks: int
    blocks_read: int
    buckets: int
    ended: int
    error: str
    ids: int
    moved: _containers.RepeatedCompositeFieldContainer[MovedBucket]
    phase: str
    reservations: int
    state: MoveState
    to: int
    def __init__(self, to: _Optional[int] = ..., state: _Optional[_Union[MoveState, str]] = ..., phase: _Optional[str] = ..., error: _Optional[str] = ..., buckets: _Optional[int] = ..., already: _Optional[int] = ..., blocks_read: _Optional[int] = ..., blocks: _Optional[int] = ..., ids: _Optional[int] = ..., accounts: _Optional[int] = ..., reservations: _Optional[int] = ..., began: _Optional[int] = ..., ended: _Optional[int] = ..., moved: _Optional[_Iterable[_Union[MovedBucket, _Mapping]]] = ...) -> None: ...

class MovedBucket(_message.Message):
    __slots__ = ["accounts", "bucket", "pause_ns", "reservations"]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    PAUSE_NS_FIELD_NUMBER: _ClassVar[int]
    RESERVATIONS_FIELD_NUMBER: _ClassVar[int]
    accounts: int
    bucket: int
    pause_ns: int
    reservations: int
    def __init__(self, bucket: _Optional[int] = ..., accounts: _Optional[int] = ..., reservations: _Optional[int] = ..., pause_ns: _Optional[int] = ...) -> None: ...

class MovingBucket(_message.Message):
    __slots__ = ["bucket", "phase", "to"]
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    bucket: int
    phase: str
    to: int
    def __init__(self, bucket: _Optional[int] = ..., to: _Optional[int] = ..., phase: _Optional[str] = ..., **kwargs) -> None: ...

class StopMoveRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class StopMoveResponse(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class MoveState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
