-- What accounts left and arrived with when their bucket moved between cells, as postings: docs/sql/README.md.

-- +goose Up
CREATE TABLE handovers (
    cell              BIGINT         NOT NULL,
    position          BIGINT         NOT NULL,
    side              INTEGER        NOT NULL,
    id                NUMERIC(39, 0) NOT NULL,
    timestamp         BIGINT         NOT NULL,
    booking_date      DATE           NOT NULL,
    debit_account_id  NUMERIC(39, 0) NOT NULL,
    credit_account_id NUMERIC(39, 0) NOT NULL,
    amount            NUMERIC(39, 0) NOT NULL,
    asset             BIGINT         NOT NULL,
    actor             BYTEA          NOT NULL,
    PRIMARY KEY (cell, position, side)
);
CREATE INDEX handovers_by_debit_account ON handovers (cell, debit_account_id, position);
CREATE INDEX handovers_by_credit_account ON handovers (cell, credit_account_id, position);
