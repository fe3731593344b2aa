-- Statement of an account for a period by booking date. The first row is the opening balance; a balance is credits less
-- debits. Turn the sign for an account whose balance is a debit one by nature.
-- SQLite has no exact number beyond 63 bits: amounts are summed in four parts of 10 digits (9 in the highest), which is
-- exact for up to 900 million rows, and an error beyond.
WITH parameters AS (SELECT 1 AS cell, '201' AS account_id, '2026-01-02' AS first_day, '2026-02-28' AS last_day),
postings AS (
    SELECT t.booking_date, t.position, t.id, t.credit_account_id AS other, t.amount AS debit, '' AS credit
    FROM parameters p JOIN transfers t ON t.cell = p.cell AND t.debit_account_id = p.account_id AND t.kind IN ('transfer', 'post')
    UNION ALL
    SELECT t.booking_date, t.position, t.id, t.debit_account_id, '', t.amount
    FROM parameters p JOIN transfers t ON t.cell = p.cell AND t.credit_account_id = p.account_id AND t.kind IN ('transfer', 'post')
    UNION ALL -- when accounts moved between cells
    SELECT t.booking_date, t.position, t.id, t.credit_account_id AS other, t.amount AS debit, '' AS credit
    FROM parameters p JOIN handovers t ON t.cell = p.cell AND t.debit_account_id = p.account_id
    UNION ALL
    SELECT t.booking_date, t.position, t.id, t.debit_account_id, '', t.amount
    FROM parameters p JOIN handovers t ON t.cell = p.cell AND t.credit_account_id = p.account_id
),
entries AS ( -- those before the period become one, without an id
    SELECT max(x.booking_date, p.first_day) AS booking_date, iif(x.booking_date < p.first_day, 0, x.position) AS position,
        iif(x.booking_date < p.first_day, NULL, x.id) AS id, iif(x.booking_date < p.first_day, NULL, x.other) AS other, x.debit, x.credit
    FROM parameters p JOIN postings x ON x.booking_date <= p.last_day
    UNION ALL
    SELECT p.first_day, 0, NULL, NULL, '', '' FROM parameters p
),
amounts AS (
    SELECT booking_date, position, id, other,
        sum(CAST(substr(debit, 1, 9) AS INTEGER)) AS d3,
        sum(CAST(substr(debit, 10, 10) AS INTEGER)) AS d2,
        sum(CAST(substr(debit, 20, 10) AS INTEGER)) AS d1,
        sum(CAST(substr(debit, 30, 10) AS INTEGER)) AS d0,
        sum(CAST(substr(credit, 1, 9) AS INTEGER)) AS c3,
        sum(CAST(substr(credit, 10, 10) AS INTEGER)) AS c2,
        sum(CAST(substr(credit, 20, 10) AS INTEGER)) AS c1,
        sum(CAST(substr(credit, 30, 10) AS INTEGER)) AS c0
    FROM entries GROUP BY booking_date, position, id, other
),
running AS (
    SELECT booking_date, position, id, other,
        printf('%010d%010d%010d%010d', d3 + (d2 + (d1 + d0 / 10000000000) / 10000000000) / 10000000000,
            (d2 + (d1 + d0 / 10000000000) / 10000000000) % 10000000000, (d1 + d0 / 10000000000) % 10000000000, d0 % 10000000000) AS debit,
        printf('%010d%010d%010d%010d', c3 + (c2 + (c1 + c0 / 10000000000) / 10000000000) / 10000000000,
            (c2 + (c1 + c0 / 10000000000) / 10000000000) % 10000000000, (c1 + c0 / 10000000000) % 10000000000, c0 % 10000000000) AS credit,
        sum(d3) OVER line AS dd3, sum(d2) OVER line AS dd2, sum(d1) OVER line AS dd1, sum(d0) OVER line AS dd0,
        sum(c3) OVER line AS cc3, sum(c2) OVER line AS cc2, sum(c1) OVER line AS cc1, sum(c0) OVER line AS cc0
    FROM amounts WINDOW line AS (ORDER BY booking_date, position)
),
totals AS (
    SELECT *,
        printf('%010d%010d%010d%010d', dd3 + (dd2 + (dd1 + dd0 / 10000000000) / 10000000000) / 10000000000,
            (dd2 + (dd1 + dd0 / 10000000000) / 10000000000) % 10000000000, (dd1 + dd0 / 10000000000) % 10000000000, dd0 % 10000000000) AS debits,
        printf('%010d%010d%010d%010d', cc3 + (cc2 + (cc1 + cc0 / 10000000000) / 10000000000) / 10000000000,
            (cc2 + (cc1 + cc0 / 10000000000) / 10000000000) % 10000000000, (cc1 + cc0 / 10000000000) % 10000000000, cc0 % 10000000000) AS credits
    FROM running
),
parts AS ( -- of the larger less the smaller
    SELECT *,
        CAST(substr(max(debits, credits), 1, 10) AS INTEGER) - CAST(substr(min(debits, credits), 1, 10) AS INTEGER) AS x3,
        CAST(substr(max(debits, credits), 11, 10) AS INTEGER) - CAST(substr(min(debits, credits), 11, 10) AS INTEGER) AS x2,
        CAST(substr(max(debits, credits), 21, 10) AS INTEGER) - CAST(substr(min(debits, credits), 21, 10) AS INTEGER) AS x1,
        CAST(substr(max(debits, credits), 31, 10) AS INTEGER) - CAST(substr(min(debits, credits), 31, 10) AS INTEGER) AS x0
    FROM totals
),
borrowed0 AS (SELECT *, x0 < 0 AS b0 FROM parts),
borrowed1 AS (SELECT *, x1 - b0 < 0 AS b1 FROM borrowed0),
borrowed2 AS (SELECT *, x2 - b1 < 0 AS b2 FROM borrowed1),
differences AS (
    SELECT *, printf('%010d%010d%010d%010d', x3 - b2, x2 - b1 + b2 * 10000000000, x1 - b0 + b1 * 10000000000, x0 + b0 * 10000000000) AS difference
    FROM borrowed2
)
SELECT booking_date, id AS transfer_id, other AS counterparty, coalesce(nullif(ltrim(debit, '0'), ''), '0') AS debit, coalesce(nullif(ltrim(credit, '0'), ''), '0') AS credit,
    iif(debits > credits, '-', '') || coalesce(nullif(ltrim(difference, '0'), ''), '0') AS balance
FROM differences
ORDER BY booking_date, position;
