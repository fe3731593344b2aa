from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
MESH_FAILURE_BROKEN: MeshFailure
MESH_FAILURE_INJECTED: MeshFailure
MESH_FAILURE_INVALID: MeshFailure
MESH_FAILURE_OVERLOAD: MeshFailure
MESH_FAILURE_REFUSED: MeshFailure
MESH_FAILURE_TIMEOUT: MeshFailure
MESH_FAILURE_UNREACHABLE: MeshFailure
MESH_FAILURE_UNSPECIFIED: MeshFailure
MESH_FAILURE_UPSTREAM: MeshFailure

class GetTopologyRequest(_message.Message):
    __slots__ = ["node"]
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: str
    def __init__(self, node: _Optional[str] = ...) -> None: ...

class GetTopologyResponse(_message.Message):
    __slots__ = ["domain", "edges", "generation", "nodes", "refusal", "services", "timestamp"]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    domain: str
    edges: _containers.RepeatedCompositeFieldContainer[MeshEdge]
    generation: int
    nodes: _containers.RepeatedCompositeFieldContainer[MeshNode]
    refusal: str
    services: _containers.RepeatedCompositeFieldContainer[MeshServiceState]
    timestamp: int
    def __init__(self, domain: _Optional[str] = ..., generation: _Optional[int] = ..., refusal: _Optional[str] = ..., timestamp: _Optional[int] = ..., services: _Optional[_Iterable[_Union[MeshServiceState, _Mapping]]] = ..., edges: _Optional[_Iterable[_Union[MeshEdge, _Mapping]]] = ..., nodes: _Optional[_Iterable[_Union[MeshNode, _Mapping]]] = ...) -> None: ...

class MeshClusterState(_message.Message):
    __slots__ = ["ejected", "endpoints", "in_flight", "most", "name", "refused", "shed"]
    EJECTED_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    MOST_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    SHED_FIELD_NUMBER: _ClassVar[int]
    ejected: int
    endpoints: int
    in_flight: int
    most: int
    name: str
    refused: int
    shed: int
    def __init__(self, name: _Optional[str] = ..., endpoints: _Optional[int] = ..., ejected: _Optional[int] = ..., in_flight: _Optional[int] = ..., most: _Optional[int] = ..., refused: _Optional[int] = ..., shed: _Optional[int] = ...) -> None: ...

class MeshEdge(_message.Message):
    __slots__ = ["caller", "failures", "failures_per_second", "p50_seconds", "p99_seconds", "requests_per_second", "service"]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    FAILURES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    P50_SECONDS_FIELD_NUMBER: _ClassVar[int]
    P99_SECONDS_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    caller: str
    failures: _containers.RepeatedCompositeFieldContainer[MeshFailures]
    failures_per_second: float
    p50_seconds: float
    p99_seconds: float
    requests_per_second: float
    service: str
    def __init__(self, caller: _Optional[str] = ..., service: _Optional[str] = ..., requests_per_second: _Optional[float] = ..., failures_per_second: _Optional[float] = ..., failures: _Optional[_Iterable[_Union[MeshFailures, _Mapping]]] = ..., p50_seconds: _Optional[float] = ..., p99_seconds: _Optional[float] = ...) -> None: ...

class MeshFailures(_message.Message):
    __slots__ = ["kind", "per_second"]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    kind: MeshFailure
    per_second: float
    def __init__(self, kind: _Optional[_Union[MeshFailure, str]] = ..., per_second: _Optional[float] = ...) -> None: ...

class MeshNode(_message.Message):
    __slots__ = ["certificate_until", "clusters", "failures_per_second", "generation", "kind", "name", "refusal", "reports", "requests_per_second", "routes"]
    CERTIFICATE_UNTIL_FIELD_NUMBER: _ClassVar[int]
    CLUSTERS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    certificate_until: int
    clusters: _containers.RepeatedCompositeFieldContainer[MeshClusterState]
    failures_per_second: float
    generation: int
    kind: str
    name: str
    refusal: str
    reports: bool
    requests_per_second: float
    routes: _containers.RepeatedCompositeFieldContainer[MeshRouteState]
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., generation: _Optional[int] = ..., refusal: _Optional[str] = ..., reports: bool = ..., certificate_until: _Optional[int] = ..., requests_per_second: _Optional[float] = ..., failures_per_second: _Optional[float] = ..., clusters: _Optional[_Iterable[_Union[MeshClusterState, _Mapping]]] = ..., routes: _Optional[_Iterable[_Union[MeshRouteState, _Mapping]]] = ...) -> None: ...

class MeshRouteState(_message.Message):
    __slots__ = ["failures", "name", "requests", "retries"]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    RETRIES_FIELD_NUMBER: _ClassVar[int]
    failures: int
    name: str
    requests: int
    retries: int
    def __init__(self, name: _Optional[str] = ..., requests: _Optional[int] = ..., failures: _Optional[int] = ..., retries: _Optional[int] = ...) -> None: ...

class MeshServiceState(_message.Message):
    __slots__ = ["backends", "cells", "holds", "name", "protocol"]
    BACKENDS_FIELD_NUMBER: _ClassVar[int]
    CELLS_FIELD_NUMBER: _ClassVar[int]
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    backends: int
    cells: _containers.RepeatedScalarFieldContainer[str]
    holds: str
    name: str
    protocol: str
    def __init__(self, name: _Optional[str] = ..., protocol: _Optional[str] = ..., holds: _Optional[str] = ..., backends: _Optional[int] = ..., cells: _Optional[_Iterable[str]] = ...) -> None: ...

class MeshFailure(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
