-- Trial balance: what all accounts of an asset and code add up to, in minor units, as of projected_through.
-- A row without a code is the asset's total: its debits and credits are equal.
-- SQLite has no exact number beyond 63 bits: amounts are summed in four parts of 10 digits (9 in the highest), which is
-- exact for up to 900 million rows, and an error beyond.
WITH parameters AS (SELECT 1 AS cell),
sides AS (
    SELECT a.asset, a.code, b.debits_posted, b.credits_posted
    FROM parameters p
    JOIN accounts a ON a.cell = p.cell
    JOIN balances b ON b.cell = a.cell AND b.account_id = a.id
),
wanted AS (
    SELECT asset, code, debits_posted, credits_posted FROM sides
    UNION ALL
    SELECT asset, NULL, debits_posted, credits_posted FROM sides
),
sums AS (
    SELECT asset, code, count(*) AS accounts,
        sum(CAST(substr(debits_posted, 1, 9) AS INTEGER)) AS d3,
        sum(CAST(substr(debits_posted, 10, 10) AS INTEGER)) AS d2,
        sum(CAST(substr(debits_posted, 20, 10) AS INTEGER)) AS d1,
        sum(CAST(substr(debits_posted, 30, 10) AS INTEGER)) AS d0,
        sum(CAST(substr(credits_posted, 1, 9) AS INTEGER)) AS c3,
        sum(CAST(substr(credits_posted, 10, 10) AS INTEGER)) AS c2,
        sum(CAST(substr(credits_posted, 20, 10) AS INTEGER)) AS c1,
        sum(CAST(substr(credits_posted, 30, 10) AS INTEGER)) AS c0
    FROM wanted GROUP BY asset, code
),
totals AS (
    SELECT asset, code, accounts,
        printf('%010d%010d%010d%010d', d3 + (d2 + (d1 + d0 / 10000000000) / 10000000000) / 10000000000,
            (d2 + (d1 + d0 / 10000000000) / 10000000000) % 10000000000, (d1 + d0 / 10000000000) % 10000000000, d0 % 10000000000) AS debits,
        printf('%010d%010d%010d%010d', c3 + (c2 + (c1 + c0 / 10000000000) / 10000000000) / 10000000000,
            (c2 + (c1 + c0 / 10000000000) / 10000000000) % 10000000000, (c1 + c0 / 10000000000) % 10000000000, c0 % 10000000000) AS credits
    FROM sums
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
SELECT s.code AS asset, t.code, t.accounts, coalesce(nullif(ltrim(t.debits, '0'), ''), '0') AS debits, coalesce(nullif(ltrim(t.credits, '0'), ''), '0') AS credits,
    CASE WHEN t.debits > t.credits THEN ltrim(t.difference, '0') ELSE '0' END AS debit_balance,
    CASE WHEN t.credits > t.debits THEN ltrim(t.difference, '0') ELSE '0' END AS credit_balance
FROM parameters p
JOIN differences t
JOIN assets s ON s.cell = p.cell AND s.number = t.asset
ORDER BY s.code, t.code IS NULL, t.code;
