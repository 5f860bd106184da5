"""Configuration: one YAML file and the environment, checked whole before anything starts.

Environment: `METERSTREAM_` and the key's path joined by `__`, e.g. `METERSTREAM_API__PORT=9000`; it wins over the file.
Every key is described in config.example.yaml.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from runtime.config_sources import ConfigProblem as ConfigProblem
from runtime.config_sources import add_variables, explain, read_file

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\Z")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def _duration(value: object) -> object:
    if isinstance(value, str) and (match := _DURATION.match(value.strip())):
        return timedelta(seconds=float(match[1]) * _UNITS[match[2]])
    if isinstance(value, timedelta):
        return value
    raise ValueError("a duration is a number with a unit: 200ms, 5s, 10m, 6h or 32d")


Duration = Annotated[timedelta, BeforeValidator(_duration)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KafkaConfig(_Section):
    """The cluster; without bootstrap_servers `meterstream up` runs one."""

    bootstrap_servers: str | None = None
    port: int = Field(0, ge=0, le=65_535)
    partitions: int = Field(4, ge=1, le=1024)
    replication_factor: int = Field(1, ge=1, le=9)
    retention: Duration = timedelta(days=40)
    session_timeout: Duration = timedelta(seconds=6)
    request_timeout: Duration = timedelta(seconds=30)
    heap_bytes_max: int = Field(256 << 20, ge=128 << 20)


class PostgresConfig(_Section):
    """The management database; without dsn `meterstream up` runs one."""

    dsn: str | None = None
    port: int = Field(0, ge=0, le=65_535)
    pool_max: int = Field(10, ge=1, le=500)


class ClickHouseConfig(_Section):
    """The analytics database; without url `meterstream up` runs the engine."""

    url: str | None = None
    port: int = Field(0, ge=0, le=65_535)
    database: str = Field("meterstream", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    user: str = "default"
    password: str = ""
    query_timeout: Duration = timedelta(seconds=30)
    query_connections: int = Field(6, ge=1, le=64)
    memory_bytes_max: int = Field(1 << 30, ge=256 << 20)


class ApiConfig(_Section):
    """The HTTP interface."""

    host: str = "127.0.0.1"
    port: int = Field(8888, ge=0, le=65_535)
    auth: Literal["none"] | None = None
    body_bytes_max: int = Field(16 << 20, ge=1024)
    in_flight_bytes_max: int = Field(256 << 20, ge=1024)
    connections_max: int = Field(10_000, ge=1)
    read_timeout: Duration = timedelta(seconds=60)
    produce_queue_max: int = Field(500_000, ge=1000)
    produce_timeout: Duration = timedelta(seconds=10)
    rejected_scan_max: int = Field(10_000, ge=100, le=1_000_000)

    @model_validator(mode="after")
    def _bound_outside_needs_auth(self) -> ApiConfig:
        if self.host not in _LOOPBACK and self.auth is None:
            raise ValueError(
                f"host {self.host} can be reached from outside: say `auth: none` if that is meant"
            )
        return self


class WorkerConfig(_Section):
    """A stream worker."""

    host: str = "127.0.0.1"
    advertised_host: str | None = None
    port: int = Field(0, ge=0, le=65_535)
    secret: SecretStr | None = Field(None, min_length=16)
    agents: tuple[Literal["meter", "sink", "route", "balance"], ...] = (
        "meter",
        "sink",
        "route",
        "balance",
    )
    chunk_events_max: int = Field(8_000, ge=1, le=1_000_000)
    slice: Duration = timedelta(milliseconds=5)
    in_flight_chunks: int = Field(24, ge=1, le=64)
    buffer_chunks: int = Field(64, ge=1)
    buffer_bytes_max: int = Field(128 << 20, ge=1 << 20)
    pace: Duration = timedelta(milliseconds=5)
    fetch_bytes_max: int = Field(4 << 20, ge=64 << 10)
    row_cache_max: int = Field(50_000, ge=1000)
    route_records_max: int = Field(5_000, ge=1, le=100_000)
    block_cache_bytes: int = Field(256 << 20, ge=1 << 20)
    write_buffer_bytes: int = Field(256 << 20, ge=1 << 20)

    @model_validator(mode="after")
    def _bound_outside_needs_a_secret(self) -> WorkerConfig:
        if self.host not in _LOOPBACK and self.secret is None:
            raise ValueError(
                f"host {self.host} can be reached from outside: give a secret, the same to workers and api"
            )
        return self


class BalancesConfig(_Section):
    """Balances in the workers and how the api reads them there."""

    progress_interval: Duration = timedelta(milliseconds=100)
    share: float = Field(0.25, gt=0, le=1)
    buffer_bytes_max: int = Field(64 << 20, ge=1 << 20)
    standbys: int = Field(1, ge=0, le=16)
    announce_interval: Duration = timedelta(seconds=1)
    owner_dead_after: Duration = timedelta(seconds=5)
    keep_state: Duration = timedelta(hours=1)
    read_timeout: Duration = timedelta(milliseconds=500)
    catalog_wait: Duration = timedelta(milliseconds=200)
    ask_bytes_max: int = Field(4 << 20, ge=64 << 10)
    history_rows_max: int = Field(2_000_000, ge=1_000)
    keep: Duration = timedelta(days=2)
    accounts_max: int = Field(20_000, ge=1)
    rows_max: int = Field(100_000, ge=1)
    load_accounts_max: int = Field(200, ge=1, le=10_000)
    publish_interval: Duration = timedelta(milliseconds=50)
    publish_share: float = Field(0.2, gt=0, le=1)
    publish_waiting_max: int = Field(100_000, ge=100)
    publish_compare_max: int = Field(200_000, ge=0)

    @model_validator(mode="after")
    def _announced_before_it_is_dead(self) -> BalancesConfig:
        if self.owner_dead_after < 2 * self.announce_interval:
            raise ValueError("owner_dead_after is less than two times announce_interval")
        return self


class HoldsConfig(_Section):
    """Amounts that are reserved before the work."""

    ttl: Duration = timedelta(seconds=60)
    ttl_max: Duration = timedelta(hours=1)
    per_entitlement_max: int = Field(1_000, ge=1, le=100_000)
    active_max: int = Field(100_000, ge=1)
    kept: Duration = timedelta(hours=24)
    lag_max: Duration = timedelta(seconds=10)
    append_timeout: Duration = timedelta(seconds=5)

    @model_validator(mode="after")
    def _default_is_allowed(self) -> HoldsConfig:
        if self.ttl > self.ttl_max:
            raise ValueError("ttl is longer than ttl_max")
        return self


class StreamsConfig(_Section):
    """Streams of balances to clients of the api."""

    clients_max: int = Field(1_000, ge=1)
    backlog_max: int = Field(1_000, ge=1)
    resume_records_max: int = Field(1_000_000, ge=0)
    resuming_max: int = Field(4, ge=1, le=64)
    heartbeat: Duration = timedelta(seconds=15)
    send_timeout: Duration = timedelta(seconds=30)


class AvroConfig(_Section):
    """Where schemas are asked for that the program does not bring."""

    registry_url: str | None = Field(None, pattern=r"^https?://")
    registry_timeout: Duration = timedelta(seconds=3)
    registry_wait: Duration = timedelta(minutes=5)
    unknown_for: Duration = timedelta(seconds=30)
    schemas_max: int = Field(1_000, ge=1, le=100_000)


class DedupeConfig(_Section):
    """For how long an event's id is remembered."""

    window: Duration = timedelta(days=32)
    ids_max: int = Field(50_000_000, ge=1000)


