-- +goose Up
-- What the nodes of a cell keep besides the journal: how far their deliveries are, and what these gave up on.
CREATE TABLE IF NOT EXISTS sterling_document (
    cell bigint       NOT NULL,
    name varchar(160) NOT NULL,
    body bytea        NOT NULL,
    PRIMARY KEY (cell, name)
);
