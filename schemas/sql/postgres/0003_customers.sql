-- Customers with the subjects whose usage is theirs, subjects, and features.
-- Collation C as in 0001. Texts that lists search in ("contains", whatever the case) are kept folded beside the text, by the program:
-- so that every server finds the same, also where its locale knows no letters but ASCII's.

CREATE TABLE customers (
    namespace text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    key text COLLATE "C",
    key_folded text COLLATE "C",
    name text COLLATE "C" NOT NULL,
    name_folded text COLLATE "C" NOT NULL,
    description text,
    metadata jsonb,
    primary_email text COLLATE "C",
    primary_email_folded text COLLATE "C",
    currency text COLLATE "C",
    billing_address jsonb,
    annotations jsonb,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    PRIMARY KEY (namespace, id)
);

CREATE UNIQUE INDEX customers_live_key ON customers (namespace, key) WHERE deleted_at IS NULL;

-- The orders of the list; deleted_at rides along, so that live ones are counted without reading the table.
CREATE INDEX customers_by_name ON customers (namespace, name, id) INCLUDE (deleted_at);
CREATE INDEX customers_by_age ON customers (namespace, created_at, id) INCLUDE (deleted_at);

CREATE TABLE customer_subjects (
    namespace text COLLATE "C" NOT NULL,
    customer_id text COLLATE "C" NOT NULL,
    subject_key text COLLATE "C" NOT NULL,
    subject_key_folded text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    deleted_at timestamptz,
    FOREIGN KEY (namespace, customer_id) REFERENCES customers (namespace, id)
);

CREATE UNIQUE INDEX customer_subjects_live_key ON customer_subjects (namespace, subject_key)
    WHERE deleted_at IS NULL;
CREATE INDEX customer_subjects_live_customer ON customer_subjects (namespace, customer_id, subject_key)
    WHERE deleted_at IS NULL;

CREATE TABLE subjects (
    namespace text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    display_name text,
    metadata jsonb,
    stripe_customer_id text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    PRIMARY KEY (namespace, id)
);

CREATE UNIQUE INDEX subjects_live_key ON subjects (namespace, key) WHERE deleted_at IS NULL;

CREATE TABLE features (
    namespace text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    metadata jsonb,
    meter_id text COLLATE "C",
    meter_slug text COLLATE "C",
    filters jsonb NOT NULL,
    unit_cost jsonb,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    archived_at timestamptz,
    PRIMARY KEY (namespace, id)
);

CREATE UNIQUE INDEX features_live_key ON features (namespace, key) WHERE archived_at IS NULL;
CREATE INDEX features_by_key ON features (namespace, key, id);
CREATE INDEX features_by_name ON features (namespace, name, id);
CREATE INDEX features_by_age ON features (namespace, created_at, id);
CREATE INDEX features_by_change ON features (namespace, updated_at, id);
CREATE INDEX features_by_meter ON features (namespace, meter_id, key);

-- "Contains" by trigrams. pg_trgm comes with PostgreSQL, and whoever may create objects in the database may create it; where it is not
-- to be had, such lists read all customers of the namespace, which is slower and says the same. It is asked for by its schema, which is
-- whichever one it was made in.
DO $$
DECLARE
    home text;
BEGIN
    BEGIN
        CREATE EXTENSION IF NOT EXISTS pg_trgm;
    EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported THEN
        RAISE NOTICE 'pg_trgm is not there: %', SQLERRM;
    END;
    SELECT quote_ident(n.nspname) INTO home
        FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_trgm';
    IF home IS NOT NULL THEN
        EXECUTE format('CREATE INDEX customers_key_parts ON customers USING gin (key_folded %s.gin_trgm_ops)', home);
        EXECUTE format('CREATE INDEX customers_name_parts ON customers USING gin (name_folded %s.gin_trgm_ops)', home);
        EXECUTE format(
            'CREATE INDEX customers_email_parts ON customers USING gin (primary_email_folded %s.gin_trgm_ops)', home);
        EXECUTE format(
            'CREATE INDEX customer_subjects_parts ON customer_subjects USING gin (subject_key_folded %s.gin_trgm_ops)'
            ' WHERE deleted_at IS NULL', home);
    END IF;
END $$;
