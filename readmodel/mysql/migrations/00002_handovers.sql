-- What accounts left and arrived with when their bucket moved between cells, as postings: docs/sql/README.md.

-- +goose Up
CREATE TABLE handovers (
    cell              BIGINT          NOT NULL,
    position          BIGINT          NOT NULL,
    side              INTEGER         NOT NULL,
    id                DECIMAL(39, 0)  NOT NULL,
    timestamp         BIGINT          NOT NULL,
    booking_date      DATE            NOT NULL,
    debit_account_id  DECIMAL(39, 0)  NOT NULL,
    credit_account_id DECIMAL(39, 0)  NOT NULL,
    amount            DECIMAL(39, 0)  NOT NULL,
    asset             BIGINT          NOT NULL,
    actor             BINARY(16)      NOT NULL,
    PRIMARY KEY (cell, position, side),
    INDEX handovers_by_debit_account (cell, debit_account_id, position),
    INDEX handovers_by_credit_account (cell, credit_account_id, position)
) ENGINE = InnoDB;
