-- +goose NO TRANSACTION
-- +goose Up
-- The map of the ledger's cells: a row for each version, the newest holds. Its text is the router's.
CREATE TABLE IF NOT EXISTS sterling_map (
    version BIGINT     NOT NULL PRIMARY KEY,
    text    MEDIUMBLOB NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET = binary;
