-- Ageing of reservations: how many are open for how long, and how much they still hold. Their age is counted to the time
-- of the last block that was projected.
WITH parameters AS (SELECT 1 AS cell),
aged AS (
    SELECT t.asset, r.remaining, (h.time - t.timestamp) DIV 1000000000 AS age
    FROM parameters p
    JOIN projected_through h ON h.cell = p.cell
    JOIN reservations r ON r.cell = p.cell AND r.state = 'open'
    JOIN transfers t ON t.cell = r.cell AND t.id = r.id
),
sorted AS (
    SELECT asset, remaining, CASE
        WHEN age < 3600 THEN '1 under an hour'
        WHEN age < 86400 THEN '2 under a day'
        WHEN age < 604800 THEN '3 under a week'
        WHEN age < 2592000 THEN '4 under 30 days'
        ELSE '5 30 days or more' END AS bucket
    FROM aged
)
SELECT s.code AS asset, x.bucket, count(*) AS reservations, sum(x.remaining) AS remaining
FROM parameters p
CROSS JOIN sorted x
JOIN assets s ON s.cell = p.cell AND s.number = x.asset
GROUP BY s.code, x.bucket
ORDER BY s.code, x.bucket;
