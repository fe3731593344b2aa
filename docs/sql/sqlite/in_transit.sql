-- Money in transit: the accounts of a code that should come back to zero, and have not. Moved is the time of the last
-- posting (seconds since 1970): those that have stood still for longest are first.
-- SQLite has no exact number beyond 63 bits: amounts are summed in four parts of 10 digits (9 in the highest), which is
-- exact for up to 900 million rows, and an error beyond.
WITH parameters AS (SELECT 1 AS cell, 1900 AS code),
moved AS (
    SELECT account_id, max(timestamp) AS moved
    FROM (
        SELECT t.debit_account_id AS account_id, t.timestamp FROM parameters p
        JOIN accounts a ON a.cell = p.cell AND a.code = p.code
        JOIN transfers t ON t.cell = a.cell AND t.debit_account_id = a.id AND t.kind IN ('transfer', 'post')
        UNION ALL
        SELECT t.credit_account_id, t.timestamp FROM parameters p
        JOIN accounts a ON a.cell = p.cell AND a.code = p.code
        JOIN transfers t ON t.cell = a.cell AND t.credit_account_id = a.id AND t.kind IN ('transfer', 'post')
    ) AS x
    GROUP BY account_id
),
totals AS (
    SELECT a.cell, a.asset, a.id, a.address, '0' || b.debits_posted AS debits, '0' || b.credits_posted AS credits
    FROM parameters p
    JOIN accounts a ON a.cell = p.cell AND a.code = p.code
    JOIN balances b ON b.cell = a.cell AND b.account_id = a.id AND b.debits_posted <> b.credits_posted
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
SELECT s.code AS asset, t.id AS account_id, t.address, coalesce(nullif(ltrim(t.debits, '0'), ''), '0') AS debits, coalesce(nullif(ltrim(t.credits, '0'), ''), '0') AS credits,
    iif(t.debits > t.credits, '-', '') || ltrim(t.difference, '0') AS balance, m.moved / 1000000000 AS moved
FROM differences t
JOIN assets s ON s.cell = t.cell AND s.number = t.asset
JOIN moved m ON m.account_id = t.id
ORDER BY m.moved, t.id;
