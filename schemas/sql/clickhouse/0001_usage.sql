-- Everything here may be inserted again: of each sorting key one row counts, the one with the highest version.
-- Source: docs/internals.md, "ClickHouse". A statement must be one that may run again (IF NOT EXISTS and the like).
-- Retention (TTL by arrival, never by event time) is set by connectors/clickhouse/migrations.py from the configuration.
-- On a cluster the engines become ReplicatedReplacingMergeTree and the window setting replicated_deduplication_window.
-- Months are partitions from 2000 to 2099; a time outside of that, which is mostly a mistake, has one of its own.

CREATE TABLE IF NOT EXISTS events (
    namespace   LowCardinality(String),
    id          String,
    type        LowCardinality(String),
    subject     String,
    source      String,
    time        DateTime64(0, 'UTC'),
    data        String,
    ingested_at DateTime64(3, 'UTC'),
    stored_at   DateTime64(3, 'UTC'),
    partition   UInt32,
    position    UInt64,
    verdict     Enum8('accepted' = 1, 'duplicate' = 2)
) ENGINE = ReplacingMergeTree(position)
PARTITION BY if(toYear(time) BETWEEN 2000 AND 2099, toYYYYMM(time), 0)
ORDER BY (namespace, time, ingested_at, partition, position)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 2048;

CREATE TABLE IF NOT EXISTS usage (
    namespace       LowCardinality(String),
    meter           LowCardinality(String),
    version         UInt32,
    subject         String,
    groups          Array(String),
    minute          DateTime64(0, 'UTC'),
    partition       UInt32,
    epoch           UInt64,
    part            UInt8,
    position        UInt64,
    count           UInt64,
    numeric         UInt64,
    total           Decimal(76, 38),
    outside         Nullable(Float64),
    least           Nullable(Decimal(76, 38)),
    least_outside   Nullable(Float64),
    most            Nullable(Decimal(76, 38)),
    most_outside    Nullable(Float64),
    latest_time     Nullable(Int64),
    latest_position Nullable(UInt64),
    latest          Nullable(Decimal(76, 38)),
    latest_outside  Nullable(Float64),
    updated_at      DateTime64(3, 'UTC')
) ENGINE = ReplacingMergeTree(position)
PARTITION BY if(toYear(minute) BETWEEN 2000 AND 2099, toYYYYMM(minute), 0)
ORDER BY (namespace, meter, version, toDate32(minute), subject, minute, groups, partition, epoch, part)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 1024;

-- A value is kept with the lowest position that brought it, so that reads can leave out what is not visible yet.
CREATE TABLE IF NOT EXISTS uniques (
    namespace  LowCardinality(String),
    meter      LowCardinality(String),
    version    UInt32,
    subject    String,
    groups     Array(String),
    minute     DateTime64(0, 'UTC'),
    hash       FixedString(16),
    partition  UInt32,
    position   UInt64,
    updated_at DateTime64(3, 'UTC'),
    earliness  UInt64 MATERIALIZED bitNot(position)
) ENGINE = ReplacingMergeTree(earliness)
PARTITION BY if(toYear(minute) BETWEEN 2000 AND 2099, toYYYYMM(minute), 0)
ORDER BY (namespace, meter, version, toDate32(minute), subject, minute, groups, hash, partition)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 1024;

-- The positions of a partition whose events are in the rows of a meter version: [from_position, until_position).
CREATE TABLE IF NOT EXISTS meter_ranges (
    namespace      LowCardinality(String),
    meter          String,
    version        UInt32,
    topic          String,
    partition      UInt32,
    from_position  UInt64,
    until_position UInt64,
    closed         UInt8,
    at             DateTime64(3, 'UTC')
) ENGINE = ReplacingMergeTree(closed)
ORDER BY (namespace, meter, version, topic, partition);

-- Up to which position of a partition reads may see events.
CREATE TABLE IF NOT EXISTS visible (
    topic     String,
    partition UInt32,
    position  UInt64,
    at        DateTime64(3, 'UTC')
) ENGINE = ReplacingMergeTree(position)
ORDER BY (topic, partition);
