-- The rows that were not loaded, and why.

CREATE TABLE app.rejects (
    job_id      text NOT NULL,
    run         integer NOT NULL,
    batch       integer NOT NULL,
    row_number  bigint NOT NULL,
    reason      text NOT NULL,
    detail      text,
    lon         double precision,
    lat         double precision,
    geometry    bytea,
    attributes  jsonb NOT NULL,
    PRIMARY KEY (job_id, run, row_number)
);
COMMENT ON TABLE app.rejects IS 'written in the transaction that copies the batch; no foreign key: it would be checked for every row of a COPY';
COMMENT ON COLUMN app.rejects.row_number IS 'in the source, from 1';
COMMENT ON COLUMN app.rejects.lon IS 'lon, lat: where the defect is, in degrees, EPSG:4326';
COMMENT ON COLUMN app.rejects.geometry IS 'WKB in EPSG:4326; null where it is not all on earth, or too large to be shown';
COMMENT ON COLUMN app.rejects.attributes IS 'the values of the source under the names of the table';
