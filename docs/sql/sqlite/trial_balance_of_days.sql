-- Trial balance of a period by booking date: opening sums of all days before it, the period's own, and closing ones.
-- SQLite has no exact number beyond 63 bits: amounts are summed in four parts of 10 digits (9 in the highest), which is
-- exact for up to 900 million rows, and an error beyond.
WITH parameters AS (SELECT 1 AS cell, '2026-01-02' AS first_day, '2026-01-03' AS last_day),
postings AS (
    SELECT t.debit_account_id AS account_id, t.booking_date < p.first_day AS opening, 'd' AS side, t.amount
    FROM parameters p JOIN transfers t ON t.cell = p.cell AND t.kind IN ('transfer', 'post') AND t.booking_date <= p.last_day
    UNION ALL
    SELECT t.credit_account_id, t.booking_date < p.first_day, 'c', t.amount
    FROM parameters p JOIN transfers t ON t.cell = p.cell AND t.kind IN ('transfer', 'post') AND t.booking_date <= p.last_day
    UNION ALL -- when accounts moved between cells
    SELECT t.debit_account_id AS account_id, t.booking_date < p.first_day AS opening, 'd' AS side, t.amount
    FROM parameters p JOIN handovers t ON t.cell = p.cell AND t.booking_date <= p.last_day
    UNION ALL
    SELECT t.credit_account_id, t.booking_date < p.first_day, 'c', t.amount
    FROM parameters p JOIN handovers t ON t.cell = p.cell AND t.booking_date <= p.last_day
),
columns (name, opening, closing, side) AS ( -- which postings are part of which column
    VALUES ('opening_debits', 1, 1, 'd'), ('opening_credits', 1, 1, 'c'), ('period_debits', 0, 0, 'd'), ('period_credits', 0, 0, 'c'),
        ('closing_debits', 0, 1, 'd'), ('closing_credits', 0, 1, 'c')
),
sums AS (
    SELECT a.asset, a.code, k.name,
        sum(CAST(substr(x.amount, 1, 9) AS INTEGER)) AS s3,
        sum(CAST(substr(x.amount, 10, 10) AS INTEGER)) AS s2,
        sum(CAST(substr(x.amount, 20, 10) AS INTEGER)) AS s1,
        sum(CAST(substr(x.amount, 30, 10) AS INTEGER)) AS s0
    FROM parameters p
    JOIN postings x
    JOIN columns k ON k.side = x.side AND x.opening BETWEEN k.opening AND k.closing
    JOIN accounts a ON a.cell = p.cell AND a.id = x.account_id
    GROUP BY a.asset, a.code, k.name
),
totals AS (
    SELECT asset, code, name,
        ltrim(printf('%010d%010d%010d%010d', s3 + (s2 + (s1 + s0 / 10000000000) / 10000000000) / 10000000000,
            (s2 + (s1 + s0 / 10000000000) / 10000000000) % 10000000000, (s1 + s0 / 10000000000) % 10000000000, s0 % 10000000000), '0') AS total
    FROM sums
)
SELECT s.code AS asset, t.code,
    coalesce(max(t.total) FILTER (WHERE t.name = 'opening_debits'), '0') AS opening_debits,
    coalesce(max(t.total) FILTER (WHERE t.name = 'opening_credits'), '0') AS opening_credits,
    coalesce(max(t.total) FILTER (WHERE t.name = 'period_debits'), '0') AS period_debits,
    coalesce(max(t.total) FILTER (WHERE t.name = 'period_credits'), '0') AS period_credits,
    coalesce(max(t.total) FILTER (WHERE t.name = 'closing_debits'), '0') AS closing_debits,
    coalesce(max(t.total) FILTER (WHERE t.name = 'closing_credits'), '0') AS closing_credits
FROM parameters p
JOIN totals t
JOIN assets s ON s.cell = p.cell AND s.number = t.asset
GROUP BY s.code, t.code
ORDER BY s.code, t.code;
