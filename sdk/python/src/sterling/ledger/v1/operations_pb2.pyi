from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
OPERATION_STATE_CANCELED: OperationState
OPERATION_STATE_DONE: OperationState
OPERATION_STATE_FAILED: OperationState
OPERATION_STATE_RUNNING: OperationState
OPERATION_STATE_UNSPECIFIED: OperationState

class ArchiveDone(_message.Message):
    __slots__ = ["bound", "bytes", "segments", "through_seq"]
    BOUND_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    THROUGH_SEQ_FIELD_NUMBER: _ClassVar[int]
    bound: str
    bytes: int
    segments: int
    through_seq: int
    def __init__(self, segments: _Optional[int] = ..., bytes: _Optional[int] = ..., through_seq: _Optional[int] = ..., bound: _Optional[str] = ...) -> None: ...

class ArchiveRequest(_message.Message):
    __slots__ = ["before_age", "before_seq"]
    BEFORE_AGE_FIELD_NUMBER: _ClassVar[int]
    BEFORE_SEQ_FIELD_NUMBER: _ClassVar[int]
    before_age: int
    before_seq: int
    def __init__(self, before_seq: _Optional[int] = ..., before_age: _Optional[int] = ...) -> None: ...

class ArchiveResponse(_message.Message):
    __slots__ = ["operation"]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    operation: Operation
    def __init__(self, operation: _Optional[_Union[Operation, _Mapping]] = ...) -> None: ...

class BackupDone(_message.Message):
    __slots__ = ["bytes", "first_seq", "id", "kind", "last_seq", "new", "objects", "skipped"]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQ_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    NEW_FIELD_NUMBER: _ClassVar[int]
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    bytes: int
    first_seq: int
    id: str
    kind: str
    last_seq: int
    new: bool
    objects: int
    skipped: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., new: bool = ..., kind: _Optional[str] = ..., first_seq: _Optional[int] = ..., last_seq: _Optional[int] = ..., bytes: _Optional[int] = ..., objects: _Optional[int] = ..., skipped: _Optional[_Iterable[str]] = ...) -> None: ...

class BackupRequest(_message.Message):
    __slots__ = ["full", "target"]
    FULL_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    full: bool
    target: str
    def __init__(self, target: _Optional[str] = ..., full: bool = ...) -> None: ...

class BackupResponse(_message.Message):
    __slots__ = ["operation"]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    operation: Operation
    def __init__(self, operation: _Optional[_Union[Operation, _Mapping]] = ...) -> None: ...

class CancelOperationRequest(_message.Message):
    __slots__ = ["id"]
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class CancelOperationResponse(_message.Message):
    __slots__ = ["operation"]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    operation: Operation
    def __init__(self, operation: _Optional[_Union[Operation, _Mapping]] = ...) -> None: ...

class GetOperationRequest(_message.Message):
    __slots__ = ["id"]
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetOperationResponse(_message.Message):
    __slots__ = ["operation"]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    operation: Operation
    def __init__(self, operation: _Optional[_Union[Operation, _Mapping]] = ...) -> None: ...

class Operation(_message.Message):
    __slots__ = ["archive", "backup", "began", "done", "ended", "error", "id", "kind", "state", "target", "total"]
    ARCHIVE_FIELD_NUMBER: _ClassVar[int]
    BACKUP_FIELD_NUMBER: _ClassVar[int]
    BEGAN_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    archive: ArchiveDone
    backup: BackupDone
    began: int
    done: int
    ended: int
    error: str
    id: str
    kind: str
    state: OperationState
    target: str
    total: int
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[str] = ..., target: _Optional[str] = ..., state: _Optional[_Union[OperationState, str]] = ..., began: _Optional[int] = ..., ended: _Optional[int] = ..., done: _Optional[int] = ..., total: _Optional[int] = ..., error: _Optional[str] = ..., backup: _Optional[_Union[BackupDone, _Mapping]] = ..., archive: _Optional[_Union[ArchiveDone, _Mapping]] = ...) -> None: ...

class OperationState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
