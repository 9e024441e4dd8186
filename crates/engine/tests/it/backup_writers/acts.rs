//! What writers do: each act keeps all promises of `schema.sql`, whether it is done or given up.

use rand::RngExt as _;
use rand::rngs::StdRng;

/// Who acts, and for the how manieth time: names nobody else uses.
pub(super) type By = (u64, u64);

/// A kind of acts.
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// How often it is chosen, compared with others.
    pub(super) weight: u32,
    /// A snapshot does not keep what it changes, so that a backup may have to begin anew: done a few times for each backup.
    pub(super) rare: bool,
    /// Statements, sent one by one.
    pub(super) act: fn(&mut StdRng, By) -> Vec<String>,
}

const fn kind(name: &'static str, weight: u32, act: fn(&mut StdRng, By) -> Vec<String>) -> Kind {
    Kind { name, weight, rare: false, act }
}

const fn rare(name: &'static str, act: fn(&mut StdRng, By) -> Vec<String>) -> Kind {
    Kind { name, weight: 20, rare: true, act }
}

/// All kinds. The first needs no locks that others have for long.
pub(super) const KINDS: [Kind; 28] = [
    kind("transfer", 150, |random, _| transaction(moved(random), "COMMIT")),
    kind("transfer taken back", 20, |random, _| transaction(moved(random), "ROLLBACK")),
    kind("savepoints", 20, savepoints),
    kind("many subtransactions", 6, subtransactions),
    kind("prepare", 15, |random, (writer, number)| {
        transaction(moved(random), &format!("PREPARE TRANSACTION 'w{writer}_{number}'"))
    }),
    // Its one row is a statement to be run.
    kind(SETTLE, 25, |_, _| {
        one(
            "SELECT format('%s PREPARED %L', (ARRAY['COMMIT', 'ROLLBACK'])[1 + floor(random() * 2)::int], gid) \
             FROM pg_prepared_xacts ORDER BY random() LIMIT 1",
        )
    }),
    kind("truncate", 3, |_, _| {
        [
            "BEGIN",
            "LOCK accounts, journal IN ACCESS EXCLUSIVE MODE",
            "UPDATE accounts SET base = balance",
            "TRUNCATE journal",
            "COMMIT",
        ]
        .map(str::to_owned)
        .to_vec()
    }),
    kind("vacuum full", 2, |random, _| {
        let tables = ["accounts", "documents", "pg_largeobject", "felt"];
        vec![format!("VACUUM FULL {}", tables[random.random_range(0..tables.len())])]
    }),
    kind("rewrite", 2, |random, _| {
        let kinds = ["text", "varchar(300)", "varchar(400)"];
        vec![format!("ALTER TABLE journal ALTER pad TYPE {}", kinds[random.random_range(0..3)])]
    }),
    kind("index", 2, |_, (writer, number)| {
        let name = format!("i{writer}_{number}");
        vec![
            format!("CREATE INDEX {name} ON journal (giver)"),
            "REINDEX TABLE accounts".to_owned(),
            format!("DROP INDEX {name}"),
        ]
    }),
    kind("table", 3, |_, (writer, number)| {
        let name = format!("t{writer}_{number}");
        vec![format!("CREATE TABLE {name} AS SELECT * FROM accounts"), format!("DROP TABLE {name}")]
    }),
    kind("large object made", 20, |random, _| {
        vec![format!(
            "INSERT INTO documents (content, md5) SELECT lo_from_bytea(0, bytes), md5(bytes) FROM (\
             SELECT decode(repeat(md5(random()::text), {}), 'hex') AS bytes OFFSET 0) AS x",
            random.random_range(1..8000)
        )]
    }),
    kind("large object written", 20, |random, _| {
        let at = random.random_range(0..150_000);
        document(&format!(
            "PERFORM lo_put(d.content, {at}, decode(md5(random()::text), 'hex')); \
             UPDATE documents SET md5 = md5(lo_get(content)) WHERE id = d.id"
        ))
    }),
    kind("large object removed", 19, |_, _| {
        document("PERFORM lo_unlink(d.content); DELETE FROM documents WHERE id = d.id")
    }),
    kind("ticket", 40, |_, _| one("INSERT INTO ticketed SELECT FROM generate_series(1, 3)")),
    rare("sequence restarted", |_, _| {
        transaction(
            vec![
                "LOCK ticketed IN SHARE ROW EXCLUSIVE MODE".to_owned(),
                "DELETE FROM ticketed".to_owned(),
                "ALTER SEQUENCE tickets RESTART".to_owned(),
            ],
            "COMMIT",
        )
    }),
    kind("share moved", 30, |random, _| {
        let ((from, to), amount) = (slots(random), random.random_range(1..50));
        transaction(
            vec![
                format!("INSERT INTO share_{from} VALUES ({from}, -{amount})"),
                format!("INSERT INTO share_{to} VALUES ({to}, {amount})"),
            ],
            "COMMIT",
        )
    }),
    kind("partition made", 8, |random, _| {
        let (from, to) = slots(random);
        vec![format!(
            "BEGIN; CREATE TABLE share_{to} (slot int NOT NULL, amount int NOT NULL); \
             INSERT INTO share_{to} VALUES ({to}, 7); INSERT INTO share_{from} VALUES ({from}, -7); COMMIT"
        )]
    }),
    kind("partition made in place", 2, |random, _| {
        let slot = slots(random).0;
        vec![format!("CREATE TABLE share_{slot} PARTITION OF shares FOR VALUES IN ({slot})")]
    }),
    kind("partition attached", 10, |random, _| {
        let slot = slots(random).0;
        vec![format!("ALTER TABLE shares ATTACH PARTITION share_{slot} FOR VALUES IN ({slot})")]
    }),
    kind("partition detached", 3, |random, _| {
        vec![format!("ALTER TABLE shares DETACH PARTITION share_{}", slots(random).0)]
    }),
    kind("partition detached concurrently", 2, |random, _| {
        let slot = slots(random).0;
        let [detach, end] = ["CONCURRENTLY", "FINALIZE"]
            .map(|how| format!("ALTER TABLE shares DETACH PARTITION share_{slot} {how}"));
        // One that could not wait for others is left for whoever comes next.
        if random.random() { vec![detach] } else { vec![end] }
    }),
    kind("partition dropped", 4, |random, _| {
        let (from, to) = slots(random);
        transaction(
            vec![
                format!("LOCK share_{from} IN ACCESS EXCLUSIVE MODE"),
                format!(
                    "INSERT INTO share_{to} SELECT {to}, coalesce(sum(amount), 0) FROM share_{from}"
                ),
                format!("DROP TABLE share_{from}"),
            ],
            "COMMIT",
        )
    }),
    kind("feeling", 40, |random, _| {
        let amount = random.random_range(1..50);
        vec![format!(
            "INSERT INTO felt (number, mood, pair.a, pair.b) SELECT number, label::mood, {amount}, -{amount} FROM moods ORDER BY random() LIMIT 2"
        )]
    }),
    kind("label added", 3, |_, _| {
        block(
            "n int",
            "LOCK moods, felt IN SHARE ROW EXCLUSIVE MODE; SELECT count(*) INTO n FROM moods; IF n < 50 THEN \
             EXECUTE format('ALTER TYPE mood ADD VALUE %L', 'm' || n); INSERT INTO moods VALUES (n, 'm' || n); END IF",
        )
    }),
    rare("labels swapped", |_, _| {
        block(
            "a text; b text",
            "LOCK moods, felt IN SHARE ROW EXCLUSIVE MODE; SELECT label INTO a FROM moods WHERE number = 0; \
             SELECT label INTO b FROM moods WHERE number = 1; EXECUTE format('ALTER TYPE mood RENAME VALUE %L TO ''x''', a); \
             EXECUTE format('ALTER TYPE mood RENAME VALUE %L TO %L', b, a); EXECUTE format('ALTER TYPE mood RENAME VALUE ''x'' TO %L', b); \
             UPDATE moods SET label = CASE number WHEN 0 THEN b ELSE a END WHERE number < 2",
        )
    }),
    rare("attribute added or dropped", |_, _| {
        block(
            "n int",
            "UPDATE attributes SET added = (added + 1) % 4 RETURNING added INTO n; IF n > 0 THEN \
             EXECUTE format('ALTER TYPE pair ADD ATTRIBUTE c%s int', n); ELSE \
             ALTER TYPE pair DROP ATTRIBUTE c1, DROP ATTRIBUTE c2, DROP ATTRIBUTE c3; END IF",
        )
    }),
    rare("schemas swapped", |_, _| {
        transaction(
            vec![
                "ALTER SCHEMA one RENAME TO three".to_owned(),
                "ALTER SCHEMA two RENAME TO one".to_owned(),
                "ALTER SCHEMA three RENAME TO two".to_owned(),
                "UPDATE houses SET tenant = 3 - tenant".to_owned(),
            ],
            "COMMIT",
        )
    }),
];

