-- The time that all processes of a namespace go by while testing.clock is on: it was `at` when the real time was `since`.
-- No row, or no `at`: the real one. `version` is the catalog's version of the change.

CREATE TABLE testing_clock (
    namespace text COLLATE "C" PRIMARY KEY,
    at timestamptz,
    since timestamptz,
    frozen boolean NOT NULL,
    version bigint NOT NULL
);
