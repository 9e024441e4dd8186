-- Everything that the catalogs know of a database's own objects, one line each: kind, identity, state. What must differ after
-- a restore (numbers, files, statistics, places of columns after dropped ones) is left out, and nothing else.
SET search_path = ''; SET TimeZone = 'UTC'; SET extra_float_digits = 3; SET row_security = off; SET bytea_output = hex; SET client_min_messages = error;
CREATE FUNCTION pg_temp.state(catalog regclass, r jsonb) RETURNS text LANGUAGE sql AS $$
  SELECT coalesce(string_agg(key || '=' || CASE
      WHEN value IS NULL OR value = 'null' THEN '-'
      WHEN a.atttypid = 'aclitem[]'::regtype THEN (SELECT coalesce(string_agg(x, ' ' ORDER BY x), '{}') FROM pg_catalog.jsonb_array_elements_text(value) x)
      WHEN a.atttypid IN ('oid'::regtype) THEN pg_catalog.pg_get_userbyid((value #>> '{}')::oid)
      -- pg_dump sorts options.
      WHEN a.attname LIKE '%options' THEN (SELECT string_agg(x, ' ' ORDER BY x) FROM pg_catalog.jsonb_array_elements_text(value) x)
      WHEN a.atttypid = 'regproc'::regtype THEN value #>> '{}'
      ELSE value::text END, ' ' ORDER BY key COLLATE "C"), '')
  FROM pg_catalog.jsonb_each(r) JOIN pg_catalog.pg_attribute a ON a.attrelid = catalog AND a.attname = key
  WHERE (a.atttypid <> ALL ('{oid,oid[],oidvector,pg_node_tree,xid,int2vector,int2[],anyarray,pg_lsn}'::regtype[]) OR a.attname LIKE '%owner' OR a.attname IN ('lomowner', 'nspowner'))
    AND a.attname NOT IN ('relpages', 'reltuples', 'relallvisible', 'relallfrozen', 'relnatts', 'relchecks', 'relhasindex', 'relhasrules', 'relhastriggers', 'relhassubclass', 'attnum', 'attcacheoff', 'atthasmissing',
      'attislocal', 'attinhcount', 'adnum', 'attndims', 'enumsortorder', 'indcheckxmin', 'coninhcount', 'conislocal', 'subconninfo', 'subskiplsn', 'typarray', 'objsubid', 'refobjsubid', 'subenabled') $$;
CREATE FUNCTION pg_temp.objects() RETURNS TABLE (kind text, identity text, state text) LANGUAGE plpgsql AS $$
DECLARE c text; BEGIN
  FOREACH c IN ARRAY '{pg_class,pg_type,pg_proc,pg_namespace,pg_constraint,pg_trigger,pg_rewrite,pg_policy,pg_extension,pg_language,pg_operator,pg_opclass,pg_opfamily,pg_amop,pg_amproc,pg_cast,pg_conversion,pg_collation,pg_am,
    pg_ts_config,pg_ts_dict,pg_ts_parser,pg_ts_template,pg_foreign_data_wrapper,pg_foreign_server,pg_user_mapping,pg_event_trigger,pg_publication,pg_subscription,pg_statistic_ext,pg_default_acl,pg_transform}'::text[] LOOP
    RETURN QUERY EXECUTE pg_catalog.format($q$
      SELECT %1$L::text, i.type || ' ' || i.identity, pg_temp.state('pg_catalog.%1$s'::regclass, to_jsonb(o)) || coalesce(' comment=' || pg_catalog.obj_description(o.oid, %1$L), '')
      FROM pg_catalog.%1$I o, pg_catalog.pg_identify_object('pg_catalog.%1$s'::regclass, o.oid, 0) i
      WHERE o.oid >= 16384 AND coalesce(i.schema, '') NOT LIKE 'pg\_t%%' AND i.identity NOT LIKE '%%pg_temp%%' AND i.identity NOT LIKE '%%pg_toast%%'
        AND NOT (%1$L = 'pg_subscription' AND (to_jsonb(o) ->> 'subdbid')::oid <> (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database()))
        -- Named by the server, by what the constraint's partition or key is.
        AND NOT (%1$L = 'pg_trigger' AND (to_jsonb(o) ->> 'tgisinternal')::bool) AND NOT (%1$L = 'pg_constraint' AND coalesce((to_jsonb(o) ->> 'conparentid')::oid, 0) <> 0)$q$, c);
  END LOOP; END $$;
SELECT * FROM pg_temp.objects();
SELECT 'column', a.attrelid::regclass || '.' || a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), pg_temp.state('pg_catalog.pg_attribute', to_jsonb(a)), pg_catalog.col_description(a.attrelid, a.attnum)
 FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid >= 16384 AND n.nspname !~ '^pg_';
SELECT 'index', i.indexrelid::regclass, pg_catalog.pg_get_indexdef(i.indexrelid), pg_temp.state('pg_catalog.pg_index', to_jsonb(i)) FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
 JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE i.indexrelid >= 16384 AND n.nspname !~ '^pg_';
