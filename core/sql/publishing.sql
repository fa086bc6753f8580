-- lock_batch
-- One at a time for what has this name; ends with the transaction.
SELECT pg_advisory_xact_lock(hashtextextended(%(key)s, 1));

-- forget_batch
DELETE FROM app.batches WHERE job_id = %(job_id)s AND run = %(run)s AND batch = %(batch)s;

-- forget_batches
DELETE FROM app.batches WHERE job_id = %(job_id)s AND run = %(run)s;

-- remember_batch
INSERT INTO app.batches (job_id, run, batch, rows_loaded)
VALUES (%(job_id)s, %(run)s, %(batch)s, %(rows)s);

-- staging_tables
SELECT tablename AS name FROM pg_tables
 WHERE schemaname = %(schema)s AND tablename ~ '^s[a-z2-7]{52}_[0-9]+$';

-- any_index
-- A name of one; no row: the table has none.
SELECT indexname FROM pg_indexes WHERE schemaname = %(schema)s AND tablename = %(table)s LIMIT 1;

-- relation_kind
-- What has the name: r is a plain table; inherits is one whose rows belong to another table too.
SELECT CASE WHEN EXISTS (SELECT FROM pg_inherits AS i WHERE c.oid IN (i.inhrelid, i.inhparent))
            THEN 'inherits' ELSE c.relkind::text END AS kind,
       pg_has_role(c.relowner, 'USAGE') AS is_ours
  FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE n.nspname = %(schema)s AND c.relname = %(table)s;

-- dependents
-- Views, and tables by foreign key, that stand on the table.
SELECT DISTINCT coalesce(r.ev_class, k.conrelid)::regclass::text AS name
  FROM pg_depend AS d
  JOIN pg_class AS c ON c.oid = d.refobjid
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  LEFT JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
  LEFT JOIN pg_constraint AS k
    ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid AND k.contype = 'f' AND k.confrelid = c.oid
 WHERE d.refclassid = 'pg_class'::regclass AND n.nspname = %(schema)s AND c.relname = %(table)s
   AND coalesce(r.ev_class, k.conrelid) <> c.oid
 ORDER BY 1;

-- owner
SELECT r.rolname AS role, c.relowner = current_user::regrole AS is_own
  FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  JOIN pg_roles AS r ON r.oid = c.relowner
 WHERE n.nspname = %(schema)s AND c.relname = %(table)s;

