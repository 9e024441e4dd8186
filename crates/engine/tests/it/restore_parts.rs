//! Parts of a recovery point, roles under other names, and secrets that stay behind.

use std::collections::BTreeMap;

use coffer_engine::manifest::Warning;
use coffer_engine::{Error, RestoreRequest, RoleMap, SelectedItem, Selection};

use crate::restore_files::pg_restore;
use crate::restore_support::{assert_same, dump, dump_with};
use crate::support::{DATABASE, Fixture};

/// Kind, schema and name of all that is in a database's own schemas, and of its constraints and triggers.
const INVENTORY: &str = "SELECT string_agg(line, E'\\n' ORDER BY line) FROM (
   SELECT c.relkind::text || ' ' || n.nspname || '.' || c.relname AS line FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname IN ('a', 'b') AND c.relkind NOT IN ('i', 'I', 'c')
   UNION ALL SELECT 'con ' || conrelid::regclass || ' ' || conname FROM pg_constraint WHERE conrelid <> 0 AND contype <> 'n'
     AND connamespace::regnamespace::text IN ('a', 'b')
   UNION ALL SELECT 'trg ' || tgrelid::regclass || ' ' || tgname FROM pg_trigger WHERE NOT tgisinternal
   UNION ALL SELECT 'fun ' || p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace::regnamespace::text IN ('a', 'b')
     AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
   UNION ALL SELECT 'ext ' || extname FROM pg_extension WHERE extname <> 'plpgsql') AS x(line)";

fn table(schema: &str, name: &str) -> SelectedItem {
    SelectedItem::Table { schema: schema.to_owned(), name: name.to_owned() }
}

fn part(items: &[SelectedItem]) -> Selection {
    Selection { items: items.to_vec(), large_objects: false, ..Selection::default() }
}

fn codes(warnings: &[Warning]) -> Vec<&str> {
    warnings.iter().map(|warning| warning.code.as_str()).collect()
}

struct Source {
    fixture: Fixture,
    point: String,
}

impl Source {
    async fn start() -> Self {
        let fixture = Fixture::start().await;
        fixture.sql(include_str!("parts.sql"));
        let (backup, _) = fixture.backup().await;
        Self { fixture, point: backup.recovery_point_id }
    }

    fn request(&self, selection: Selection) -> RestoreRequest {
        RestoreRequest { selection, ..self.fixture.restore_request(&self.point, "copy") }
    }

    fn ask(&self, sql: &str) -> String {
        self.fixture.server.psql("copy", sql).expect(sql)
    }

