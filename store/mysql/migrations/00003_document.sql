-- +goose NO TRANSACTION
-- +goose Up
-- What the nodes of a cell keep besides the journal: how far their deliveries are, and what these gave up on.
CREATE TABLE IF NOT EXISTS sterling_document (
    cell BIGINT         NOT NULL,
    name VARBINARY(160) NOT NULL,
    body MEDIUMBLOB     NOT NULL,
    PRIMARY KEY (cell, name)
) ENGINE = InnoDB DEFAULT CHARACTER SET = binary;
