-- Money in transit: the accounts of a code that should come back to zero, and have not. Moved is the time of the last
-- posting (seconds since 1970): those that have stood still for longest are first.
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
)
SELECT s.code AS asset, a.id AS account_id, a.address, b.debits_posted AS debits, b.credits_posted AS credits,
    b.credits_posted - b.debits_posted AS balance, m.moved DIV 1000000000 AS moved
FROM parameters p
JOIN accounts a ON a.cell = p.cell AND a.code = p.code
JOIN balances b ON b.cell = a.cell AND b.account_id = a.id AND b.debits_posted <> b.credits_posted
JOIN assets s ON s.cell = a.cell AND s.number = a.asset
JOIN moved m ON m.account_id = a.id
ORDER BY m.moved, a.id;
