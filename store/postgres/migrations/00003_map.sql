-- +goose Up
-- The map of the ledger's cells: a row for each version, the newest holds. Its text is the router's.
CREATE TABLE IF NOT EXISTS sterling_map (
    version bigint NOT NULL PRIMARY KEY CHECK (version > 0),
    text    bytea  NOT NULL
);
