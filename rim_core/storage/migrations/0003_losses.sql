-- Who pays for a plan, and what to expect of it, kept with the plan whoever made it.
--   free: user-states that an item would get without promises; NULL where that was not kept.
--   expected, low, high, chance: of other user-states like those of the test window (Plan.delivery_intervals).
-- The table is written anew: a table that was altered cannot be filled in the same transaction.
CREATE TABLE new_items AS
    WITH kept AS (
        SELECT id, CAST(json_extract(metrics, '$.promises.free') AS BIGINT[]) AS free
        FROM scenarios WHERE json_type(metrics, '$.promises.free') = 'ARRAY'
    ), placed AS (
        SELECT *, rowid AS place, row_number() OVER (PARTITION BY scenario ORDER BY rowid) AS position FROM scenario_items
    )
    SELECT p.scenario, p.item_id, p.minimum, p.maximum, p.delivered, p.price, k.free[p.position] AS free,
           CAST(NULL AS DOUBLE) AS expected, CAST(NULL AS DOUBLE) AS low, CAST(NULL AS DOUBLE) AS high,
           CAST(NULL AS DOUBLE) AS chance
    FROM placed p LEFT JOIN kept k ON k.id = p.scenario ORDER BY p.place;
DROP TABLE scenario_items;
CREATE TABLE scenario_items (
    scenario VARCHAR NOT NULL, item_id VARCHAR NOT NULL, minimum DOUBLE, maximum DOUBLE,
    delivered BIGINT NOT NULL, price DOUBLE NOT NULL, free BIGINT, expected DOUBLE, low DOUBLE, high DOUBLE, chance DOUBLE
);
INSERT INTO scenario_items SELECT * FROM new_items ORDER BY rowid;
DROP TABLE new_items;

-- The same figures of plans that the dashboard saved stood among the promises.
UPDATE scenarios SET metrics = json_merge_patch(metrics, json_object(
    'promises', json_object('free', NULL, 'losers', NULL, 'cost', NULL),
    'losses', json_object(
        'cost', json_extract(metrics, '$.promises.cost'),
        'states', json_extract(metrics, '$.promises.losers.states'),
        'worse', json_extract(metrics, '$.promises.losers.worse'),
        'worst_tenth', json_extract(metrics, '$.promises.losers.worst_tenth'))))
WHERE json_type(metrics, '$.promises.losers') = 'OBJECT';
