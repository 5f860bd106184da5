-- Meters, and the outbox that carries their changes to the catalog topic.
-- Collation C: the same order on every server, by code point.

CREATE TABLE meters (
    namespace text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    slug text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    description text,
    metadata jsonb,
    aggregation text COLLATE "C" NOT NULL,
    event_type text COLLATE "C" NOT NULL,
    value_property text,
    group_by jsonb NOT NULL,
    event_from timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    version integer NOT NULL CHECK (version >= 1),
    PRIMARY KEY (namespace, id)
);

CREATE UNIQUE INDEX meters_live_slug ON meters (namespace, slug) WHERE deleted_at IS NULL;

-- A hash, because an event type may have 1024 characters and an entry of a btree holds 2704 bytes.
CREATE INDEX meters_live_event_type ON meters USING hash (event_type) WHERE deleted_at IS NULL;

-- One row a change that the catalog topic does not have yet; the id is the catalog's version.
CREATE TABLE outbox (
    id bigserial PRIMARY KEY,
    namespace text COLLATE "C" NOT NULL,
    payload bytea NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX outbox_order ON outbox (namespace, id);