    /// What the stock tools make of the part's files.
    async fn through_files(&self, selection: Selection) -> Vec<String> {
        let mut request = self.fixture.files_request(&self.point, "archive");
        request.selection = selection;
        let outcome = self.fixture.files_of(request).await.expect("files");
        assert!(outcome.proof.equal);
        self.fixture.server.create_database("from_files").expect("a database");
        let uri = self.fixture.server.uri("from_files");
        let arguments = ["--exit-on-error", "-j2", "--dbname", uri.as_str()];
        pg_restore(&self.fixture.server, &arguments, &outcome.path);
        dump_with(&self.fixture.server, "from_files", &[])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_comes_whole_and_without_what_needs_other_tables() {
    let source = Source::start().await;
    let selection = part(&[SelectedItem::Schema("a".to_owned())]);
    let outcome = source.fixture.restore(source.request(selection)).await.expect("a restore");
    assert!(outcome.proof.equal);
    assert_eq!(
        codes(&outcome.warnings),
        ["LeftOutOfSelection", "LargeObjectsLeftOut"],
        "{:?}",
        outcome.warnings
    );
    // Named: what a person has to do without.
    let left_out = &outcome.warnings[0].message;
    for name in [
        "view a.v",
        "view a.w",
        "function a.uses(\"b\".\"customers\")",
        "fk constraint a.orders orders_cust_fkey",
    ] {
        assert!(left_out.contains(name), "{name}: {left_out}");
    }
    let names = left_out.split_once(": ").expect("names").1;
    assert_eq!(names.split(", ").count(), 4, "{left_out}");
    assert_eq!(
        source.ask(INVENTORY),
        "S a.free\nS a.orders_id_seq\nS a.sq\ncon a.orders orders_pkey\ncon a.part part_pkey\ncon a.part2 part2_pkey\n\
         con a.pkuse pkuse_pkey\ncon b.part1 part1_pkey\next citext\next hstore\nf a.ft\nfun b.f(integer)\nfun b.trg()\n\
         m a.mv\np a.part\nr a.orders\nr a.parent\nr a.part2\nr a.pkuse\nr b.part1\ntrg a.orders t\nv a.grp\nv a.own"
    );
    let rest = "SELECT (SELECT count(*) FROM a.orders), (SELECT count(*) FROM a.part), (SELECT n FROM a.mv), nextval('a.free'), \
         (SELECT count(*) FROM pg_policies), (SELECT count(*) FROM pg_publication), obj_description('a'::regnamespace), \
         col_description('a.orders'::regclass, 1), has_table_privilege('alice', 'a.orders', 'SELECT WITH GRANT OPTION'), \
         has_schema_privilege('alice', 'a', 'USAGE'), (SELECT count(*) FROM pg_default_acl), (SELECT count(*) FROM pg_user_mapping), \
         to_regclass('a.orders_f_idx') IS NOT NULL, (SELECT count(*) FROM pg_statistic_ext), (SELECT count(*) FROM pg_largeobject_metadata)";
    assert_eq!(source.ask(rest), "50|3|50|78|1|0|the a|number|t|t|1|1|t|1|0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_brings_what_it_needs() {
    let source = Source::start().await;
    let selection = part(&[table("b", "child"), table("b", "customers"), table("b", "part1")]);
    let outcome =
        source.fixture.restore(source.request(selection.clone())).await.expect("a restore");
    assert_eq!(
        codes(&outcome.warnings),
        ["SelectionExtended", "PartitionAlone", "LargeObjectsLeftOut"],
        "{:?}",
        outcome.warnings
    );
    assert!(outcome.warnings[0].message.ends_with(": table a.parent"), "{:?}", outcome.warnings);
    assert!(outcome.warnings[1].message.ends_with(": table b.part1"), "{:?}", outcome.warnings);
    assert_eq!(
        source.ask(INVENTORY),
        "S b.customers_id_seq\ncon b.customers customers_pkey\ncon b.part1 part1_pkey\next citext\nfun b.f(integer)\n\
         r a.parent\nr b.child\nr b.customers\nr b.part1"
    );
    let by_tools = source.through_files(selection).await;
    assert_same(&dump_with(&source.fixture.server, "copy", &[]), &by_tools);
    let rest = "SELECT (SELECT count(*) FROM a.parent), (SELECT count(*) FROM b.part1), nextval('b.customers_id_seq'), \
         pg_get_userbyid(relowner), has_column_privilege('bob', 'b.customers', 'id', 'SELECT'), \
         (SELECT count(*) FROM b.customers WHERE m = 'x') FROM pg_class WHERE oid = 'b.customers'::regclass";
    assert_eq!(source.ask(rest), "3|1|51|alice|t|50");
    assert_eq!((outcome.proof.tables, outcome.rows), (4, 54));
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_can_be_chosen_by_the_beginning_of_their_names() {
    let source = Source::start().await;
    let prefix =
        SelectedItem::TablesWithPrefix { schema: "a".to_owned(), prefix: "par".to_owned() };
    let mut selection = part(&[prefix]);
    selection.large_objects = true;
    let outcome = source.fixture.restore(source.request(selection)).await.expect("a restore");
    assert_eq!(codes(&outcome.warnings), [""; 0], "{:?}", outcome.warnings);
    assert_eq!(
        source.ask(INVENTORY),
        "con a.part part_pkey\ncon a.part2 part2_pkey\ncon b.part1 part1_pkey\np a.part\nr a.parent\nr a.part2\nr b.part1"
    );
    assert_eq!(
        source.ask("SELECT encode(lo_get(4711), 'hex'), (SELECT count(*) FROM a.part)"),
        "0102|3"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_refused_before_anything_is_written() {
    let source = Source::start().await;
    let items = [table("a", "orders"), table("a", "v"), SelectedItem::Schema("A".to_owned())];
    let refused = source.fixture.restore(source.request(part(&items))).await;
    let Err(Error::Preflight(problems)) = refused else { panic!("{refused:?}") };
    let found: Vec<_> =
        problems.iter().map(|problem| (problem.code.as_str(), problem.object.as_str())).collect();
    assert_eq!(found, [("NotInRecoveryPoint", "table a.v"), ("NotInRecoveryPoint", "schema A")]);
    let mut request = source.fixture.files_request(&source.point, "archive");
    request.selection = part(&items);
    assert!(matches!(source.fixture.files_of(request).await, Err(Error::Preflight(_))));
    assert!(!source.fixture.server.databases().expect("databases").contains(&"copy".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_come_back_under_other_names() {
    let source = Source::start().await;
    let names = [("alice", "Anna"), ("bob", "on"), ("odd \" to", "oddity")];
    let map =
        RoleMap::new(BTreeMap::from(names.map(|(from, to)| (from.to_owned(), to.to_owned()))));
    let target = Fixture::start().await;
    let mut request = source.request(Selection::default());
    request.target = target.source().with_database("postgres");
    request.role_map = map.clone();
    let refused = source.fixture.restore(request.clone()).await;
    let Err(Error::Preflight(problems)) = refused else { panic!("{refused:?}") };
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems.iter().all(|problem| problem.code == "MappedRoleMissing"));

    target.sql("CREATE ROLE \"Anna\"; CREATE ROLE \"on\"; CREATE ROLE oddity");
    let outcome = source.fixture.restore(request).await.expect("a restore");
    assert_eq!(codes(&outcome.warnings), [""; 0], "{:?}", outcome.warnings);
    let old = target
        .server
        .psql("copy", "SELECT count(*) FROM pg_roles WHERE rolname IN ('alice', 'bob')");
    assert_eq!(old.expect("roles"), "0");
    let as_in_target = |lines: Vec<String>| -> Vec<String> {
        let mut lines: Vec<_> = lines
            .into_iter()
            .map(|line| {
                let line = line.replace("\"odd \"\" to\"", "oddity");
                // Not in texts: the comment has a name as well.
                if line.contains("IS '") || line.contains("\"user\"") {
                    return line;
                }
                let quote = if line.starts_with("--") { "" } else { "\"" };
                line.replace("alice", &format!("{quote}Anna{quote}"))
                    .replace("bob", &format!("{quote}on{quote}"))
            })
            .collect();
        lines.sort();
        lines
    };
    // Privileges are listed in the order of the roles' numbers; the lines are the same.
    assert_same(
        &as_in_target(dump(&source.fixture.server, DATABASE)),
        &as_in_target(dump(&target.server, "copy")),
    );
    // The archive's roles are mapped as well: with the roles of the target alone, the stock tool has no error.
    let mut files = source.fixture.files_request(&source.point, "archive");
    files.role_map = map;
    let files = source.fixture.files_of(files).await.expect("files");
    target.server.create_database("from_files").expect("a database");
    let uri = target.server.uri("from_files");
    pg_restore(&target.server, &["--exit-on-error", "--dbname", uri.as_str()], &files.path);
}

#[tokio::test(flavor = "multi_thread")]
async fn user_mappings_can_stay_behind() {
    let source = Source::start().await;
    let selection = Selection { user_mappings: false, ..Selection::default() };
    let outcome = source.fixture.restore(source.request(selection)).await.expect("a restore");
    assert_eq!(codes(&outcome.warnings), ["UserMappingsLeftOut"]);
    assert!(outcome.warnings[0].message.ends_with("alice SERVER s"), "{:?}", outcome.warnings);
    assert_eq!(source.ask("SELECT count(*) FROM pg_user_mapping"), "0");

    // Left out of the recovery point: no restore can bring them back, and no byte of it holds the password.
    let mut request = source.fixture.request();
    request.options.user_mappings = false;
    let backup = source.fixture.run(request).await.expect("a backup");
    assert!(codes(&backup.warnings).contains(&"UserMappingsLeftOut"), "{:?}", backup.warnings);
    let manifest = source.fixture.manifest(&backup.recovery_point_id).await;
    let toc = source.fixture.bytes(&manifest.schema.toc).await;
    let holds = |bytes: &[u8]| bytes.windows(7).any(|window| window == b"hunter2");
    assert!(!holds(&toc));
    let kept = source.fixture.manifest(&source.point).await;
    assert!(holds(&source.fixture.bytes(&kept.schema.toc).await), "else the test sees nothing");
}
