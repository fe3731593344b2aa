from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
TRANSIT_STEP_CONFIRM: TransitStep
TRANSIT_STEP_DECIDE: TransitStep
TRANSIT_STEP_END: TransitStep
TRANSIT_STEP_HOLD: TransitStep
TRANSIT_STEP_MARKER: TransitStep
TRANSIT_STEP_RESERVE: TransitStep
TRANSIT_STEP_SETTLE: TransitStep
TRANSIT_STEP_TRANSFER: TransitStep
TRANSIT_STEP_UNSPECIFIED: TransitStep

class Transit(_message.Message):
    __slots__ = ["account_id", "peer", "step", "transfer_id"]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_ID_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    peer: int
    step: TransitStep
    transfer_id: str
    def __init__(self, transfer_id: _Optional[str] = ..., step: _Optional[_Union[TransitStep, str]] = ..., peer: _Optional[int] = ..., account_id: _Optional[str] = ...) -> None: ...

class TransitStep(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
