from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

BREAK_STATE_ACCEPTED: BreakState
BREAK_STATE_EXPLAINED: BreakState
BREAK_STATE_OPEN: BreakState
BREAK_STATE_REPAIRED: BreakState
BREAK_STATE_UNSPECIFIED: BreakState
DESCRIPTOR: _descriptor.FileDescriptor
OBSERVATION_KIND_BALANCE: ObservationKind
OBSERVATION_KIND_HEARTBEAT: ObservationKind
OBSERVATION_KIND_INSTRUCTION: ObservationKind
OBSERVATION_KIND_RECEIPT: ObservationKind
OBSERVATION_KIND_STATEMENT_ENTRY: ObservationKind
OBSERVATION_KIND_UNSPECIFIED: ObservationKind
OUTCOME_CHARGED_BACK: Outcome
OUTCOME_FAILED: Outcome
OUTCOME_REFUNDED: Outcome
OUTCOME_SETTLED: Outcome
OUTCOME_UNSPECIFIED: Outcome

class AssetAmount(_message.Message):
    __slots__ = ["amount", "asset"]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    amount: str
    asset: str
    def __init__(self, asset: _Optional[str] = ..., amount: _Optional[str] = ...) -> None: ...

class AssetTotals(_message.Message):
    __slots__ = ["asset", "credits_pending", "credits_posted", "debits_pending", "debits_posted", "incoming", "outgoing", "transfers", "transit_in", "transit_out"]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    CREDITS_PENDING_FIELD_NUMBER: _ClassVar[int]
    CREDITS_POSTED_FIELD_NUMBER: _ClassVar[int]
    DEBITS_PENDING_FIELD_NUMBER: _ClassVar[int]
    DEBITS_POSTED_FIELD_NUMBER: _ClassVar[int]
    INCOMING_FIELD_NUMBER: _ClassVar[int]
    OUTGOING_FIELD_NUMBER: _ClassVar[int]
    TRANSFERS_FIELD_NUMBER: _ClassVar[int]
    TRANSIT_IN_FIELD_NUMBER: _ClassVar[int]
    TRANSIT_OUT_FIELD_NUMBER: _ClassVar[int]
    asset: str
    credits_pending: str
    credits_posted: str
    debits_pending: str
    debits_posted: str
    incoming: int
    outgoing: int
    transfers: int
    transit_in: str
    transit_out: str
    def __init__(self, asset: _Optional[str] = ..., debits_posted: _Optional[str] = ..., credits_posted: _Optional[str] = ..., debits_pending: _Optional[str] = ..., credits_pending: _Optional[str] = ..., transfers: _Optional[int] = ..., transit_out: _Optional[str] = ..., transit_in: _Optional[str] = ..., outgoing: _Optional[int] = ..., incoming: _Optional[int] = ...) -> None: ...

class Break(_message.Message):
    __slots__ = ["account_ids", "amount_at_risk", "asset", "changed", "evidence", "first_seen", "flow", "group", "happened", "history", "id", "key", "others", "repair", "repair_proposal_id", "state", "stop_loss", "summary"]
    ACCOUNT_IDS_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_AT_RISK_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    CLASS_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEEN_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    HAPPENED_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    OTHERS_FIELD_NUMBER: _ClassVar[int]
    REPAIR_FIELD_NUMBER: _ClassVar[int]
    REPAIR_PROPOSAL_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STOP_LOSS_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    account_ids: _containers.RepeatedScalarFieldContainer[str]
    amount_at_risk: str
    asset: str
    changed: int
    evidence: _containers.RepeatedCompositeFieldContainer[Evidence]
    first_seen: int
    flow: str
    group: str
    happened: int
    history: _containers.RepeatedCompositeFieldContainer[BreakEvent]
    id: str
    key: str
    others: int
    repair: _containers.RepeatedCompositeFieldContainer[RepairTransfer]
    repair_proposal_id: str
    state: BreakState
    stop_loss: StopLoss
    summary: str
    def __init__(self, id: _Optional[str] = ..., flow: _Optional[str] = ..., key: _Optional[str] = ..., amount_at_risk: _Optional[str] = ..., asset: _Optional[str] = ..., state: _Optional[_Union[BreakState, str]] = ..., first_seen: _Optional[int] = ..., happened: _Optional[int] = ..., changed: _Optional[int] = ..., group: _Optional[str] = ..., others: _Optional[int] = ..., summary: _Optional[str] = ..., evidence: _Optional[_Iterable[_Union[Evidence, _Mapping]]] = ..., account_ids: _Optional[_Iterable[str]] = ..., stop_loss: _Optional[_Union[StopLoss, _Mapping]] = ..., history: _Optional[_Iterable[_Union[BreakEvent, _Mapping]]] = ..., repair: _Optional[_Iterable[_Union[RepairTransfer, _Mapping]]] = ..., repair_proposal_id: _Optional[str] = ..., **kwargs) -> None: ...