/// The kind that ends transactions which were prepared.
pub(super) const SETTLE: &str = "settle";

/// Partitions that may be there.
const SLOTS: u32 = 6;
/// Accounts from here on are those of transactions that stay open for long.
pub(super) const ACCOUNTS: u32 = 100;

fn one(statement: &str) -> Vec<String> {
    vec![statement.to_owned()]
}

fn transaction(statements: Vec<String>, end: &str) -> Vec<String> {
    let mut all = one("BEGIN");
    all.extend(statements);
    all.push(end.to_owned());
    all
}

fn block(variables: &str, body: &str) -> Vec<String> {
    vec![format!("DO $$ DECLARE {variables}; BEGIN {body}; END $$")]
}

/// Does something with one of the documents that nobody else is at.
fn document(body: &str) -> Vec<String> {
    block(
        "d documents",
        &format!(
            "SELECT * INTO d FROM documents ORDER BY random() LIMIT 1 FOR UPDATE SKIP LOCKED; IF d.id IS NOT NULL THEN {body}; END IF"
        ),
    )
}

/// Two that differ.
fn slots(random: &mut StdRng) -> (u32, u32) {
    let first = random.random_range(0..SLOTS);
    (first, (first + random.random_range(1..SLOTS)) % SLOTS)
}

/// Moves money between two accounts.
pub(super) fn transfer(giver: u32, receiver: u32, amount: u32) -> Vec<String> {
    vec![
        format!("UPDATE accounts SET balance = balance - {amount} WHERE id = {giver}"),
        format!("UPDATE accounts SET balance = balance + {amount} WHERE id = {receiver}"),
        format!(
            "INSERT INTO journal (giver, receiver, amount) VALUES ({giver}, {receiver}, {amount})"
        ),
    ]
}

fn moved(random: &mut StdRng) -> Vec<String> {
    let (giver, receiver) = (random.random_range(0..ACCOUNTS), random.random_range(0..ACCOUNTS));
    transfer(giver, receiver, random.random_range(1..50))
}

fn savepoints(random: &mut StdRng, _: By) -> Vec<String> {
    let mut statements = moved(random);
    statements.push("SAVEPOINT s".to_owned());
    statements.extend(moved(random));
    statements.push("ROLLBACK TO s".to_owned());
    transaction(statements, "COMMIT")
}

/// More than a server keeps in memory of one session (`PGPROC_MAX_CACHED_SUBXIDS`, 64), a few of them taken back.
fn subtransactions(random: &mut StdRng, _: By) -> Vec<String> {
    let body =
        transfer(random.random_range(0..ACCOUNTS), random.random_range(0..ACCOUNTS), 1).join("; ");
    block(
        "i int",
        &format!(
            "FOR i IN 1..80 LOOP BEGIN {body}; IF i % 9 = 0 THEN RAISE EXCEPTION 'no'; END IF; \
             EXCEPTION WHEN raise_exception THEN NULL; END; END LOOP"
        ),
    )
}
