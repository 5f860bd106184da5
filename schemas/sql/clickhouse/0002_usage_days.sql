-- Usage added up by day, so that a question about many days and all subjects does not read every minute of every subject.
-- Source: docs/internals.md, "ClickHouse"; docs/decisions/0140-days-are-added-up.md.

-- Which position touched a day last. The most of all versions of a row is the most of the newest, so it stays exact when rows are replaced.
ALTER TABLE usage MODIFY SETTING deduplicate_merge_projection_mode = 'rebuild';
ALTER TABLE usage ADD PROJECTION IF NOT EXISTS touched (
    SELECT namespace, meter, version, toDate32(minute) AS day, partition, max(position), max(updated_at), count()
    GROUP BY namespace, meter, version, day, partition
);
ALTER TABLE usage MATERIALIZE PROJECTION touched;

-- Rows of one roll are read when `day_rolls` names it. `whole` = 1: all subjects together, `subject` is then empty.
CREATE TABLE IF NOT EXISTS usage_days (
    namespace       LowCardinality(String),
    topic           LowCardinality(String),
    meter           LowCardinality(String),
    version         UInt32,
    whole           UInt8,
    day             Date32,
    roll            UInt64,
    subject         String,
    groups          Array(String),
    first_second    Int64,
    last_second     Int64,
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
    updated_at      DateTime64(3, 'UTC'),
    at              DateTime64(3, 'UTC')
) ENGINE = MergeTree
PARTITION BY if(toYear(day) BETWEEN 2000 AND 2099, toYYYYMM(day), 0)
ORDER BY (namespace, topic, meter, version, whole, day, roll, subject, groups)
SETTINGS index_granularity = 1024;

-- The roll of a day that counts, and up to which position of each partition it holds everything.
CREATE TABLE IF NOT EXISTS day_rolls (
    namespace  LowCardinality(String),
    topic      LowCardinality(String),
    meter      LowCardinality(String),
    version    UInt32,
    day        Date32,
    roll       UInt64,
    partitions Array(UInt32),
    positions  Array(UInt64),
    updated_at DateTime64(3, 'UTC'),
    at         DateTime64(3, 'UTC')
) ENGINE = ReplacingMergeTree(at)
ORDER BY (namespace, topic, meter, version, day)
SETTINGS index_granularity = 1024;
