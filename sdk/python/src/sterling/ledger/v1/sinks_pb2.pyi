from sterling.ledger.v1 import feed_pb2 as _feed_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
SINK_STATE_RETRYING: SinkState
SINK_STATE_RUNNING: SinkState
SINK_STATE_STOPPED: SinkState
SINK_STATE_UNSPECIFIED: SinkState

class DeadLetter(_message.Message):
    __slots__ = ["attempts", "bytes", "error", "events", "first", "id", "last", "timestamp"]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    attempts: int
    bytes: int
    error: str
    events: int
    first: _feed_pb2.FeedPosition
    id: str
    last: _feed_pb2.FeedPosition
    timestamp: int
    def __init__(self, id: _Optional[str] = ..., first: _Optional[_Union[_feed_pb2.FeedPosition, _Mapping]] = ..., last: _Optional[_Union[_feed_pb2.FeedPosition, _Mapping]] = ..., events: _Optional[int] = ..., attempts: _Optional[int] = ..., error: _Optional[str] = ..., timestamp: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class DropDeadLetterRequest(_message.Message):
    __slots__ = ["id", "sink"]
    ID_FIELD_NUMBER: _ClassVar[int]
    SINK_FIELD_NUMBER: _ClassVar[int]
    id: str
    sink: str
    def __init__(self, sink: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class DropDeadLetterResponse(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class GetDeadLetterRequest(_message.Message):
    __slots__ = ["id", "sink"]
    ID_FIELD_NUMBER: _ClassVar[int]
    SINK_FIELD_NUMBER: _ClassVar[int]
    id: str
    sink: str
    def __init__(self, sink: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class GetDeadLetterResponse(_message.Message):
    __slots__ = ["dead_letter", "events"]
    DEAD_LETTER_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    dead_letter: DeadLetter
    events: _containers.RepeatedCompositeFieldContainer[_feed_pb2.FeedEvent]
    def __init__(self, dead_letter: _Optional[_Union[DeadLetter, _Mapping]] = ..., events: _Optional[_Iterable[_Union[_feed_pb2.FeedEvent, _Mapping]]] = ...) -> None: ...

class ListDeadLettersRequest(_message.Message):
    __slots__ = ["after", "limit", "sink"]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    SINK_FIELD_NUMBER: _ClassVar[int]
    after: str
    limit: int
    sink: str
    def __init__(self, sink: _Optional[str] = ..., after: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListDeadLettersResponse(_message.Message):
    __slots__ = ["dead_letters"]
    DEAD_LETTERS_FIELD_NUMBER: _ClassVar[int]
    dead_letters: _containers.RepeatedCompositeFieldContainer[DeadLetter]
    def __init__(self, dead_letters: _Optional[_Iterable[_Union[DeadLetter, _Mapping]]] = ...) -> None: ...

class ListSinksRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class ListSinksResponse(_message.Message):
    __slots__ = ["sinks"]
    SINKS_FIELD_NUMBER: _ClassVar[int]
    sinks: _containers.RepeatedCompositeFieldContainer[Sink]
    def __init__(self, sinks: _Optional[_Iterable[_Union[Sink, _Mapping]]] = ...) -> None: ...

class RedeliverDeadLetterRequest(_message.Message):
    __slots__ = ["id", "sink"]
    ID_FIELD_NUMBER: _ClassVar[int]
    SINK_FIELD_NUMBER: _ClassVar[int]
    id: str
    sink: str
    def __init__(self, sink: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class RedeliverDeadLetterResponse(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class Sink(_message.Message):
    __slots__ = ["dead_letter_bytes", "dead_letters", "delivered", "deliveries", "events", "kind", "lag_blocks", "lag_seconds", "last_error", "name", "retries", "state"]
    DEAD_LETTERS_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTER_BYTES_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_FIELD_NUMBER: _ClassVar[int]
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LAG_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    LAG_SECONDS_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    RETRIES_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    dead_letter_bytes: int
    dead_letters: int
    delivered: _feed_pb2.FeedPosition
    deliveries: int
    events: int
    kind: str
    lag_blocks: int
    lag_seconds: float
    last_error: str
    name: str
    retries: int
    state: SinkState
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., state: _Optional[_Union[SinkState, str]] = ..., delivered: _Optional[_Union[_feed_pb2.FeedPosition, _Mapping]] = ..., lag_blocks: _Optional[int] = ..., lag_seconds: _Optional[float] = ..., deliveries: _Optional[int] = ..., events: _Optional[int] = ..., retries: _Optional[int] = ..., dead_letters: _Optional[int] = ..., dead_letter_bytes: _Optional[int] = ..., last_error: _Optional[str] = ...) -> None: ...

class SinkState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
