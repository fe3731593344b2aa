-- The tables of the read model. docs/sql/README.md says what each of them and each column is.
-- Ids are texts as the API writes them. Amounts are texts of 39 digits, so that they are exact and sort like numbers.

-- +goose Up
CREATE TABLE projected_through (
    cell       INTEGER NOT NULL PRIMARY KEY,
    seq        INTEGER NOT NULL,
    hash       BLOB    NOT NULL,
    time       INTEGER NOT NULL,
    head       INTEGER NOT NULL,
    assets     INTEGER NOT NULL,
    utc_offset INTEGER NOT NULL,
    rules      INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    state      TEXT    NOT NULL CHECK (state IN ('live', 'emptying')),
    updated    TEXT    NOT NULL
) STRICT;

CREATE TABLE assets (
    cell      INTEGER NOT NULL,
    number    INTEGER NOT NULL,
    code      TEXT    NOT NULL,
    scale     INTEGER NOT NULL,
    position  INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    PRIMARY KEY (cell, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE accounts (
    cell          INTEGER NOT NULL,
    id            TEXT    NOT NULL,
    position      INTEGER NOT NULL,
    timestamp     INTEGER NOT NULL,
    asset         INTEGER NOT NULL,
    code          INTEGER NOT NULL,
    flags         INTEGER NOT NULL,
    closed        INTEGER NOT NULL,
    address       TEXT,
    user_data_128 TEXT    NOT NULL,
    user_data_64  TEXT    NOT NULL,
    user_data_32  INTEGER NOT NULL,
    actor         BLOB    NOT NULL,
    PRIMARY KEY (cell, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX accounts_by_code ON accounts (cell, asset, code);
CREATE INDEX accounts_by_address ON accounts (cell, address) WHERE address IS NOT NULL;

CREATE TABLE balances (
    cell            INTEGER NOT NULL,
    account_id      TEXT    NOT NULL,
    debits_pending  TEXT    NOT NULL,
    debits_posted   TEXT    NOT NULL,
    credits_pending TEXT    NOT NULL,
    credits_posted  TEXT    NOT NULL,
    PRIMARY KEY (cell, account_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE transfers (
    cell              INTEGER NOT NULL,
    position          INTEGER NOT NULL,
    id                TEXT    NOT NULL,
    timestamp         INTEGER NOT NULL,
    booking_date      TEXT    NOT NULL,
    kind              TEXT    NOT NULL,
    debit_account_id  TEXT    NOT NULL,
    credit_account_id TEXT    NOT NULL,
    amount            TEXT    NOT NULL,
    released          TEXT    NOT NULL,
    asset             INTEGER NOT NULL,
    code              INTEGER NOT NULL,
    flags             INTEGER NOT NULL,
    timeout           INTEGER NOT NULL,
    pending_id        TEXT,
    transaction_id    TEXT,
    user_data_128     TEXT    NOT NULL,
    user_data_64      TEXT    NOT NULL,
    user_data_32      INTEGER NOT NULL,
    actor             BLOB    NOT NULL,
    PRIMARY KEY (cell, position)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX transfers_by_id ON transfers (cell, id);
CREATE INDEX transfers_by_debit_account ON transfers (cell, debit_account_id, position);
CREATE INDEX transfers_by_credit_account ON transfers (cell, credit_account_id, position);
CREATE INDEX transfers_by_booking_date ON transfers (cell, booking_date);
CREATE INDEX transfers_by_transaction ON transfers (cell, transaction_id) WHERE transaction_id IS NOT NULL;

CREATE TABLE reservations (
    cell      INTEGER NOT NULL,
    id        TEXT    NOT NULL,
    remaining TEXT    NOT NULL,
    state     TEXT    NOT NULL,
    expires   INTEGER,
    ended     INTEGER,
    PRIMARY KEY (cell, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX reservations_open ON reservations (cell, id) WHERE state = 'open';

CREATE TABLE transactions (
    cell          INTEGER NOT NULL,
    position      INTEGER NOT NULL,
    id            TEXT    NOT NULL,
    timestamp     INTEGER NOT NULL,
    legs          INTEGER NOT NULL,
    code          INTEGER NOT NULL,
    user_data_128 TEXT    NOT NULL,
    user_data_64  TEXT    NOT NULL,
    user_data_32  INTEGER NOT NULL,
    actor         BLOB    NOT NULL,
    PRIMARY KEY (cell, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE metadata (
    cell     INTEGER NOT NULL,
    owner    TEXT    NOT NULL,
    owner_id TEXT    NOT NULL,
    name     TEXT    NOT NULL,
    type     TEXT    NOT NULL,
    value    TEXT,
    data     BLOB,
    subject  TEXT,
    PRIMARY KEY (cell, owner, owner_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX metadata_by_subject ON metadata (cell, subject) WHERE subject IS NOT NULL;

CREATE TABLE freezes (
    cell        INTEGER NOT NULL,
    id          TEXT    NOT NULL,
    position    INTEGER NOT NULL,
    timestamp   INTEGER NOT NULL,
    selector    TEXT    NOT NULL,
    account_id  TEXT,
    code        INTEGER,
    mode        TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    actor       BLOB    NOT NULL,
    lifted      INTEGER,
    lift_id     TEXT,
    lift_reason TEXT,
    lift_actor  BLOB,
    PRIMARY KEY (cell, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE day_closes (
    cell      INTEGER NOT NULL,
    position  INTEGER NOT NULL,
    id        TEXT    NOT NULL,
    timestamp INTEGER NOT NULL,
    day       TEXT    NOT NULL,
    reopened  INTEGER NOT NULL,
    reason    TEXT    NOT NULL,
    actor     BLOB    NOT NULL,
    PRIMARY KEY (cell, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE day_close_lines (
    cell            INTEGER NOT NULL,
    close_id        TEXT    NOT NULL,
    asset           INTEGER NOT NULL,
    code            INTEGER NOT NULL,
    opening_debits  TEXT    NOT NULL,
    opening_credits TEXT    NOT NULL,
    late_debits     TEXT    NOT NULL,
    late_credits    TEXT    NOT NULL,
    period_debits   TEXT    NOT NULL,
    period_credits  TEXT    NOT NULL,
    PRIMARY KEY (cell, close_id, asset, code)
) STRICT, WITHOUT ROWID;
