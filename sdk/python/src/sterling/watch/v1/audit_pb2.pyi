from sterling.watch.v1 import watch_pb2 as _watch_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetAuditStatusRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class GetAuditStatusResponse(_message.Message):
    __slots__ = ["failure", "last_made", "note", "public_key", "root", "size"]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    LAST_MADE_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    failure: str
    last_made: int
    note: bytes
    public_key: bytes
    root: bytes
    size: int
    def __init__(self, size: _Optional[int] = ..., root: _Optional[bytes] = ..., note: _Optional[bytes] = ..., public_key: _Optional[bytes] = ..., failure: _Optional[str] = ..., last_made: _Optional[int] = ...) -> None: ...

class GetBlocksRequest(_message.Message):
    __slots__ = ["from_seq"]
    FROM_SEQ_FIELD_NUMBER: _ClassVar[int]
    from_seq: int
    def __init__(self, from_seq: _Optional[int] = ...) -> None: ...

class GetBlocksResponse(_message.Message):
    __slots__ = ["blocks", "head"]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    blocks: _containers.RepeatedScalarFieldContainer[bytes]
    head: int
    def __init__(self, blocks: _Optional[_Iterable[bytes]] = ..., head: _Optional[int] = ...) -> None: ...

class ListCheckpointsRequest(_message.Message):
    __slots__ = ["before", "limit"]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    before: int
    limit: int
    def __init__(self, limit: _Optional[int] = ..., before: _Optional[int] = ...) -> None: ...

class ListCheckpointsResponse(_message.Message):
    __slots__ = ["checkpoints"]
    CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    checkpoints: _containers.RepeatedCompositeFieldContainer[SignedCheckpoint]
    def __init__(self, checkpoints: _Optional[_Iterable[_Union[SignedCheckpoint, _Mapping]]] = ...) -> None: ...

class SignedCheckpoint(_message.Message):
    __slots__ = ["block_hash", "cell", "entry", "events", "index", "made", "safe_through", "seq", "signature", "sources", "time", "totals"]
    BLOCK_HASH_FIELD_NUMBER: _ClassVar[int]
    CELL_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    MADE_FIELD_NUMBER: _ClassVar[int]
    SAFE_THROUGH_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    TOTALS_FIELD_NUMBER: _ClassVar[int]
    block_hash: bytes
    cell: int
    entry: bytes
    events: int
    index: int
    made: int
    safe_through: int
    seq: int
    signature: bytes
    sources: _containers.RepeatedCompositeFieldContainer[SourceDigest]
    time: int
    totals: _containers.RepeatedCompositeFieldContainer[_watch_pb2.AssetTotals]
    def __init__(self, index: _Optional[int] = ..., entry: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., cell: _Optional[int] = ..., seq: _Optional[int] = ..., block_hash: _Optional[bytes] = ..., time: _Optional[int] = ..., safe_through: _Optional[int] = ..., totals: _Optional[_Iterable[_Union[_watch_pb2.AssetTotals, _Mapping]]] = ..., sources: _Optional[_Iterable[_Union[SourceDigest, _Mapping]]] = ..., events: _Optional[int] = ..., made: _Optional[int] = ...) -> None: ...

class SourceDigest(_message.Message):
    __slots__ = ["digest", "source", "through_seq"]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    THROUGH_SEQ_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    source: str
    through_seq: int
    def __init__(self, source: _Optional[str] = ..., through_seq: _Optional[int] = ..., digest: _Optional[bytes] = ...) -> None: ...