class BreakEvent(_message.Message):
    __slots__ = ["state", "time", "who", "why"]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    state: BreakState
    time: int
    who: str
    why: str
    def __init__(self, time: _Optional[int] = ..., state: _Optional[_Union[BreakState, str]] = ..., who: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class DecideBreakRequest(_message.Message):
    __slots__ = ["group", "id", "state", "why"]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    group: bool
    id: str
    state: BreakState
    why: str
    def __init__(self, id: _Optional[str] = ..., state: _Optional[_Union[BreakState, str]] = ..., why: _Optional[str] = ..., group: bool = ...) -> None: ...

class DecideBreakResponse(_message.Message):
    __slots__ = ["found"]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    found: Break
    def __init__(self, found: _Optional[_Union[Break, _Mapping]] = ...) -> None: ...

class Evidence(_message.Message):
    __slots__ = ["fields", "index", "seq", "source", "time", "what"]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    fields: _containers.RepeatedCompositeFieldContainer[Field]
    index: int
    seq: int
    source: str
    time: int
    what: str
    def __init__(self, what: _Optional[str] = ..., source: _Optional[str] = ..., seq: _Optional[int] = ..., index: _Optional[int] = ..., time: _Optional[int] = ..., fields: _Optional[_Iterable[_Union[Field, _Mapping]]] = ...) -> None: ...

class Field(_message.Message):
    __slots__ = ["name", "value", "wrong"]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    WRONG_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    wrong: bool
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ..., wrong: bool = ...) -> None: ...

class FlowProof(_message.Message):
    __slots__ = ["closed_keys", "flow", "late_keys", "lateness_p50", "lateness_p99", "open_breaks", "open_keys", "proven", "reason", "safe_through", "sources", "title"]
    CLOSED_KEYS_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    LATENESS_P50_FIELD_NUMBER: _ClassVar[int]
    LATENESS_P99_FIELD_NUMBER: _ClassVar[int]
    LATE_KEYS_FIELD_NUMBER: _ClassVar[int]
    OPEN_BREAKS_FIELD_NUMBER: _ClassVar[int]
    OPEN_KEYS_FIELD_NUMBER: _ClassVar[int]
    PROVEN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SAFE_THROUGH_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    closed_keys: int
    flow: str
    late_keys: int
    lateness_p50: int
    lateness_p99: int
    open_breaks: int
    open_keys: int
    proven: bool
    reason: str
    safe_through: int
    sources: _containers.RepeatedScalarFieldContainer[str]
    title: str
    def __init__(self, flow: _Optional[str] = ..., title: _Optional[str] = ..., proven: bool = ..., safe_through: _Optional[int] = ..., reason: _Optional[str] = ..., open_keys: _Optional[int] = ..., open_breaks: _Optional[int] = ..., closed_keys: _Optional[int] = ..., late_keys: _Optional[int] = ..., sources: _Optional[_Iterable[str]] = ..., lateness_p50: _Optional[int] = ..., lateness_p99: _Optional[int] = ...) -> None: ...

class GetBreakRequest(_message.Message):
    __slots__ = ["id"]
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetBreakResponse(_message.Message):
    __slots__ = ["found", "group"]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    found: Break
    group: _containers.RepeatedCompositeFieldContainer[Break]
    def __init__(self, found: _Optional[_Union[Break, _Mapping]] = ..., group: _Optional[_Iterable[_Union[Break, _Mapping]]] = ...) -> None: ...

class GetProofRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class GetProofResponse(_message.Message):
    __slots__ = ["applied_seq", "at_risk", "dry_run", "events", "flows", "head_seq", "now", "open_breaks", "open_keys", "reason", "safe_through", "totals"]
    APPLIED_SEQ_FIELD_NUMBER: _ClassVar[int]
    AT_RISK_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    FLOWS_FIELD_NUMBER: _ClassVar[int]
    HEAD_SEQ_FIELD_NUMBER: _ClassVar[int]
    NOW_FIELD_NUMBER: _ClassVar[int]
    OPEN_BREAKS_FIELD_NUMBER: _ClassVar[int]
    OPEN_KEYS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SAFE_THROUGH_FIELD_NUMBER: _ClassVar[int]
    TOTALS_FIELD_NUMBER: _ClassVar[int]
    applied_seq: int
    at_risk: _containers.RepeatedCompositeFieldContainer[AssetAmount]
    dry_run: bool
    events: int
    flows: _containers.RepeatedCompositeFieldContainer[FlowProof]
    head_seq: int
    now: int
    open_breaks: int
    open_keys: int
    reason: str
    safe_through: int
    totals: _containers.RepeatedCompositeFieldContainer[AssetTotals]
    def __init__(self, safe_through: _Optional[int] = ..., now: _Optional[int] = ..., reason: _Optional[str] = ..., open_breaks: _Optional[int] = ..., at_risk: _Optional[_Iterable[_Union[AssetAmount, _Mapping]]] = ..., flows: _Optional[_Iterable[_Union[FlowProof, _Mapping]]] = ..., applied_seq: _Optional[int] = ..., head_seq: _Optional[int] = ..., totals: _Optional[_Iterable[_Union[AssetTotals, _Mapping]]] = ..., events: _Optional[int] = ..., open_keys: _Optional[int] = ..., dry_run: bool = ...) -> None: ...

