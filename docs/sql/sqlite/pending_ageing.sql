-- Ageing of reservations: how many are open for how long, and how much they still hold. Their age is counted to the time
-- of the last block that was projected.
-- SQLite has no exact number beyond 63 bits: amounts are summed in four parts of 10 digits (9 in the highest), which is
-- exact for up to 900 million rows, and an error beyond.
WITH parameters AS (SELECT 1 AS cell),
aged AS (
    SELECT t.asset, r.remaining, (h.time - t.timestamp) / 1000000000 AS age
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
),
sums AS (
    SELECT asset, bucket, count(*) AS reservations,
        sum(CAST(substr(remaining, 1, 9) AS INTEGER)) AS r3,
        sum(CAST(substr(remaining, 10, 10) AS INTEGER)) AS r2,
        sum(CAST(substr(remaining, 20, 10) AS INTEGER)) AS r1,
        sum(CAST(substr(remaining, 30, 10) AS INTEGER)) AS r0
    FROM sorted GROUP BY asset, bucket
)
SELECT s.code AS asset, x.bucket, x.reservations,
    coalesce(nullif(ltrim(printf('%010d%010d%010d%010d', r3 + (r2 + (r1 + r0 / 10000000000) / 10000000000) / 10000000000,
            (r2 + (r1 + r0 / 10000000000) / 10000000000) % 10000000000, (r1 + r0 / 10000000000) % 10000000000, r0 % 10000000000), '0'), ''), '0') AS remaining
FROM parameters p
JOIN sums x
JOIN assets s ON s.cell = p.cell AND s.number = x.asset
ORDER BY s.code, x.bucket;
