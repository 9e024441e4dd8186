-- One line for each broken promise of the schema: none in any one state of the database.
SELECT 'balance of account ' || a.id FROM accounts a
    LEFT JOIN (SELECT giver, sum(amount) AS amount FROM journal GROUP BY 1) g ON g.giver = a.id
    LEFT JOIN (SELECT receiver, sum(amount) AS amount FROM journal GROUP BY 1) r ON r.receiver = a.id
    WHERE a.balance <> a.base + coalesce(r.amount, 0) - coalesce(g.amount, 0)
UNION ALL SELECT 'sum of balances ' || sum(balance) || ' of ' || count(*) FROM accounts HAVING (sum(balance), count(*)) <> (120000, 120)
UNION ALL SELECT 'content of large object ' || d.content FROM documents d LEFT JOIN pg_largeobject_metadata m ON m.oid = d.content
    WHERE CASE WHEN m.oid IS NULL THEN true ELSE md5(lo_get(m.oid)) <> d.md5 END
UNION ALL SELECT 'large object without a row ' || m.oid FROM pg_largeobject_metadata m
    WHERE NOT EXISTS (SELECT FROM documents d WHERE d.content = m.oid)
UNION ALL SELECT 'position of a sequence ' || name || ' ' || max || ' above ' || coalesce(position, 0) FROM (
    SELECT 'tickets' AS name, (SELECT max(id) FROM ticketed), pg_sequence_last_value('tickets') AS position
    UNION ALL SELECT 'journal', (SELECT max(id) FROM journal), pg_sequence_last_value('journal_id_seq')
    UNION ALL SELECT 'documents', (SELECT max(id) FROM documents), pg_sequence_last_value('documents_id_seq')
    UNION ALL SELECT 'felt', (SELECT max(id) FROM felt), pg_sequence_last_value('felt_id_seq')) AS x
    WHERE max > coalesce(position, 0)
UNION ALL SELECT 'sum of shares ' || total_of_shares() WHERE total_of_shares() <> 5000
UNION ALL SELECT 'label of ' || f.id || ' is ' || f.mood FROM felt f LEFT JOIN moods m USING (number) WHERE f.mood::text IS DISTINCT FROM m.label
UNION ALL SELECT 'labels ' || count(*) FROM moods
    HAVING count(*) <> (SELECT count(*) FROM pg_enum WHERE enumtypid = 'mood'::regtype)
UNION ALL SELECT 'pair ' || f.pair::text FROM felt f WHERE (f.pair).a + (f.pair).b IS DISTINCT FROM 0
UNION ALL SELECT 'attributes ' || added FROM attributes WHERE 2 + added <> (SELECT count(*) FROM pg_attribute a
    JOIN pg_type t ON t.typrelid = a.attrelid WHERE t.oid = 'pair'::regtype AND a.attnum > 0 AND NOT a.attisdropped)
UNION ALL SELECT 'tenants of ' || h.schema FROM houses h
    JOIN (SELECT 'one' AS schema, min(tenant), max(tenant), count(*) FROM one.tenants
          UNION ALL SELECT 'two', min(tenant), max(tenant), count(*) FROM two.tenants) t USING (schema)
    WHERE (t.min, t.max, t.count) <> (h.tenant, h.tenant, 50)
