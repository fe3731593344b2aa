-- The tables of the read model. docs/sql/README.md says what each of them and each column is.

-- +goose Up
CREATE TABLE projected_through (
    cell              BIGINT          NOT NULL PRIMARY KEY,
    seq               BIGINT          NOT NULL,
    hash              BINARY(32)      NOT NULL,
    time              BIGINT          NOT NULL,
    head              BIGINT          NOT NULL,
    assets            INTEGER         NOT NULL,
    utc_offset        INTEGER         NOT NULL,
    rules             INTEGER         NOT NULL,
    version           INTEGER         NOT NULL,
    state             VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL CHECK (state IN ('live', 'emptying')),
    updated           DATETIME(6)     NOT NULL
) ENGINE = InnoDB;

CREATE TABLE assets (
    cell              BIGINT          NOT NULL,
    number            BIGINT          NOT NULL,
    code              VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    scale             INTEGER         NOT NULL,
    position          BIGINT          NOT NULL,
    timestamp         BIGINT          NOT NULL,
    PRIMARY KEY (cell, number)
) ENGINE = InnoDB;

CREATE TABLE accounts (
    cell              BIGINT          NOT NULL,
    id                DECIMAL(39, 0)  NOT NULL,
    position          BIGINT          NOT NULL,
    timestamp         BIGINT          NOT NULL,
    asset             BIGINT          NOT NULL,
    code              INTEGER         NOT NULL,
    flags             INTEGER         NOT NULL,
    closed            BOOLEAN         NOT NULL,
    address           VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin,
    user_data_128     DECIMAL(39, 0)  NOT NULL,
    user_data_64      BIGINT UNSIGNED NOT NULL,
    user_data_32      BIGINT          NOT NULL,
    actor             BINARY(16)      NOT NULL,
    PRIMARY KEY (cell, id),
    INDEX accounts_by_code (cell, asset, code),
    INDEX accounts_by_address (cell, address)
) ENGINE = InnoDB;

CREATE TABLE balances (
    cell              BIGINT          NOT NULL,
    account_id        DECIMAL(39, 0)  NOT NULL,
    debits_pending    DECIMAL(39, 0)  NOT NULL CHECK (debits_pending >= 0),
    debits_posted     DECIMAL(39, 0)  NOT NULL CHECK (debits_posted >= 0),
    credits_pending   DECIMAL(39, 0)  NOT NULL CHECK (credits_pending >= 0),
    credits_posted    DECIMAL(39, 0)  NOT NULL CHECK (credits_posted >= 0),
    PRIMARY KEY (cell, account_id)
) ENGINE = InnoDB;

CREATE TABLE transfers (
    cell              BIGINT          NOT NULL,
    position          BIGINT          NOT NULL,
    id                DECIMAL(39, 0)  NOT NULL,
    timestamp         BIGINT          NOT NULL,
    booking_date      DATE            NOT NULL,
    kind              VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    debit_account_id  DECIMAL(39, 0)  NOT NULL,
    credit_account_id DECIMAL(39, 0)  NOT NULL,
    amount            DECIMAL(39, 0)  NOT NULL CHECK (amount >= 0),
    released          DECIMAL(39, 0)  NOT NULL CHECK (released >= 0),
    asset             BIGINT          NOT NULL,
    code              INTEGER         NOT NULL,
    flags             INTEGER         NOT NULL,
    timeout           BIGINT          NOT NULL,
    pending_id        DECIMAL(39, 0),
    transaction_id    DECIMAL(39, 0),
    user_data_128     DECIMAL(39, 0)  NOT NULL,
    user_data_64      BIGINT UNSIGNED NOT NULL,
    user_data_32      BIGINT          NOT NULL,
    actor             BINARY(16)      NOT NULL,
    PRIMARY KEY (cell, position),
    UNIQUE INDEX transfers_by_id (cell, id),
    INDEX transfers_by_debit_account (cell, debit_account_id, position),
    INDEX transfers_by_credit_account (cell, credit_account_id, position),
    INDEX transfers_by_booking_date (cell, booking_date),
    INDEX transfers_by_transaction (cell, transaction_id)
) ENGINE = InnoDB;

CREATE TABLE reservations (
    cell              BIGINT          NOT NULL,
    id                DECIMAL(39, 0)  NOT NULL,
    remaining         DECIMAL(39, 0)  NOT NULL CHECK (remaining >= 0),
    state             VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    expires           BIGINT,
    ended             BIGINT,
    PRIMARY KEY (cell, id),
    INDEX reservations_by_state (cell, state)
) ENGINE = InnoDB;

CREATE TABLE transactions (
    cell              BIGINT          NOT NULL,
    position          BIGINT          NOT NULL,
    id                DECIMAL(39, 0)  NOT NULL,
    timestamp         BIGINT          NOT NULL,
    legs              BIGINT          NOT NULL,
    code              INTEGER         NOT NULL,
    user_data_128     DECIMAL(39, 0)  NOT NULL,
    user_data_64      BIGINT UNSIGNED NOT NULL,
    user_data_32      BIGINT          NOT NULL,
    actor             BINARY(16)      NOT NULL,
    PRIMARY KEY (cell, id)
) ENGINE = InnoDB;

CREATE TABLE metadata (
    cell              BIGINT          NOT NULL,
    owner             VARCHAR(11) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    owner_id          DECIMAL(39, 0)  NOT NULL,
    name              VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    type              VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    value             VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    data              VARBINARY(1200),
    subject           VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin,
    PRIMARY KEY (cell, owner, owner_id, name),
    INDEX metadata_by_subject (cell, subject)
) ENGINE = InnoDB;

CREATE TABLE freezes (
    cell              BIGINT          NOT NULL,
    id                DECIMAL(39, 0)  NOT NULL,
    position          BIGINT          NOT NULL,
    timestamp         BIGINT          NOT NULL,
    selector          VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    account_id        DECIMAL(39, 0),
    code              INTEGER,
    mode              VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    reason            VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    actor             BINARY(16)      NOT NULL,
    lifted            BIGINT,
    lift_id           DECIMAL(39, 0),
    lift_reason       VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    lift_actor        BINARY(16),
    PRIMARY KEY (cell, id)
) ENGINE = InnoDB;

CREATE TABLE day_closes (
    cell              BIGINT          NOT NULL,
    position          BIGINT          NOT NULL,
    id                DECIMAL(39, 0)  NOT NULL,
    timestamp         BIGINT          NOT NULL,
    day               DATE            NOT NULL,
    reopened          BOOLEAN         NOT NULL,
    reason            VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    actor             BINARY(16)      NOT NULL,
    PRIMARY KEY (cell, id)
) ENGINE = InnoDB;

CREATE TABLE day_close_lines (
    cell              BIGINT          NOT NULL,
    close_id          DECIMAL(39, 0)  NOT NULL,
    asset             BIGINT          NOT NULL,
    code              INTEGER         NOT NULL,
    opening_debits    DECIMAL(58, 0)  NOT NULL,
    opening_credits   DECIMAL(58, 0)  NOT NULL,
    late_debits       DECIMAL(58, 0)  NOT NULL,
    late_credits      DECIMAL(58, 0)  NOT NULL,
    period_debits     DECIMAL(58, 0)  NOT NULL,
    period_credits    DECIMAL(58, 0)  NOT NULL,
    PRIMARY KEY (cell, close_id, asset, code)
) ENGINE = InnoDB;