class InjectRequest(_message.Message):
    __slots__ = []
    CLASS_FIELD_NUMBER: _ClassVar[int]
    def __init__(self, **kwargs) -> None: ...

class InjectResponse(_message.Message):
    __slots__ = ["key", "what"]
    KEY_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    key: str
    what: str
    def __init__(self, what: _Optional[str] = ..., key: _Optional[str] = ...) -> None: ...

class ListBreaksRequest(_message.Message):
    __slots__ = ["after", "flow", "limit", "roots", "state"]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    CLASS_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    ROOTS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    after: str
    flow: str
    limit: int
    roots: bool
    state: BreakState
    def __init__(self, state: _Optional[_Union[BreakState, str]] = ..., flow: _Optional[str] = ..., roots: bool = ..., limit: _Optional[int] = ..., after: _Optional[str] = ..., **kwargs) -> None: ...

class ListBreaksResponse(_message.Message):
    __slots__ = ["breaks", "next"]
    BREAKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    breaks: _containers.RepeatedCompositeFieldContainer[Break]
    next: str
    def __init__(self, breaks: _Optional[_Iterable[_Union[Break, _Mapping]]] = ..., next: _Optional[str] = ...) -> None: ...

class ListFlowsRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class ListFlowsResponse(_message.Message):
    __slots__ = ["definitions", "flows"]
    DEFINITIONS_FIELD_NUMBER: _ClassVar[int]
    FLOWS_FIELD_NUMBER: _ClassVar[int]
    definitions: _containers.RepeatedScalarFieldContainer[str]
    flows: _containers.RepeatedCompositeFieldContainer[FlowProof]
    def __init__(self, flows: _Optional[_Iterable[_Union[FlowProof, _Mapping]]] = ..., definitions: _Optional[_Iterable[str]] = ...) -> None: ...

class ListSourcesRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class ListSourcesResponse(_message.Message):
    __slots__ = ["sources"]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    sources: _containers.RepeatedCompositeFieldContainer[Source]
    def __init__(self, sources: _Optional[_Iterable[_Union[Source, _Mapping]]] = ...) -> None: ...

