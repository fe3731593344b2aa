-- Trial balance: what all accounts of an asset and code add up to, in minor units, as of projected_through.
-- A row without a code is the asset's total: its debits and credits are equal.
WITH parameters AS (SELECT 1 AS cell),
sums AS (
    SELECT a.asset, a.code, count(*) AS accounts, sum(b.debits_posted) AS debits, sum(b.credits_posted) AS credits
    FROM parameters p
    JOIN accounts a ON a.cell = p.cell
    JOIN balances b ON b.cell = a.cell AND b.account_id = a.id
    GROUP BY GROUPING SETS ((a.asset, a.code), (a.asset))
)
SELECT s.code AS asset, t.code, t.accounts, t.debits, t.credits,
    greatest(t.debits - t.credits, 0) AS debit_balance, greatest(t.credits - t.debits, 0) AS credit_balance
FROM parameters p
JOIN sums t ON true
JOIN assets s ON s.cell = p.cell AND s.number = t.asset
ORDER BY s.code, t.code NULLS LAST;
