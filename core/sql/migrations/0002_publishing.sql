-- Where tables are built and published, and which batches they hold.

CREATE SCHEMA IF NOT EXISTS geo;
CREATE SCHEMA IF NOT EXISTS staging;

CREATE TABLE app.batches (
    job_id       text NOT NULL REFERENCES app.jobs ON DELETE CASCADE,
    run          integer NOT NULL,
    batch        integer NOT NULL,
    rows_loaded  bigint NOT NULL,
    loaded_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, run, batch)
);
COMMENT ON TABLE app.batches IS 'the ledger: written in the transaction that copies a batch into its staging table';

CREATE TABLE geo.table_metadata (
    schema_name      text NOT NULL,
    table_name       text NOT NULL,
    job_id           text NOT NULL,
    run              integer NOT NULL,
    title            text,
    description      text,
    attribution      text,
    license          text,
    keywords         text[],
    feature_count    bigint NOT NULL,
    geometry_type    text NOT NULL,
    srid             integer NOT NULL,
    bbox             double precision[] NOT NULL,
    columns          jsonb NOT NULL,
    source           jsonb NOT NULL,
    temporal_property text,
    temporal_start   timestamptz,
    temporal_end     timestamptz,
    stac_collection  text,
    stac_item        text,
    published_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (schema_name, table_name)
);
COMMENT ON COLUMN geo.table_metadata.bbox IS 'west, south, east, north in degrees, EPSG:4326';
