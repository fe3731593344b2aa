-- The tables of the read model. docs/sql/README.md says what each of them and each column is.

-- +goose Up
CREATE TABLE projected_through (
    cell              BIGINT         NOT NULL PRIMARY KEY,
    seq               BIGINT         NOT NULL,
    hash              BYTEA          NOT NULL,
    time              BIGINT         NOT NULL,
    head              BIGINT         NOT NULL,
    assets            INTEGER        NOT NULL,
    utc_offset        INTEGER        NOT NULL,
    rules             INTEGER        NOT NULL,
    version           INTEGER        NOT NULL,
    state             TEXT           NOT NULL CHECK (state IN ('live', 'emptying')),
    updated           TIMESTAMPTZ    NOT NULL
);

CREATE TABLE assets (
    cell              BIGINT         NOT NULL,
    number            BIGINT         NOT NULL,
    code              TEXT           NOT NULL,
    scale             INTEGER        NOT NULL,
    position          BIGINT         NOT NULL,
    timestamp         BIGINT         NOT NULL,
    PRIMARY KEY (cell, number)
);

CREATE TABLE accounts (
    cell              BIGINT         NOT NULL,
    id                NUMERIC(39, 0) NOT NULL,
    position          BIGINT         NOT NULL,
    timestamp         BIGINT         NOT NULL,
    asset             BIGINT         NOT NULL,
    code              INTEGER        NOT NULL,
    flags             INTEGER        NOT NULL,
    closed            BOOLEAN        NOT NULL,
    address           TEXT,
    user_data_128     NUMERIC(39, 0) NOT NULL,
    user_data_64      NUMERIC(20, 0) NOT NULL,
    user_data_32      BIGINT         NOT NULL,
    actor             BYTEA          NOT NULL,
    PRIMARY KEY (cell, id)
);
CREATE INDEX accounts_by_code ON accounts (cell, asset, code);
CREATE INDEX accounts_by_address ON accounts (cell, address) WHERE address IS NOT NULL;

CREATE TABLE balances (
    cell              BIGINT         NOT NULL,
    account_id        NUMERIC(39, 0) NOT NULL,
    debits_pending    NUMERIC(39, 0) NOT NULL CHECK (debits_pending >= 0),
    debits_posted     NUMERIC(39, 0) NOT NULL CHECK (debits_posted >= 0),
    credits_pending   NUMERIC(39, 0) NOT NULL CHECK (credits_pending >= 0),
    credits_posted    NUMERIC(39, 0) NOT NULL CHECK (credits_posted >= 0),
    PRIMARY KEY (cell, account_id)
) WITH (fillfactor = 70); -- updated in place, again and again

CREATE TABLE transfers (
    cell              BIGINT         NOT NULL,
    position          BIGINT         NOT NULL,
    id                NUMERIC(39, 0) NOT NULL,
    timestamp         BIGINT         NOT NULL,
    booking_date      DATE           NOT NULL,
    kind              TEXT           NOT NULL,
    debit_account_id  NUMERIC(39, 0) NOT NULL,
    credit_account_id NUMERIC(39, 0) NOT NULL,
    amount            NUMERIC(39, 0) NOT NULL CHECK (amount >= 0),
    released          NUMERIC(39, 0) NOT NULL CHECK (released >= 0),
    asset             BIGINT         NOT NULL,
    code              INTEGER        NOT NULL,
    flags             INTEGER        NOT NULL,
    timeout           BIGINT         NOT NULL,
    pending_id        NUMERIC(39, 0),
    transaction_id    NUMERIC(39, 0),
    user_data_128     NUMERIC(39, 0) NOT NULL,
    user_data_64      NUMERIC(20, 0) NOT NULL,
    user_data_32      BIGINT         NOT NULL,
    actor             BYTEA          NOT NULL,
    PRIMARY KEY (cell, position)
);
CREATE UNIQUE INDEX transfers_by_id ON transfers (cell, id);
CREATE INDEX transfers_by_debit_account ON transfers (cell, debit_account_id, position);
CREATE INDEX transfers_by_credit_account ON transfers (cell, credit_account_id, position);
CREATE INDEX transfers_by_booking_date ON transfers (cell, booking_date);
CREATE INDEX transfers_by_transaction ON transfers (cell, transaction_id) WHERE transaction_id IS NOT NULL;

CREATE TABLE reservations (
    cell              BIGINT         NOT NULL,
    id                NUMERIC(39, 0) NOT NULL,
    remaining         NUMERIC(39, 0) NOT NULL CHECK (remaining >= 0),
    state             TEXT           NOT NULL,
    expires           BIGINT,
    ended             BIGINT,
    PRIMARY KEY (cell, id)
);
CREATE INDEX reservations_open ON reservations (cell, id) WHERE state = 'open';

CREATE TABLE transactions (
    cell              BIGINT         NOT NULL,
    position          BIGINT         NOT NULL,
    id                NUMERIC(39, 0) NOT NULL,
    timestamp         BIGINT         NOT NULL,
    legs              BIGINT         NOT NULL,
    code              INTEGER        NOT NULL,
    user_data_128     NUMERIC(39, 0) NOT NULL,
    user_data_64      NUMERIC(20, 0) NOT NULL,
    user_data_32      BIGINT         NOT NULL,
    actor             BYTEA          NOT NULL,
    PRIMARY KEY (cell, id)
);

CREATE TABLE metadata (
    cell              BIGINT         NOT NULL,
    owner             TEXT           NOT NULL,
    owner_id          NUMERIC(39, 0) NOT NULL,
    name              TEXT           NOT NULL,
    type              TEXT           NOT NULL,
    value             TEXT,
    data              BYTEA,
    subject           TEXT,
    PRIMARY KEY (cell, owner, owner_id, name)
);
CREATE INDEX metadata_by_subject ON metadata (cell, subject) WHERE subject IS NOT NULL;

CREATE TABLE freezes (
    cell              BIGINT         NOT NULL,
    id                NUMERIC(39, 0) NOT NULL,
    position          BIGINT         NOT NULL,
    timestamp         BIGINT         NOT NULL,
    selector          TEXT           NOT NULL,
    account_id        NUMERIC(39, 0),
    code              INTEGER,
    mode              TEXT           NOT NULL,
    reason            TEXT           NOT NULL,
    actor             BYTEA          NOT NULL,
    lifted            BIGINT,
    lift_id           NUMERIC(39, 0),
    lift_reason       TEXT,
    lift_actor        BYTEA,
    PRIMARY KEY (cell, id)
);

CREATE TABLE day_closes (
    cell              BIGINT         NOT NULL,
    position          BIGINT         NOT NULL,
    id                NUMERIC(39, 0) NOT NULL,
    timestamp         BIGINT         NOT NULL,
    day               DATE           NOT NULL,
    reopened          BOOLEAN        NOT NULL,
    reason            TEXT           NOT NULL,
    actor             BYTEA          NOT NULL,
    PRIMARY KEY (cell, id)
);

CREATE TABLE day_close_lines (
    cell              BIGINT         NOT NULL,
    close_id          NUMERIC(39, 0) NOT NULL,
    asset             BIGINT         NOT NULL,
    code              INTEGER        NOT NULL,
    opening_debits    NUMERIC(58, 0) NOT NULL,
    opening_credits   NUMERIC(58, 0) NOT NULL,
    late_debits       NUMERIC(58, 0) NOT NULL,
    late_credits      NUMERIC(58, 0) NOT NULL,
    period_debits     NUMERIC(58, 0) NOT NULL,
    period_credits    NUMERIC(58, 0) NOT NULL,
    PRIMARY KEY (cell, close_id, asset, code)
);