class SinkConfig(_Section):
    """How events and rows go to ClickHouse."""

    interval: Duration = timedelta(milliseconds=200)
    block_events_max: int = Field(50_000, ge=1)
    buffer_events_max: int = Field(200_000, ge=1)
    retry_max: Duration = timedelta(seconds=5)


class RetentionConfig(_Section):
    """How long ClickHouse keeps what arrived, in days since arrival."""

    events_days: int = Field(400, ge=1)
    usage_days: int = Field(3650, ge=1)


class SupervisorConfig(_Section):
    """What `meterstream up` does with the processes it runs."""

    workers: int = Field(1, ge=1, le=64)
    start_timeout: Duration = timedelta(seconds=120)
    restart_delay_min: Duration = timedelta(milliseconds=200)
    restart_delay_max: Duration = timedelta(seconds=15)
    restart_forget_after: Duration = timedelta(seconds=30)
    log_bytes_max: int = Field(16 << 20, ge=64 << 10)
    log_files_max: int = Field(3, ge=0, le=100)
    disk_free_bytes_min: int = Field(512 << 20, ge=0)

    @model_validator(mode="after")
    def _delays_in_order(self) -> SupervisorConfig:
        if self.restart_delay_max < self.restart_delay_min:
            raise ValueError("restart_delay_max is shorter than restart_delay_min")
        return self


