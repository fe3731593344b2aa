from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetSandboxRequest(_message.Message):
    __slots__ = ["id", "limit"]
    FROM_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    id: str
    limit: int
    def __init__(self, id: _Optional[str] = ..., limit: _Optional[int] = ..., **kwargs) -> None: ...

class GetSandboxResponse(_message.Message):
    __slots__ = ["breaks", "fault", "lines", "processes", "processes_left_out", "sandbox", "verified"]
    BREAKS_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_FIELD_NUMBER: _ClassVar[int]
    breaks: _containers.RepeatedCompositeFieldContainer[SandboxLine]
    fault: str
    lines: _containers.RepeatedCompositeFieldContainer[SandboxLine]
    processes: _containers.RepeatedCompositeFieldContainer[SandboxProcess]
    processes_left_out: int
    sandbox: Sandbox
    verified: int
    def __init__(self, sandbox: _Optional[_Union[Sandbox, _Mapping]] = ..., processes: _Optional[_Iterable[_Union[SandboxProcess, _Mapping]]] = ..., processes_left_out: _Optional[int] = ..., lines: _Optional[_Iterable[_Union[SandboxLine, _Mapping]]] = ..., verified: _Optional[int] = ..., fault: _Optional[str] = ..., breaks: _Optional[_Iterable[_Union[SandboxLine, _Mapping]]] = ...) -> None: ...

class ListSandboxesRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class ListSandboxesResponse(_message.Message):
    __slots__ = ["sandboxes"]
    SANDBOXES_FIELD_NUMBER: _ClassVar[int]
    sandboxes: _containers.RepeatedCompositeFieldContainer[Sandbox]
    def __init__(self, sandboxes: _Optional[_Iterable[_Union[Sandbox, _Mapping]]] = ...) -> None: ...

class Sandbox(_message.Message):
    __slots__ = ["alerts", "command", "created", "ended", "events", "exit", "gaps", "head", "id", "isolation", "log_fault", "logged_in", "logged_lines", "lost", "policy_sha256", "reason", "root", "start", "state"]
    ALERTS_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    EXIT_FIELD_NUMBER: _ClassVar[int]
    GAPS_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    ISOLATION_FIELD_NUMBER: _ClassVar[int]
    LOGGED_IN_FIELD_NUMBER: _ClassVar[int]
    LOGGED_LINES_FIELD_NUMBER: _ClassVar[int]
    LOG_FAULT_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    POLICY_SHA256_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    alerts: int
    command: _containers.RepeatedScalarFieldContainer[str]
    created: int
    ended: int
    events: int
    exit: int
    gaps: int
    head: str
    id: str
    isolation: str
    log_fault: str
    logged_in: str
    logged_lines: int
    lost: int
    policy_sha256: str
    reason: str
    root: str
    start: str
    state: str
    def __init__(self, id: _Optional[str] = ..., state: _Optional[str] = ..., reason: _Optional[str] = ..., isolation: _Optional[str] = ..., start: _Optional[str] = ..., command: _Optional[_Iterable[str]] = ..., root: _Optional[str] = ..., policy_sha256: _Optional[str] = ..., created: _Optional[int] = ..., ended: _Optional[int] = ..., exit: _Optional[int] = ..., events: _Optional[int] = ..., gaps: _Optional[int] = ..., lost: _Optional[int] = ..., alerts: _Optional[int] = ..., head: _Optional[str] = ..., logged_in: _Optional[str] = ..., logged_lines: _Optional[int] = ..., log_fault: _Optional[str] = ...) -> None: ...

class SandboxLine(_message.Message):
    __slots__ = ["body", "kind", "seq", "time"]
    BODY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    body: str
    kind: str
    seq: int
    time: int
    def __init__(self, seq: _Optional[int] = ..., time: _Optional[int] = ..., kind: _Optional[str] = ..., body: _Optional[str] = ...) -> None: ...

class SandboxProcess(_message.Message):
    __slots__ = ["argv", "began", "ended", "id", "line", "parent", "path", "session", "sha256", "status", "uid"]
    ARGV_FIELD_NUMBER: _ClassVar[int]
    BEGAN_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    argv: _containers.RepeatedScalarFieldContainer[str]
    began: int
    ended: int
    id: int
    line: int
    parent: int
    path: str
    session: bool
    sha256: str
    status: int
    uid: int
    def __init__(self, id: _Optional[int] = ..., parent: _Optional[int] = ..., path: _Optional[str] = ..., argv: _Optional[_Iterable[str]] = ..., sha256: _Optional[str] = ..., uid: _Optional[int] = ..., session: bool = ..., began: _Optional[int] = ..., ended: _Optional[int] = ..., status: _Optional[int] = ..., line: _Optional[int] = ...) -> None: ...
