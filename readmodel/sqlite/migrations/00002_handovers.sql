-- What accounts left and arrived with when their bucket moved between cells, as postings: docs/sql/README.md.

-- +goose Up
CREATE TABLE handovers (
    cell              INTEGER NOT NULL,
    position          INTEGER NOT NULL,
    side              INTEGER NOT NULL,
    id                TEXT    NOT NULL,
    timestamp         INTEGER NOT NULL,
    booking_date      TEXT    NOT NULL,
    debit_account_id  TEXT    NOT NULL,
    credit_account_id TEXT    NOT NULL,
    amount            TEXT    NOT NULL,
    asset             INTEGER NOT NULL,
    actor             BLOB    NOT NULL,
    PRIMARY KEY (cell, position, side)
) STRICT, WITHOUT ROWID;
CREATE INDEX handovers_by_debit_account ON handovers (cell, debit_account_id, position);
CREATE INDEX handovers_by_credit_account ON handovers (cell, credit_account_id, position);
