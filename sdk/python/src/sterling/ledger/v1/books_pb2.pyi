from sterling.ledger.v1 import ledger_pb2 as _ledger_pb2
from sterling.ledger.v1 import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
VERDICT_APPROVE: Verdict
VERDICT_REJECT: Verdict
VERDICT_UNSPECIFIED: Verdict

class CloseDayRequest(_message.Message):
    __slots__ = ["date", "id", "reason"]
    DATE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    date: str
    id: str
    reason: str
    def __init__(self, id: _Optional[str] = ..., date: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class CloseDayResponse(_message.Message):
    __slots__ = ["position", "status", "timestamp"]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    position: _ledger_pb2.Position
    status: _status_pb2.ControlStatus
    timestamp: int
    def __init__(self, status: _Optional[_Union[_status_pb2.ControlStatus, str]] = ..., timestamp: _Optional[int] = ..., position: _Optional[_Union[_ledger_pb2.Position, _Mapping]] = ...) -> None: ...

class DayClose(_message.Message):
    __slots__ = ["actor", "date", "id", "position", "reason", "reopened", "timestamp"]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    DATE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REOPENED_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    actor: str
    date: str
    id: str
    position: _ledger_pb2.Position
    reason: str
    reopened: bool
    timestamp: int
    def __init__(self, id: _Optional[str] = ..., date: _Optional[str] = ..., reopened: bool = ..., reason: _Optional[str] = ..., actor: _Optional[str] = ..., timestamp: _Optional[int] = ..., position: _Optional[_Union[_ledger_pb2.Position, _Mapping]] = ...) -> None: ...

class DecideRequest(_message.Message):
    __slots__ = ["id", "proposal_id", "reason", "verdict"]
    ID_FIELD_NUMBER: _ClassVar[int]
    PROPOSAL_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    id: str
    proposal_id: str
    reason: str
    verdict: Verdict
    def __init__(self, id: _Optional[str] = ..., proposal_id: _Optional[str] = ..., verdict: _Optional[_Union[Verdict, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class DecideResponse(_message.Message):
    __slots__ = ["accounts", "controls", "position", "status", "timestamp", "transfers"]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    CONTROLS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    TRANSFERS_FIELD_NUMBER: _ClassVar[int]
    accounts: _containers.RepeatedCompositeFieldContainer[_ledger_pb2.CreateAccountResult]
    controls: _containers.RepeatedCompositeFieldContainer[_ledger_pb2.ControlResult]
    position: _ledger_pb2.Position
    status: _status_pb2.ControlStatus
    timestamp: int
    transfers: _containers.RepeatedCompositeFieldContainer[_ledger_pb2.CreateTransferResult]
    def __init__(self, status: _Optional[_Union[_status_pb2.ControlStatus, str]] = ..., timestamp: _Optional[int] = ..., transfers: _Optional[_Iterable[_Union[_ledger_pb2.CreateTransferResult, _Mapping]]] = ..., accounts: _Optional[_Iterable[_Union[_ledger_pb2.CreateAccountResult, _Mapping]]] = ..., controls: _Optional[_Iterable[_Union[_ledger_pb2.ControlResult, _Mapping]]] = ..., position: _Optional[_Union[_ledger_pb2.Position, _Mapping]] = ...) -> None: ...

class GetCloseRequest(_message.Message):
    __slots__ = ["id"]
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetCloseResponse(_message.Message):
    __slots__ = ["close", "position", "public_key", "rows", "signature", "statement"]
    CLOSE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    close: DayClose
    position: _ledger_pb2.Position
    public_key: bytes
    rows: _containers.RepeatedCompositeFieldContainer[TrialRow]
    signature: bytes
    statement: bytes
    def __init__(self, close: _Optional[_Union[DayClose, _Mapping]] = ..., rows: _Optional[_Iterable[_Union[TrialRow, _Mapping]]] = ..., statement: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., public_key: _Optional[bytes] = ..., position: _Optional[_Union[_ledger_pb2.Position, _Mapping]] = ...) -> None: ...

class GetPolicyRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class GetPolicyResponse(_message.Message):
    __slots__ = ["actor", "policy", "position", "timestamp"]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    actor: str
    policy: SetPolicyRequest
    position: _ledger_pb2.Position
    timestamp: int
    def __init__(self, policy: _Optional[_Union[SetPolicyRequest, _Mapping]] = ..., actor: _Optional[str] = ..., timestamp: _Optional[int] = ..., position: _Optional[_Union[_ledger_pb2.Position, _Mapping]] = ...) -> None: ...

class GetTrialBalanceRequest(_message.Message):
    __slots__ = ["through"]
    FROM_FIELD_NUMBER: _ClassVar[int]
    THROUGH_FIELD_NUMBER: _ClassVar[int]
    through: str
    def __init__(self, through: _Optional[str] = ..., **kwargs) -> None: ...

class GetTrialBalanceResponse(_message.Message):
    __slots__ = ["position", "rows"]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    position: _ledger_pb2.Position
    rows: _containers.RepeatedCompositeFieldContainer[TrialRow]
    def __init__(self, rows: _Optional[_Iterable[_Union[TrialRow, _Mapping]]] = ..., position: _Optional[_Union[_ledger_pb2.Position, _Mapping]] = ...) -> None: ...

class ListClosesRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class ListClosesResponse(_message.Message):
    __slots__ = ["closed_through", "closes", "position"]
    CLOSED_THROUGH_FIELD_NUMBER: _ClassVar[int]
    CLOSES_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    closed_through: str
    closes: _containers.RepeatedCompositeFieldContainer[DayClose]
    position: _ledger_pb2.Position
    def __init__(self, closes: _Optional[_Iterable[_Union[DayClose, _Mapping]]] = ..., closed_through: _Optional[str] = ..., position: _Optional[_Union[_ledger_pb2.Position, _Mapping]] = ...) -> None: ...

class ListPrincipalsRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class ListPrincipalsResponse(_message.Message):
    __slots__ = ["position", "principals"]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    PRINCIPALS_FIELD_NUMBER: _ClassVar[int]
    position: _ledger_pb2.Position
    principals: _containers.RepeatedCompositeFieldContainer[Principal]
    def __init__(self, principals: _Optional[_Iterable[_Union[Principal, _Mapping]]] = ..., position: _Optional[_Union[_ledger_pb2.Position, _Mapping]] = ...) -> None: ...

class ListProposalsRequest(_message.Message):
    __slots__ = ["all", "id"]
    ALL_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    all: bool
    id: str
    def __init__(self, all: bool = ..., id: _Optional[str] = ...) -> None: ...

class ListProposalsResponse(_message.Message):
    __slots__ = ["position", "proposals"]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    PROPOSALS_FIELD_NUMBER: _ClassVar[int]
    position: _ledger_pb2.Position
    proposals: _containers.RepeatedCompositeFieldContainer[Proposal]
    def __init__(self, proposals: _Optional[_Iterable[_Union[Proposal, _Mapping]]] = ..., position: _Optional[_Union[_ledger_pb2.Position, _Mapping]] = ...) -> None: ...

class Principal(_message.Message):
    __slots__ = ["address_prefixes", "assets", "expires", "name", "rate", "role", "secret_hash", "token"]
    ADDRESS_PREFIXES_FIELD_NUMBER: _ClassVar[int]
    ASSETS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    SECRET_HASH_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    address_prefixes: _containers.RepeatedScalarFieldContainer[str]
    assets: _containers.RepeatedScalarFieldContainer[str]
    expires: int
    name: str
    rate: int
    role: str
    secret_hash: bytes
    token: str
    def __init__(self, token: _Optional[str] = ..., secret_hash: _Optional[bytes] = ..., role: _Optional[str] = ..., expires: _Optional[int] = ..., name: _Optional[str] = ..., assets: _Optional[_Iterable[str]] = ..., address_prefixes: _Optional[_Iterable[str]] = ..., rate: _Optional[int] = ...) -> None: ...

class Proposal(_message.Message):
    __slots__ = ["actor", "decided_at", "decided_by", "decided_reason", "decision_id", "kind", "request", "timestamp", "verdict"]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    DECIDED_AT_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    DECIDED_REASON_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    actor: str
    decided_at: int
    decided_by: str
    decided_reason: str
    decision_id: str
    kind: str
    request: ProposeRequest
    timestamp: int
    verdict: Verdict
    def __init__(self, request: _Optional[_Union[ProposeRequest, _Mapping]] = ..., kind: _Optional[str] = ..., actor: _Optional[str] = ..., timestamp: _Optional[int] = ..., verdict: _Optional[_Union[Verdict, str]] = ..., decision_id: _Optional[str] = ..., decided_by: _Optional[str] = ..., decided_at: _Optional[int] = ..., decided_reason: _Optional[str] = ...) -> None: ...

class ProposeRequest(_message.Message):
    __slots__ = ["accounts", "expires", "id", "policy", "principal", "reason", "reopen", "transaction", "transfers", "unfreeze"]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REOPEN_FIELD_NUMBER: _ClassVar[int]
    TRANSACTION_FIELD_NUMBER: _ClassVar[int]
    TRANSFERS_FIELD_NUMBER: _ClassVar[int]
    UNFREEZE_FIELD_NUMBER: _ClassVar[int]
    accounts: _ledger_pb2.CreateAccountsRequest
    expires: int
    id: str
    policy: SetPolicyRequest
    principal: Principal
    reason: str
    reopen: ReopenDay
    transaction: _ledger_pb2.CreateTransactionRequest
    transfers: _ledger_pb2.CreateTransfersRequest
    unfreeze: _ledger_pb2.UnfreezeRequest
    def __init__(self, id: _Optional[str] = ..., reason: _Optional[str] = ..., expires: _Optional[int] = ..., transfers: _Optional[_Union[_ledger_pb2.CreateTransfersRequest, _Mapping]] = ..., accounts: _Optional[_Union[_ledger_pb2.CreateAccountsRequest, _Mapping]] = ..., transaction: _Optional[_Union[_ledger_pb2.CreateTransactionRequest, _Mapping]] = ..., unfreeze: _Optional[_Union[_ledger_pb2.UnfreezeRequest, _Mapping]] = ..., reopen: _Optional[_Union[ReopenDay, _Mapping]] = ..., policy: _Optional[_Union[SetPolicyRequest, _Mapping]] = ..., principal: _Optional[_Union[Principal, _Mapping]] = ...) -> None: ...

class ProposeResponse(_message.Message):
    __slots__ = ["position", "status", "timestamp"]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    position: _ledger_pb2.Position
    status: _status_pb2.ControlStatus
    timestamp: int
    def __init__(self, status: _Optional[_Union[_status_pb2.ControlStatus, str]] = ..., timestamp: _Optional[int] = ..., position: _Optional[_Union[_ledger_pb2.Position, _Mapping]] = ...) -> None: ...

class ReopenDay(_message.Message):
    __slots__ = ["date", "id", "reason"]
    DATE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    date: str
    id: str
    reason: str
    def __init__(self, id: _Optional[str] = ..., date: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class RevokePrincipalRequest(_message.Message):
    __slots__ = ["name", "token"]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    name: str
    token: str
    def __init__(self, token: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class RevokePrincipalResponse(_message.Message):
    __slots__ = ["position", "status", "timestamp"]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    position: _ledger_pb2.Position
    status: _status_pb2.ControlStatus
    timestamp: int
    def __init__(self, status: _Optional[_Union[_status_pb2.ControlStatus, str]] = ..., timestamp: _Optional[int] = ..., position: _Optional[_Union[_ledger_pb2.Position, _Mapping]] = ...) -> None: ...

class SetPolicyRequest(_message.Message):
    __slots__ = ["id", "imports_approved", "reason", "unfreeze_approved", "utc_offset_minutes"]
    ID_FIELD_NUMBER: _ClassVar[int]
    IMPORTS_APPROVED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    UNFREEZE_APPROVED_FIELD_NUMBER: _ClassVar[int]
    UTC_OFFSET_MINUTES_FIELD_NUMBER: _ClassVar[int]
    id: str
    imports_approved: bool
    reason: str
    unfreeze_approved: bool
    utc_offset_minutes: int
    def __init__(self, id: _Optional[str] = ..., imports_approved: bool = ..., unfreeze_approved: bool = ..., utc_offset_minutes: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class SetPolicyResponse(_message.Message):
    __slots__ = ["position", "status", "timestamp"]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    position: _ledger_pb2.Position
    status: _status_pb2.ControlStatus
    timestamp: int
    def __init__(self, status: _Optional[_Union[_status_pb2.ControlStatus, str]] = ..., timestamp: _Optional[int] = ..., position: _Optional[_Union[_ledger_pb2.Position, _Mapping]] = ...) -> None: ...

class TrialRow(_message.Message):
    __slots__ = ["asset", "closing_credits", "closing_debits", "code", "credits", "debits", "late_credits", "late_debits", "opening_credits", "opening_debits"]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    CLOSING_CREDITS_FIELD_NUMBER: _ClassVar[int]
    CLOSING_DEBITS_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    CREDITS_FIELD_NUMBER: _ClassVar[int]
    DEBITS_FIELD_NUMBER: _ClassVar[int]
    LATE_CREDITS_FIELD_NUMBER: _ClassVar[int]
    LATE_DEBITS_FIELD_NUMBER: _ClassVar[int]
    OPENING_CREDITS_FIELD_NUMBER: _ClassVar[int]
    OPENING_DEBITS_FIELD_NUMBER: _ClassVar[int]
    asset: str
    closing_credits: str
    closing_debits: str
    code: int
    credits: str
    debits: str
    late_credits: str
    late_debits: str
    opening_credits: str
    opening_debits: str
    def __init__(self, asset: _Optional[str] = ..., code: _Optional[int] = ..., opening_debits: _Optional[str] = ..., opening_credits: _Optional[str] = ..., late_debits: _Optional[str] = ..., late_credits: _Optional[str] = ..., debits: _Optional[str] = ..., credits: _Optional[str] = ..., closing_debits: _Optional[str] = ..., closing_credits: _Optional[str] = ...) -> None: ...

class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