class TestingConfig(_Section):
    """What only tests use."""

    clock: bool = False


class CustomersConfig(_Section):
    """What a customer may have."""

    subject_keys_max: int = Field(1000, ge=1, le=10_000)


class EntitlementsConfig(_Section):
    """What an entitlement may have: with all of it, it is one record of the catalog topic, which has at most 1 MB."""

    grants_max: int = Field(1_500, ge=1, le=5_000)
    resets_max: int = Field(2_000, ge=1, le=10_000)


class MeterConfig(_Section):
    """A meter that is made at start when no live one has its slug."""

    slug: str
    name: str | None = None
    description: str | None = None
    aggregation: Literal["SUM", "COUNT", "UNIQUE_COUNT", "AVG", "MIN", "MAX", "LATEST"]
    event_type: str
    value_property: str | None = None
    group_by: dict[str, str] = Field(default_factory=dict)
    event_from: datetime | None = None


class Config(_Section):
    """Everything that can be chosen."""

    namespace: str = Field("default", pattern=r"^[A-Za-z0-9]+(_[A-Za-z0-9]+)*$", max_length=64)
    data_dir: Path = Path(".meterstream")
    log_level: Literal["debug", "info", "warning"] = "info"
    reserved_event_types: tuple[str, ...] = ()
    kafka: KafkaConfig = KafkaConfig()
    postgres: PostgresConfig = PostgresConfig()
    clickhouse: ClickHouseConfig = ClickHouseConfig()
    api: ApiConfig = ApiConfig()
    worker: WorkerConfig = WorkerConfig()
    avro: AvroConfig = AvroConfig()
    balances: BalancesConfig = BalancesConfig()
    holds: HoldsConfig = HoldsConfig()
    streams: StreamsConfig = StreamsConfig()
    dedupe: DedupeConfig = DedupeConfig()
    sink: SinkConfig = SinkConfig()
    retention: RetentionConfig = RetentionConfig()
    supervisor: SupervisorConfig = SupervisorConfig()
    testing: TestingConfig = TestingConfig()
    customers: CustomersConfig = CustomersConfig()
    entitlements: EntitlementsConfig = EntitlementsConfig()
    meters: tuple[MeterConfig, ...] = ()

    @model_validator(mode="after")
    def _log_outlives_dedupe(self) -> Config:
        if self.kafka.retention < self.dedupe.window:
            raise ValueError(
                "kafka.retention is shorter than dedupe.window: a restored state could not judge repeats"
            )
        return self


def load(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Config:
    """The configuration of `path` (or METERSTREAM_CONFIG, or the defaults) and the environment. ConfigProblem."""
    environment = os.environ if environment is None else environment
    named = environment.get("METERSTREAM_CONFIG")
    chosen = path or (Path(named) if named else None)
    values = read_file(chosen) if chosen else {}
    variables = add_variables(values, environment, Config)
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigProblem(explain(error, Config, chosen, variables)) from None