class Observation(_message.Message):
    __slots__ = ["amount", "asset", "credit_account_id", "debit_account_id", "flow", "id", "key", "kind", "of_key", "outcome", "terms", "text", "through", "time"]
    class TermsEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    CREDIT_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    DEBIT_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    OF_KEY_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    THROUGH_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    amount: str
    asset: str
    credit_account_id: str
    debit_account_id: str
    flow: str
    id: str
    key: str
    kind: ObservationKind
    of_key: str
    outcome: Outcome
    terms: _containers.ScalarMap[str, int]
    text: str
    through: int
    time: int
    def __init__(self, kind: _Optional[_Union[ObservationKind, str]] = ..., time: _Optional[int] = ..., through: _Optional[int] = ..., flow: _Optional[str] = ..., key: _Optional[str] = ..., id: _Optional[str] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., amount: _Optional[str] = ..., asset: _Optional[str] = ..., debit_account_id: _Optional[str] = ..., credit_account_id: _Optional[str] = ..., terms: _Optional[_Mapping[str, int]] = ..., of_key: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class ObserveBatchRequest(_message.Message):
    __slots__ = ["batch"]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    batch: ObserveRequest
    def __init__(self, batch: _Optional[_Union[ObserveRequest, _Mapping]] = ...) -> None: ...

class ObserveBatchResponse(_message.Message):
    __slots__ = ["result"]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    result: ObserveResponse
    def __init__(self, result: _Optional[_Union[ObserveResponse, _Mapping]] = ...) -> None: ...

class ObserveRequest(_message.Message):
    __slots__ = ["first_seq", "observations", "source"]
    FIRST_SEQ_FIELD_NUMBER: _ClassVar[int]
    OBSERVATIONS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    first_seq: int
    observations: _containers.RepeatedCompositeFieldContainer[Observation]
    source: str
    def __init__(self, source: _Optional[str] = ..., first_seq: _Optional[int] = ..., observations: _Optional[_Iterable[_Union[Observation, _Mapping]]] = ...) -> None: ...

class ObserveResponse(_message.Message):
    __slots__ = ["source", "through_seq"]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    THROUGH_SEQ_FIELD_NUMBER: _ClassVar[int]
    source: str
    through_seq: int
    def __init__(self, source: _Optional[str] = ..., through_seq: _Optional[int] = ...) -> None: ...

class ProposeRepairRequest(_message.Message):
    __slots__ = ["id", "transfers", "why"]
    ID_FIELD_NUMBER: _ClassVar[int]
    TRANSFERS_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    id: str
    transfers: _containers.RepeatedCompositeFieldContainer[RepairTransfer]
    why: str
    def __init__(self, id: _Optional[str] = ..., why: _Optional[str] = ..., transfers: _Optional[_Iterable[_Union[RepairTransfer, _Mapping]]] = ...) -> None: ...

class ProposeRepairResponse(_message.Message):
    __slots__ = ["proposal_id", "transfer_ids", "transfers"]
    PROPOSAL_ID_FIELD_NUMBER: _ClassVar[int]
    TRANSFERS_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_IDS_FIELD_NUMBER: _ClassVar[int]
    proposal_id: str
    transfer_ids: _containers.RepeatedScalarFieldContainer[str]
    transfers: _containers.RepeatedCompositeFieldContainer[RepairTransfer]
    def __init__(self, proposal_id: _Optional[str] = ..., transfers: _Optional[_Iterable[_Union[RepairTransfer, _Mapping]]] = ..., transfer_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ReleaseSourceRequest(_message.Message):
    __slots__ = ["source"]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    source: str
    def __init__(self, source: _Optional[str] = ...) -> None: ...

class ReleaseSourceResponse(_message.Message):
    __slots__ = ["speaker"]
    SPEAKER_FIELD_NUMBER: _ClassVar[int]
    speaker: str
    def __init__(self, speaker: _Optional[str] = ...) -> None: ...

class RepairTransfer(_message.Message):
    __slots__ = ["amount", "asset", "code", "credit_account_id", "debit_account_id", "user_data_128", "user_data_32", "user_data_64"]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    CREDIT_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    DEBIT_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_DATA_128_FIELD_NUMBER: _ClassVar[int]
    USER_DATA_32_FIELD_NUMBER: _ClassVar[int]
    USER_DATA_64_FIELD_NUMBER: _ClassVar[int]
    amount: str
    asset: str
    code: int
    credit_account_id: str
    debit_account_id: str
    user_data_128: str
    user_data_32: int
    user_data_64: int
    def __init__(self, debit_account_id: _Optional[str] = ..., credit_account_id: _Optional[str] = ..., amount: _Optional[str] = ..., asset: _Optional[str] = ..., code: _Optional[int] = ..., user_data_128: _Optional[str] = ..., user_data_64: _Optional[int] = ..., user_data_32: _Optional[int] = ...) -> None: ...

class Source(_message.Message):
    __slots__ = ["heard", "missing_from", "missing_to", "name", "observations", "silent", "speaker", "through_seq", "through_time"]
    HEARD_FIELD_NUMBER: _ClassVar[int]
    MISSING_FROM_FIELD_NUMBER: _ClassVar[int]
    MISSING_TO_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    OBSERVATIONS_FIELD_NUMBER: _ClassVar[int]
    SILENT_FIELD_NUMBER: _ClassVar[int]
    SPEAKER_FIELD_NUMBER: _ClassVar[int]
    THROUGH_SEQ_FIELD_NUMBER: _ClassVar[int]
    THROUGH_TIME_FIELD_NUMBER: _ClassVar[int]
    heard: int
    missing_from: int
    missing_to: int
    name: str
    observations: int
    silent: bool
    speaker: str
    through_seq: int
    through_time: int
    def __init__(self, name: _Optional[str] = ..., through_seq: _Optional[int] = ..., through_time: _Optional[int] = ..., heard: _Optional[int] = ..., observations: _Optional[int] = ..., silent: bool = ..., missing_from: _Optional[int] = ..., missing_to: _Optional[int] = ..., speaker: _Optional[str] = ...) -> None: ...

class StopLoss(_message.Message):
    __slots__ = ["freeze_id", "selector", "state", "time"]
    FREEZE_ID_FIELD_NUMBER: _ClassVar[int]
    SELECTOR_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    freeze_id: str
    selector: str
    state: str
    time: int
    def __init__(self, state: _Optional[str] = ..., selector: _Optional[str] = ..., freeze_id: _Optional[str] = ..., time: _Optional[int] = ...) -> None: ...

class ObservationKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class BreakState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
