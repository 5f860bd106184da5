-- Entitlements with their grants and resets. Rows are never removed; a deleted entitlement shows in no list.
-- Collation C as in 0001. Annotations are text: any JSON, which jsonb does not hold.

CREATE TABLE entitlements (
    namespace text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    customer_id text COLLATE "C" NOT NULL,
    feature_id text COLLATE "C" NOT NULL,
    feature_key text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    active_from timestamptz NOT NULL,
    active_to timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    metadata jsonb,
    annotations text,
    -- In the spelling that is answered (domain/entitlements/configuration.py).
    config text,
    -- ISO 8601 duration and anchor, as they were asked for.
    period_interval text,
    period_anchor timestamptz,
    measured_from timestamptz,
    is_soft_limit boolean NOT NULL,
    preserve_overage boolean NOT NULL,
    issue_amount numeric,
    issue_priority smallint,
    PRIMARY KEY (namespace, id),
    FOREIGN KEY (namespace, customer_id) REFERENCES customers (namespace, id),
    FOREIGN KEY (namespace, feature_id) REFERENCES features (namespace, id)
);

-- What a customer has, what it has for a key, and since when.
CREATE INDEX entitlements_of_customer ON entitlements (namespace, customer_id, feature_key, created_at)
    WHERE deleted_at IS NULL;
CREATE INDEX entitlements_of_feature ON entitlements (namespace, feature_key, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX entitlements_of_feature_id ON entitlements (namespace, feature_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX entitlements_by_age ON entitlements (namespace, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX entitlements_by_change ON entitlements (namespace, updated_at, id) WHERE deleted_at IS NULL;

CREATE TABLE grants (
    namespace text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    entitlement_id text COLLATE "C" NOT NULL,
    amount numeric NOT NULL CHECK (amount > 0),
    priority smallint NOT NULL CHECK (priority BETWEEN 0 AND 255),
    effective_at timestamptz NOT NULL,
    expires_at timestamptz,
    expiry_unit text COLLATE "C",
    expiry_count smallint,
    voided_at timestamptz,
    min_rollover numeric NOT NULL,
    max_rollover numeric NOT NULL,
    recurrence_interval text,
    recurrence_anchor timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    metadata jsonb,
    annotations text,
    PRIMARY KEY (namespace, id),
    FOREIGN KEY (namespace, entitlement_id) REFERENCES entitlements (namespace, id)
);

CREATE INDEX grants_of_entitlement ON grants (namespace, entitlement_id, created_at, id);
CREATE INDEX grants_by_effect ON grants (namespace, effective_at, id) WHERE deleted_at IS NULL;
CREATE INDEX grants_by_age ON grants (namespace, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX grants_by_change ON grants (namespace, updated_at, id) WHERE deleted_at IS NULL;

-- Resets by hand. The ends of usage periods reset, too, and are not stored.
CREATE TABLE resets (
    namespace text COLLATE "C" NOT NULL,
    entitlement_id text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    anchor timestamptz NOT NULL,
    preserve_overage boolean NOT NULL,
    PRIMARY KEY (namespace, entitlement_id, at),
    FOREIGN KEY (namespace, entitlement_id) REFERENCES entitlements (namespace, id)
);
