-- published_tables
-- What was published of the schemas and is there still; of these one alone, unless %(name)s is null: schema.table.
SELECT m.schema_name || '.' || m.table_name AS name, m.title, m.description, m.attribution, m.license, m.keywords,
       m.feature_count AS rows, m.geometry_type, m.srid, m.bbox, m.columns, m.source, m.stac_collection, m.stac_item,
       m.temporal_start, m.temporal_end, m.published_at, m.job_id
  FROM geo.table_metadata AS m
  JOIN pg_namespace AS n ON n.nspname = m.schema_name
  JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = m.table_name AND c.relkind = 'r'
 WHERE m.schema_name = ANY(%(schemas)s)
   AND (%(name)s::text IS NULL OR m.schema_name || '.' || m.table_name = %(name)s)
 ORDER BY m.published_at DESC, 1
 LIMIT %(limit)s;
