-- Statement of an account for a period by booking date. The first row is the opening balance; a balance is credits less
-- debits. Turn the sign for an account whose balance is a debit one by nature.
WITH parameters AS (SELECT 1 AS cell, 201 AS account_id, DATE '2026-01-02' AS first_day, DATE '2026-02-28' AS last_day),
postings AS (
    SELECT t.booking_date, t.position, t.id, t.credit_account_id AS other, t.amount AS debit, 0 AS credit
    FROM parameters p JOIN transfers t ON t.cell = p.cell AND t.debit_account_id = p.account_id AND t.kind IN ('transfer', 'post')
    UNION ALL
    SELECT t.booking_date, t.position, t.id, t.debit_account_id, 0, t.amount
    FROM parameters p JOIN transfers t ON t.cell = p.cell AND t.credit_account_id = p.account_id AND t.kind IN ('transfer', 'post')
    UNION ALL -- when accounts moved between cells
    SELECT t.booking_date, t.position, t.id, t.credit_account_id AS other, t.amount AS debit, 0 AS credit
    FROM parameters p JOIN handovers t ON t.cell = p.cell AND t.debit_account_id = p.account_id
    UNION ALL
    SELECT t.booking_date, t.position, t.id, t.debit_account_id, 0, t.amount
    FROM parameters p JOIN handovers t ON t.cell = p.cell AND t.credit_account_id = p.account_id
),
entries AS (
    SELECT p.first_day AS booking_date, 0 AS position, NULL AS id, NULL AS other,
        coalesce(sum(x.debit), 0) AS debit, coalesce(sum(x.credit), 0) AS credit
    FROM parameters p LEFT JOIN postings x ON x.booking_date < p.first_day
    GROUP BY p.first_day
    UNION ALL
    SELECT x.booking_date, x.position, x.id, x.other, x.debit, x.credit
    FROM parameters p JOIN postings x ON x.booking_date BETWEEN p.first_day AND p.last_day
)
SELECT booking_date, id AS transfer_id, other AS counterparty, debit, credit,
    sum(credit - debit) OVER (ORDER BY booking_date, position) AS balance
FROM entries
ORDER BY booking_date, position;
