-- What `meterstream events redrive` sent again. A row is written before the events are sent (begun_at) and completed when
-- Kafka has acknowledged them (done_at); one without done_at may or may not have been sent.
-- The id names origin and contents of the refused record (schemas/rejected.py).

CREATE TABLE redrives (
    namespace text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    begun_at timestamptz NOT NULL,
    done_at timestamptz,
    PRIMARY KEY (namespace, id)
);

-- Rows that outlived the rejected topic's retention are removed by this.
CREATE INDEX redrives_begun ON redrives (namespace, begun_at);
