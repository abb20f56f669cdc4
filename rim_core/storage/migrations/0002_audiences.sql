-- What an export was made from: part, items, rules, layout. Enough to make the same bytes again.
ALTER TABLE exports ADD COLUMN recipe JSON;

-- Who is never written to. A list does not change: another upload of its name is a further version of it.
CREATE TABLE suppression_lists (
    id VARCHAR PRIMARY KEY, name VARCHAR NOT NULL, users BIGINT NOT NULL, who VARCHAR NOT NULL, created_at TIMESTAMP NOT NULL
);
CREATE TABLE suppressed_users (list VARCHAR NOT NULL, user_id VARCHAR NOT NULL);

-- What happened when a plan was carried out: events of the audience and its hold-out group, and the figures.
CREATE TABLE campaigns (
    id VARCHAR PRIMARY KEY, name VARCHAR NOT NULL, scenario VARCHAR NOT NULL, part VARCHAR NOT NULL, rules JSON NOT NULL,
    source JSON NOT NULL, summary JSON NOT NULL, who VARCHAR NOT NULL, created_at TIMESTAMP NOT NULL
);
CREATE TABLE campaign_items (
    campaign VARCHAR NOT NULL, item_id VARCHAR NOT NULL, promised BIGINT, planned BIGINT NOT NULL, withheld BIGINT NOT NULL,
    delivered BIGINT NOT NULL, expected DOUBLE, outcomes BIGINT NOT NULL, verdict VARCHAR NOT NULL
);
CREATE TABLE campaign_days (
    campaign VARCHAR NOT NULL, day TIMESTAMP NOT NULL, exposures BIGINT NOT NULL, outcomes BIGINT NOT NULL
);
