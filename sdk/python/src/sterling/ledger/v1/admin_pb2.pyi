from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

CELL_ROLE_ALONE: CellRole
CELL_ROLE_LEADER: CellRole
CELL_ROLE_STANDBY: CellRole
CELL_ROLE_UNSPECIFIED: CellRole
CLOCK_STATE_HELD: ClockState
CLOCK_STATE_OK: ClockState
CLOCK_STATE_UNSPECIFIED: ClockState
DESCRIPTOR: _descriptor.FileDescriptor
DISK_STATE_FULL: DiskState
DISK_STATE_OK: DiskState
DISK_STATE_UNSPECIFIED: DiskState
INDEX_STATE_BUILDING: IndexState
INDEX_STATE_FAILED: IndexState
INDEX_STATE_OK: IndexState
INDEX_STATE_REBUILDING: IndexState
INDEX_STATE_UNSPECIFIED: IndexState

class AcceptClockRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class AcceptClockResponse(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class DrainRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class DrainResponse(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class StatusRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class StatusResponse(_message.Message):
    __slots__ = ["accounts", "cell", "clock", "disk", "epoch", "head", "index", "index_built", "index_percent", "index_seq", "leader", "memory_bytes", "role", "seq", "stood_down", "takeovers", "transfers", "version"]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    CELL_FIELD_NUMBER: _ClassVar[int]
    CLOCK_FIELD_NUMBER: _ClassVar[int]
    DISK_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    INDEX_BUILT_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    INDEX_PERCENT_FIELD_NUMBER: _ClassVar[int]
    INDEX_SEQ_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    STOOD_DOWN_FIELD_NUMBER: _ClassVar[int]
    TAKEOVERS_FIELD_NUMBER: _ClassVar[int]
    TRANSFERS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    accounts: int
    cell: int
    clock: ClockState
    disk: DiskState
    epoch: int
    head: int
    index: IndexState
    index_built: int
    index_percent: int
    index_seq: int
    leader: str
    memory_bytes: int
    role: CellRole
    seq: int
    stood_down: int
    takeovers: int
    transfers: int
    version: str
    def __init__(self, cell: _Optional[int] = ..., seq: _Optional[int] = ..., epoch: _Optional[int] = ..., head: _Optional[int] = ..., index_seq: _Optional[int] = ..., accounts: _Optional[int] = ..., transfers: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., clock: _Optional[_Union[ClockState, str]] = ..., disk: _Optional[_Union[DiskState, str]] = ..., version: _Optional[str] = ..., index: _Optional[_Union[IndexState, str]] = ..., index_built: _Optional[int] = ..., index_percent: _Optional[int] = ..., role: _Optional[_Union[CellRole, str]] = ..., leader: _Optional[str] = ..., takeovers: _Optional[int] = ..., stood_down: _Optional[int] = ...) -> None: ...

class ClockState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class DiskState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class IndexState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class CellRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
