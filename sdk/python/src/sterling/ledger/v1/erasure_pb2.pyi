from sterling.ledger.v1 import ledger_pb2 as _ledger_pb2
from sterling.ledger.v1 import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
SUBJECT_STATE_ACTIVE: SubjectState
SUBJECT_STATE_ERASED: SubjectState
SUBJECT_STATE_UNKNOWN: SubjectState
SUBJECT_STATE_UNSPECIFIED: SubjectState

class EraseRequest(_message.Message):
    __slots__ = ["id", "reason", "subject"]
    ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    id: str
    reason: str
    subject: str
    def __init__(self, id: _Optional[str] = ..., subject: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class EraseResponse(_message.Message):
    __slots__ = ["copies", "position", "status", "timestamp"]
    COPIES_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    copies: _containers.RepeatedCompositeFieldContainer[KeyCopy]
    position: _ledger_pb2.Position
    status: _status_pb2.ControlStatus
    timestamp: int
    def __init__(self, status: _Optional[_Union[_status_pb2.ControlStatus, str]] = ..., timestamp: _Optional[int] = ..., position: _Optional[_Union[_ledger_pb2.Position, _Mapping]] = ..., copies: _Optional[_Iterable[_Union[KeyCopy, _Mapping]]] = ...) -> None: ...

class GetSubjectRequest(_message.Message):
    __slots__ = ["subject"]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    subject: str
    def __init__(self, subject: _Optional[str] = ...) -> None: ...

class GetSubjectResponse(_message.Message):
    __slots__ = ["actor", "erasure_id", "since", "state"]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    ERASURE_ID_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    actor: str
    erasure_id: str
    since: int
    state: SubjectState
    def __init__(self, state: _Optional[_Union[SubjectState, str]] = ..., since: _Optional[int] = ..., actor: _Optional[str] = ..., erasure_id: _Optional[str] = ...) -> None: ...

class KeyCopy(_message.Message):
    __slots__ = ["error", "target", "written"]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    WRITTEN_FIELD_NUMBER: _ClassVar[int]
    error: str
    target: str
    written: bool
    def __init__(self, target: _Optional[str] = ..., written: bool = ..., error: _Optional[str] = ...) -> None: ...

class SubjectState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
