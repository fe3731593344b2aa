-- +goose Up
-- One row for each block; the header's fields apart from the body, so that a list of blocks never reads bodies.
CREATE TABLE IF NOT EXISTS sterling_block (
    cell         bigint   NOT NULL,
    seq          bigint   NOT NULL CHECK (seq > 0),
    hash         bytea    NOT NULL CHECK (octet_length(hash) = 32),
    prev         bytea    NOT NULL CHECK (octet_length(prev) = 32),
    epoch        bigint   NOT NULL,
    kind         smallint NOT NULL,
    time         bigint   NOT NULL,
    acknowledged bigint   NOT NULL,
    size         integer  NOT NULL CHECK (size > 0),
    body         bytea    NOT NULL,
    PRIMARY KEY (cell, seq)
);

-- Who should lead a cell. It decides who tries, never who is right.
CREATE TABLE IF NOT EXISTS sterling_lease (
    cell    bigint       NOT NULL PRIMARY KEY,
    holder  bytea        NOT NULL CHECK (octet_length(holder) = 16),
    address varchar(255) NOT NULL,
    until   timestamptz  NOT NULL
);
