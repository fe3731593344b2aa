-- +goose NO TRANSACTION
-- +goose Up
-- One row for each block; the header's fields apart from the body, so that a list of blocks never reads bodies.
CREATE TABLE IF NOT EXISTS sterling_block (
    cell         BIGINT     NOT NULL,
    seq          BIGINT     NOT NULL,
    hash         BINARY(32) NOT NULL,
    prev         BINARY(32) NOT NULL,
    epoch        BIGINT     NOT NULL,
    kind         SMALLINT   NOT NULL,
    time         BIGINT     NOT NULL,
    acknowledged BIGINT     NOT NULL,
    size         INT        NOT NULL,
    body         MEDIUMBLOB NOT NULL,
    PRIMARY KEY (cell, seq)
) ENGINE = InnoDB DEFAULT CHARACTER SET = binary;

-- Who should lead a cell. It decides who tries, never who is right.
CREATE TABLE IF NOT EXISTS sterling_lease (
    cell    BIGINT         NOT NULL PRIMARY KEY,
    holder  BINARY(16)     NOT NULL,
    address VARBINARY(255) NOT NULL,
    until   DATETIME(6)    NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET = binary;
