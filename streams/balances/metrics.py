"""Metrics of the balances in a worker. Labels have few values; times are in seconds. docs/metrics.md is made from here."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_WORK_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
_LATENCY_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)

# -- following and answering (runtime/balances/)

rows_taken = Counter(
    "meterstream_balance_records_total",
    "Records of the usage topic taken for balances: rows, distinct values and progress.",
)
work_seconds = Counter(
    "meterstream_balance_work_seconds_total",
    "Time of the worker's event loop that balances have taken; its rate is their share.",
)
round_seconds = Histogram(
    "meterstream_balance_round_seconds",
    "Time of one round of work over all followed partitions.",
    buckets=_WORK_BUCKETS,
)
event_to_balance_seconds = Histogram(
    "meterstream_event_to_balance_seconds",
    "From the instant up to which a source partition says that it has counted everything to balances that have that: the way through the usage topic, without the fold before it.",
    buckets=_LATENCY_BUCKETS,
)
lag_records = Gauge(
    "meterstream_balance_lag_records",
    "Records of the usage topic that the balances of a followed partition have not read yet, as of the last fetch.",
    ["partition"],
)
lag_seconds = Gauge(
    "meterstream_balance_lag_seconds",
    "How long ago the instant lies up to which the balances of a followed partition count everything. As of the scrape; NaN while that is not known.",
    ["partition"],
)
followed = Gauge(
    "meterstream_balance_partitions",
    "Partitions whose balances this worker has, by role (owner, standby).",
    ["role"],
)
reads = Counter(
    "meterstream_balance_reads_total",
    "Questions for balances answered for the api, by role (owner, standby) and result: values, or why there are none (unknown, deleted, loading, behind, elsewhere, past).",
    ["role", "result"],
)

# -- accounts (streams/balances/)

loading = Gauge(
    "meterstream_balance_loading",
    "Accounts that wait for their history and were made or asked for since the start.",
    ["partition"],
)
loaded = Counter(
    "meterstream_balance_loaded_total",
    "Accounts that began with their history, read from ClickHouse.",
)
refused = Counter(
    "meterstream_balance_refused_total",
    "Accounts without a running balance because their history or plan cannot be followed; the api computes those.",
)
accounts = Gauge(
    "meterstream_balance_accounts",
    "Accounts decoded in memory, of at most balances.accounts_max.",
    ["partition"],
)
timers = Counter(
    "meterstream_balance_timers_total",
    "Accounts that time alone moved on: resets, refills, grants that begin or end, usage whose minute came.",
)


def forget_partition(partition: int) -> None:
    """It is not followed here any more."""
    for metric in (accounts, loading):
        metric.remove(str(partition))