-- grants
-- Who may do what with the table, or with one column of it, besides its owner; role is null for PUBLIC.
SELECT a.privilege_type AS privilege, a.is_grantable, r.rolname AS role, given.attname AS column
  FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL (SELECT c.relacl AS acl, NULL::text AS attname
                      UNION ALL
                     SELECT attacl, attname::text FROM pg_attribute
                      WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS given
 CROSS JOIN aclexplode(given.acl) AS a
  LEFT JOIN pg_roles AS r ON r.oid = a.grantee
 WHERE n.nspname = %(schema)s AND c.relname = %(table)s AND a.grantee <> c.relowner;

-- default_grants
-- What tables that this role makes in the schema are to grant.
SELECT a.privilege_type AS privilege, a.is_grantable, r.rolname AS role, NULL AS column
  FROM pg_default_acl AS d
 CROSS JOIN aclexplode(d.defaclacl) AS a
  LEFT JOIN pg_roles AS r ON r.oid = a.grantee
 WHERE d.defaclnamespace = to_regnamespace(%(schema)s) AND d.defaclobjtype = 'r'
   AND d.defaclrole = current_user::regrole AND a.grantee <> d.defaclrole;

-- columns
SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type
  FROM pg_attribute AS a
  JOIN pg_class AS c ON c.oid = a.attrelid
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE n.nspname = %(schema)s AND c.relname = %(table)s AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum;

-- published_by
-- Which run's table this is. No row: it is not there any more, or was not published by the app.
SELECT m.job_id, m.run, m.feature_count, m.bbox
  FROM geo.table_metadata AS m
  JOIN pg_class AS c ON c.relname = m.table_name
  JOIN pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = m.schema_name
 WHERE m.schema_name = %(schema)s AND m.table_name = %(table)s;

-- publication
-- What the app published under the name, whether its table is still there or not.
SELECT job_id, run, feature_count AS rows, geometry_type, bbox, stac_collection, stac_item
  FROM geo.table_metadata
 WHERE schema_name = %(schema)s AND table_name = %(table)s;

-- forget_publication
DELETE FROM geo.table_metadata WHERE schema_name = %(schema)s AND table_name = %(table)s;

-- record_publication
INSERT INTO geo.table_metadata (
    schema_name, table_name, job_id, run, title, description, attribution, license, keywords, feature_count,
    geometry_type, srid, bbox, columns, source, temporal_property, temporal_start, temporal_end,
    stac_collection, stac_item, published_at)
VALUES (
    %(schema)s, %(table)s, %(job_id)s, %(run)s, %(title)s, %(description)s, %(attribution)s, %(license)s,
    %(keywords)s, %(rows)s, %(geometry_type)s, %(srid)s, %(bbox)s, %(columns)s::jsonb, %(source)s,
    %(temporal_property)s, %(temporal_start)s, %(temporal_end)s, %(stac_collection)s, %(stac_item)s, now())
ON CONFLICT (schema_name, table_name) DO UPDATE
   SET (job_id, run, title, description, attribution, license, keywords, feature_count, geometry_type, srid, bbox,
        columns, source, temporal_property, temporal_start, temporal_end, stac_collection, stac_item, published_at)
     = (excluded.job_id, excluded.run, excluded.title, excluded.description, excluded.attribution, excluded.license,
        excluded.keywords, excluded.feature_count, excluded.geometry_type, excluded.srid, excluded.bbox,
        excluded.columns, excluded.source, excluded.temporal_property, excluded.temporal_start,
        excluded.temporal_end, excluded.stac_collection, excluded.stac_item, excluded.published_at);

-- pgstac_there
-- Asked of the system catalog: a name in a schema one may not use is an error.
SELECT EXISTS (SELECT FROM pg_proc WHERE pronamespace = to_regnamespace('pgstac') AND proname = 'upsert_item') AS there,
       coalesce(has_schema_privilege(to_regnamespace('pgstac')::oid, 'USAGE'), false) AS allowed;

-- pgstac_search_path
-- pgSTAC's functions expect it; it ends with the transaction.
SET LOCAL search_path = pgstac, public;

-- plain_search_path
SET LOCAL search_path = DEFAULT;

-- lock_catalog
-- One writer of the catalog at a time; ends with the transaction.
SELECT pg_advisory_xact_lock(hashtextextended('pgstac', 3));

-- has_collection
SELECT id FROM pgstac.collections WHERE id = %(id)s;

-- upsert_collection
SELECT pgstac.upsert_collection(%(collection)s);

-- upsert_item
SELECT pgstac.upsert_item(%(item)s);

-- has_item
SELECT id FROM pgstac.items WHERE collection = %(collection)s AND id = %(id)s;

-- delete_item
SELECT pgstac.delete_item(%(id)s, %(collection)s);

-- versions
SELECT current_setting('server_version') AS postgres,
       (SELECT extversion FROM pg_extension WHERE extname = 'postgis') AS postgis,
       coalesce(has_schema_privilege(to_regnamespace('pgstac')::oid, 'USAGE'), false) AS pgstac;

-- pgstac_version
SELECT pgstac.get_version() AS version;

-- limit_lock_wait
-- Longer than deadlock_timeout: that is when Postgres ends an autovacuum that is in the way.
SELECT set_config(
    'lock_timeout',
    (1000 * extract(epoch FROM current_setting('deadlock_timeout')::interval) + 500)::int::text,
    true
);