SELECT 'sequence', s.seqrelid::regclass, pg_temp.state('pg_catalog.pg_sequence', to_jsonb(s)), pg_catalog.pg_sequence_last_value(s.seqrelid), (SELECT d.refobjid::regclass || '.' || d.refobjsubid::text FROM pg_catalog.pg_depend d
  WHERE d.objid = s.seqrelid AND d.classid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refclassid = 'pg_catalog.pg_class'::regclass) IS NOT NULL FROM pg_catalog.pg_sequence s;
SELECT 'inherits', i.inhrelid::regclass, i.inhparent::regclass, i.inhseqno, pg_catalog.pg_get_expr(c.relpartbound, c.oid) FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid;
SELECT 'constraint text', conrelid::regclass, conname, pg_catalog.pg_get_constraintdef(oid) FROM pg_catalog.pg_constraint WHERE oid >= 16384 AND conparentid = 0;
SELECT 'trigger text', tgrelid::regclass, pg_catalog.pg_get_triggerdef(oid) FROM pg_catalog.pg_trigger WHERE NOT tgisinternal;
SELECT 'view text', ev_class::regclass, rulename, pg_catalog.pg_get_ruledef(oid) FROM pg_catalog.pg_rewrite WHERE oid >= 16384;
SELECT 'default', d.adrelid::regclass, a.attname, pg_catalog.pg_get_expr(d.adbin, d.adrelid) FROM pg_catalog.pg_attrdef d JOIN pg_catalog.pg_attribute a ON (a.attrelid, a.attnum) = (d.adrelid, d.adnum);
SELECT 'labels', enumtypid::regtype, string_agg(pg_catalog.quote_literal(enumlabel), ',' ORDER BY enumsortorder) FROM pg_catalog.pg_enum WHERE enumtypid >= 16384 GROUP BY 2;
SELECT 'statistics', stxname, pg_catalog.pg_get_statisticsobjdef(oid) FROM pg_catalog.pg_statistic_ext;
SELECT 'policy', polrelid::regclass, polname, (SELECT string_agg(r::text, ' ' ORDER BY r::text) FROM unnest(polroles::regrole[]) r), pg_catalog.pg_get_expr(polqual, polrelid), pg_catalog.pg_get_expr(polwithcheck, polrelid) FROM pg_catalog.pg_policy;
SELECT 'published', p.pubname, r.prrelid::regclass FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid;
SELECT 'search', c.cfgname, m.maptokentype, m.mapseqno, m.mapdict::regdictionary FROM pg_catalog.pg_ts_config_map m JOIN pg_catalog.pg_ts_config c ON c.oid = m.mapcfg WHERE c.oid >= 16384;
SELECT 'first privileges', pg_catalog.pg_describe_object(classoid, objoid, objsubid), privtype, (SELECT string_agg(x::text, ' ' ORDER BY x::text) FROM unnest(initprivs) x) FROM pg_catalog.pg_init_privs WHERE objoid >= 16384;
SELECT 'of the system', p.oid::regprocedure, (SELECT string_agg(x::text, ' ' ORDER BY x::text) FROM unnest(proacl) x) FROM pg_catalog.pg_proc p WHERE p.oid < 16384 AND proacl IS NOT NULL;
SELECT 'of the system', a.attrelid::regclass, a.attname, a.attacl FROM pg_catalog.pg_attribute a WHERE a.attrelid < 16384 AND a.attacl IS NOT NULL;
SELECT 'database', pg_temp.state('pg_catalog.pg_database', to_jsonb(d) - '{datname,datfrozenxid,datminmxid}'::text[]), replace(pg_catalog.shobj_description(d.oid, 'pg_database'), E'\n', '\n') FROM pg_catalog.pg_database d WHERE d.datname = current_database();
SELECT 'setting', r.rolname, s.setconfig FROM pg_catalog.pg_db_role_setting s LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole WHERE s.setdatabase = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database());
SELECT 'large object', oid, pg_catalog.pg_get_userbyid(lomowner), pg_catalog.obj_description(oid, 'pg_largeobject'), pg_catalog.md5(pg_catalog.lo_get(oid)), (SELECT string_agg(x::text, ' ' ORDER BY x::text) FROM unnest(lomacl) x) FROM pg_catalog.pg_largeobject_metadata;
CREATE FUNCTION pg_temp.content(t regclass, whole bool) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text; BEGIN
  EXECUTE pg_catalog.format('SELECT count(*) || '' '' || coalesce(md5(string_agg(x::text, E''\n'' ORDER BY x::text COLLATE "C")), '''') FROM %s %s x', CASE WHEN whole THEN '' ELSE 'ONLY' END, t) INTO r; RETURN r;
EXCEPTION WHEN object_not_in_prerequisite_state THEN RETURN 'not populated'; END $$;
-- Not by leaf where rows are placed by the hash of an enum's label, which is its number's.
SELECT 'rows', c.oid::regclass, pg_temp.content(c.oid, c.relkind = 'p') FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'm', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relname !~ '^hashed_' AND c.relname <> 'half_far'
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e');
