-- published_tables
-- Of the schemas $1, the tables that the app published and that are there; of these $2 alone, unless it is null, as
-- schema.table. Types as format_type tells them. Asked through asyncpg, which numbers its parameters.
SELECT m.schema_name, m.table_name, m.title, m.description, m.geometry_type, m.srid, m.bbox,
       m.temporal_property, m.temporal_start, m.temporal_end, shown.columns
  FROM geo.table_metadata AS m
  JOIN pg_namespace AS n ON n.nspname = m.schema_name
  JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = m.table_name AND c.relkind = 'r'
 CROSS JOIN LATERAL (SELECT json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, NULL))
                                     ORDER BY a.attnum) AS columns
                       FROM pg_attribute AS a
                      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                        AND a.attname <> 'etl_batch_id') AS shown
 WHERE m.schema_name = ANY($1) AND ($2::text IS NULL OR m.schema_name || '.' || m.table_name = $2)
 ORDER BY m.schema_name, m.table_name;

-- standing_publications
-- Of the tables named schema.table, those that are published, with their STAC items.
SELECT schema_name || '.' || table_name AS name, stac_collection, stac_item
  FROM geo.table_metadata
 WHERE schema_name || '.' || table_name = ANY(%(names)s);
