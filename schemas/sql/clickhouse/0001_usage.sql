-- Everything here may be inserted again: reads take one row for each sorting key, the one with the highest position.
-- Retention goes by arrival, never by event time. Source: docs/internals.md, "ClickHouse".

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
PARTITION BY toYYYYMM(time)
ORDER BY (namespace, time, ingested_at, partition, position)
TTL toDateTime(ingested_at) + INTERVAL {events_days} DAY
SETTINGS non_replicated_deduplication_window = 10000;

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
PARTITION BY toYYYYMM(minute)
ORDER BY (namespace, meter, version, subject, minute, groups, partition, epoch, part)
TTL toDateTime(updated_at) + INTERVAL {usage_days} DAY
SETTINGS non_replicated_deduplication_window = 10000;

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
    updated_at DateTime64(3, 'UTC')
) ENGINE = ReplacingMergeTree(position)
PARTITION BY toYYYYMM(minute)
ORDER BY (namespace, meter, version, subject, minute, groups, hash)
TTL toDateTime(updated_at) + INTERVAL {usage_days} DAY
SETTINGS non_replicated_deduplication_window = 10000;

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
