-- The workspace. Times are UTC without a zone; event times are microseconds since 1970-01-01 UTC.
CREATE TABLE schema_version (version INTEGER PRIMARY KEY, name VARCHAR NOT NULL, applied_at TIMESTAMP NOT NULL);

-- What came in. A dataset is a name; every import of other content is a further version of it.
CREATE SEQUENCE dataset_ids;
CREATE TABLE datasets (
    id INTEGER PRIMARY KEY,
    name VARCHAR NOT NULL,
    version INTEGER NOT NULL,
    content VARCHAR NOT NULL,          -- EventLog.version: equal content, equal hash
    catalogue VARCHAR NOT NULL,        -- hash of titles and features
    source VARCHAR NOT NULL,           -- format it was read from
    options JSON NOT NULL,             -- path, column mapping, ...: what recreates it
    events BIGINT NOT NULL,
    users BIGINT NOT NULL,
    items BIGINT NOT NULL,
    first_time BIGINT NOT NULL,
    last_time BIGINT NOT NULL,
    event_types VARCHAR[] NOT NULL,
    user_columns JSON NOT NULL,        -- feature name -> SQL type
    item_columns JSON NOT NULL,
    report JSON,                       -- ImportReport
    added_at TIMESTAMP NOT NULL,
    UNIQUE (name, version)
);
CREATE TABLE event_rows (
    dataset INTEGER NOT NULL, user_code INTEGER NOT NULL, item_code INTEGER NOT NULL,
    time BIGINT NOT NULL, value DOUBLE NOT NULL, type SMALLINT NOT NULL
);
CREATE TABLE users (dataset INTEGER NOT NULL, code INTEGER NOT NULL, user_id VARCHAR NOT NULL, features JSON);
CREATE TABLE items (
    dataset INTEGER NOT NULL, code INTEGER NOT NULL, item_id VARCHAR NOT NULL, title VARCHAR NOT NULL, features JSON
);
CREATE VIEW events AS
    SELECT d.name AS dataset, d.version, u.user_id, i.item_id, make_timestamp(e.time) AS timestamp, e.value,
           d.event_types[e.type + 1] AS event_type
    FROM event_rows e
    JOIN datasets d ON d.id = e.dataset
    JOIN users u ON u.dataset = e.dataset AND u.code = e.user_code
    JOIN items i ON i.dataset = e.dataset AND i.code = e.item_code;

-- How it was cut, and what was trained on it. Weights stand in models/<id>/.
CREATE TABLE splits (
    id VARCHAR PRIMARY KEY, dataset INTEGER NOT NULL, config JSON NOT NULL, summary JSON NOT NULL, created_at TIMESTAMP NOT NULL
);
CREATE TABLE models (
    id VARCHAR PRIMARY KEY, name VARCHAR NOT NULL, config JSON NOT NULL, dataset INTEGER NOT NULL, split VARCHAR NOT NULL,
    seconds DOUBLE, facts JSON NOT NULL, created_at TIMESTAMP NOT NULL
);
CREATE TABLE evaluations (
    model VARCHAR NOT NULL, part VARCHAR NOT NULL, task VARCHAR NOT NULL, size INTEGER NOT NULL,
    metrics JSON NOT NULL, created_at TIMESTAMP NOT NULL, PRIMARY KEY (model, part, task, size)
);
CREATE TABLE jobs (
    id VARCHAR PRIMARY KEY, dataset INTEGER NOT NULL, split JSON NOT NULL, spec JSON NOT NULL, state VARCHAR NOT NULL,
    message VARCHAR, models JSON NOT NULL, created_at TIMESTAMP NOT NULL, started_at TIMESTAMP, finished_at TIMESTAMP
);

-- What was planned: all that is needed to open a scenario again, and to compute it again.
CREATE TABLE scenarios (
    id VARCHAR PRIMARY KEY, name VARCHAR NOT NULL, dataset INTEGER NOT NULL, split JSON NOT NULL, model VARCHAR NOT NULL,
    method VARCHAR NOT NULL, constraints JSON NOT NULL, seed BIGINT NOT NULL, note VARCHAR NOT NULL,
    certificate JSON NOT NULL, metrics JSON NOT NULL, package VARCHAR NOT NULL, archived BOOLEAN NOT NULL,
    created_at TIMESTAMP NOT NULL, updated_at TIMESTAMP NOT NULL
);
CREATE TABLE scenario_items (
    scenario VARCHAR NOT NULL, item_id VARCHAR NOT NULL, minimum DOUBLE, maximum DOUBLE,
    delivered BIGINT NOT NULL, price DOUBLE NOT NULL
);
CREATE TABLE scenario_pairs (
    scenario VARCHAR NOT NULL, part VARCHAR NOT NULL, state INTEGER NOT NULL, user_id VARCHAR NOT NULL,
    item_id VARCHAR NOT NULL, state_time TIMESTAMP, rank INTEGER NOT NULL, score FLOAT NOT NULL, expected FLOAT NOT NULL
);
CREATE TABLE frontiers (
    id VARCHAR PRIMARY KEY, dataset INTEGER NOT NULL, split JSON NOT NULL, models JSON NOT NULL, settings JSON NOT NULL,
    created_at TIMESTAMP NOT NULL
);
CREATE TABLE frontier_points (frontier VARCHAR NOT NULL, position INTEGER NOT NULL, point JSON NOT NULL);

-- Who did what.
CREATE TABLE exports (
    id VARCHAR PRIMARY KEY, scenario VARCHAR, item VARCHAR, path VARCHAR NOT NULL, format VARCHAR NOT NULL,
    rows BIGINT NOT NULL, sha256 VARCHAR NOT NULL, who VARCHAR NOT NULL, created_at TIMESTAMP NOT NULL
);
CREATE SEQUENCE activity_ids;
CREATE TABLE activity (
    id BIGINT PRIMARY KEY, moment TIMESTAMP NOT NULL, who VARCHAR NOT NULL, what VARCHAR NOT NULL, subject VARCHAR NOT NULL,
    detail JSON NOT NULL
);
