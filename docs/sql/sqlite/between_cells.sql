-- Transfers across cells of which something is open in a cell, oldest first. Step is what: a reserve is not decided yet; a
-- marker is decided, and the other cell has not confirmed it; a hold waits for its home, where the transfer is known.
-- Transfer is the kind of the transfer itself, where it was created here: a marker of one that is pending waits for its
-- end, a marker without one was refused. Since is seconds since 1970: a minute is long, but for what is pending.
WITH parameters AS (SELECT 2 AS cell)
SELECT t.pending_id AS transfer_id, CASE WHEN d.code = 65534 THEN 'hold' WHEN c.code = 65534 THEN 'marker' ELSE 'reserve' END AS step,
    s.code AS asset, coalesce(nullif(ltrim(r.remaining, '0'), ''), '0') AS amount, coalesce(f.kind, '') AS transfer, t.timestamp / 1000000000 AS since
FROM parameters p
JOIN reservations r ON r.cell = p.cell AND r.state = 'open'
JOIN transfers t ON t.cell = r.cell AND t.id = r.id AND (t.flags & 4096) <> 0
JOIN accounts d ON d.cell = t.cell AND d.id = t.debit_account_id
JOIN accounts c ON c.cell = t.cell AND c.id = t.credit_account_id
JOIN assets s ON s.cell = t.cell AND s.number = t.asset
LEFT JOIN transfers f ON f.cell = t.cell AND f.id = t.pending_id
ORDER BY t.position;
