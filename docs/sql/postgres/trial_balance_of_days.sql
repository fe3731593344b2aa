-- Trial balance of a period by booking date: opening sums of all days before it, the period's own, and closing ones.
WITH parameters AS (SELECT 1 AS cell, DATE '2026-01-02' AS first_day, DATE '2026-01-03' AS last_day),
postings AS (
    SELECT t.debit_account_id AS account_id, t.booking_date, t.amount AS debit, 0 AS credit
    FROM parameters p JOIN transfers t ON t.cell = p.cell AND t.kind IN ('transfer', 'post') AND t.booking_date <= p.last_day
    UNION ALL
    SELECT t.credit_account_id, t.booking_date, 0, t.amount
    FROM parameters p JOIN transfers t ON t.cell = p.cell AND t.kind IN ('transfer', 'post') AND t.booking_date <= p.last_day
    UNION ALL -- when accounts moved between cells
    SELECT t.debit_account_id AS account_id, t.booking_date, t.amount AS debit, 0 AS credit
    FROM parameters p JOIN handovers t ON t.cell = p.cell AND t.booking_date <= p.last_day
    UNION ALL
    SELECT t.credit_account_id, t.booking_date, 0, t.amount
    FROM parameters p JOIN handovers t ON t.cell = p.cell AND t.booking_date <= p.last_day
)
SELECT s.code AS asset, a.code,
    coalesce(sum(x.debit) FILTER (WHERE x.booking_date < p.first_day), 0) AS opening_debits,
    coalesce(sum(x.credit) FILTER (WHERE x.booking_date < p.first_day), 0) AS opening_credits,
    coalesce(sum(x.debit) FILTER (WHERE x.booking_date >= p.first_day), 0) AS period_debits,
    coalesce(sum(x.credit) FILTER (WHERE x.booking_date >= p.first_day), 0) AS period_credits,
    sum(x.debit) AS closing_debits, sum(x.credit) AS closing_credits
FROM parameters p
JOIN postings x ON true
JOIN accounts a ON a.cell = p.cell AND a.id = x.account_id
JOIN assets s ON s.cell = p.cell AND s.number = a.asset
GROUP BY s.code, a.code
ORDER BY s.code, a.code;
