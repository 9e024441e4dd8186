//! What `pg_restore` says on its error stream: every ignored error, told apart by what it cost.
//!
//! `pg_restore` goes on after an error and ends with status 1 and a count. Nothing of that may stay silent: an error that
//! lost an object fails the restore, one that only concerns owner, privileges or an extension's comment is a warning. The
//! judgement goes by the command, never by the server's words, which may be in any language. What is not understood counts
//! as a lost object.
//!
//! The text is foreign and may quote data or secrets: string constants of commands, and what the server tells of rows and of the
//! command's text, are taken out, and lengths are bounded.

/// Start of every message of the tool itself.
const TOOL: &str = "pg_restore: ";

/// What stands before the command that failed.
const COMMAND: &str = "Command was: ";

/// Longest text kept of one error, in characters.
const ERROR_CHARS_MAX: usize = 1_000;

/// What an ignored error cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// An owner, a grant, or the comment of an extension: the object itself is there.
    Attribute,
    /// An object is missing, or may be.
    Object,
}

/// One error of `pg_restore`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IgnoredError {
    /// What it cost.
    pub(crate) loss: Loss,
    /// For people, without secrets.
    pub(crate) text: String,
}

/// Everything that one run said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RestoreLog {
    /// In the order of appearance.
    pub(crate) errors: Vec<IgnoredError>,
}

impl RestoreLog {
    /// Reads the error stream of a run that ended with `success` or not.
    pub(crate) fn parse(stderr: &str, success: bool) -> Self {
        let mut errors = Vec::new();
        let mut counted = 0_usize;
        for message in messages(stderr) {
            if let Some(error) = message.strip_prefix("error: ") {
                errors.push(ignored_error(error));
            } else if let Some(count) = message.strip_prefix("warning: errors ignored on restore: ")
            {
                counted = counted.saturating_add(count.trim().parse().unwrap_or(usize::MAX));
            } else if let Some(warning) = message.strip_prefix("warning: ")
                && !success
                && warning.contains(COMMAND)
            {
                errors.push(ignored_error(warning));
            }
        }
        // With several jobs, each error is counted twice. A run that came to its end has counted; one that was killed, or gave up
        // for want of memory, has not, and nobody knows what it did not come to.
        let says_enough = |error: &IgnoredError| error.loss == Loss::Object;
        let ended_early = !success && counted == 0 && !errors.iter().any(says_enough);
        if counted > errors.len().saturating_mul(2) || ended_early {
            errors
                .push(IgnoredError { loss: Loss::Object, text: bounded(&without_details(stderr)) });
        }
        Self { errors }
    }
}

/// The messages of the tool: each from its prefix to the next line that has it.
fn messages(stderr: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in stderr.lines() {
        match (line.strip_prefix(TOOL), found.last_mut()) {
            (Some(start), _) => found.push(start.to_owned()),
            (None, Some(last)) => {
                last.push('\n');
                last.push_str(line);
            }
            (None, None) => {}
        }
    }
    found
}

fn ignored_error(message: &str) -> IgnoredError {
    let (said, command) = match message.split_once(COMMAND) {
        Some((said, command)) => (said, Some(command.trim())),
        None => (message, None),
    };
    // Jobs write side by side: a second error may stand in the middle of the first.
    let loss = match command {
        Some(command)
            if command.split(COMMAND).all(|command| only_an_attribute(command.trim())) =>
        {
            Loss::Attribute
        }
        _ => Loss::Object,
    };
    let said = without_details(said.strip_prefix("could not execute query: ").unwrap_or(said));
    let text = match command {
        Some(command) => format!("{} ({})", said.trim(), without_constants(command)),
        None => said.trim().to_owned(),
    };
    IgnoredError { loss, text: bounded(&text) }
}

/// Whether the command sets nothing but owner, privileges or an extension's comment. A permissive policy, which fails where a
/// role is missing, counts as one: row security stays on without it, so that less is seen, never more.
fn only_an_attribute(command: &str) -> bool {
    const PRIVILEGES: [&str; 5] = [
        "GRANT ",
        "REVOKE ",
        "ALTER DEFAULT PRIVILEGES ",
        "SET SESSION AUTHORIZATION ",
        "COMMENT ON EXTENSION ",
    ];
    // Of these pg_dump writes no other ALTER; a long argument list may have cut off the end of the command.
    const OWNER_ONLY: [&str; 3] = ["ALTER FUNCTION ", "ALTER PROCEDURE ", "ALTER AGGREGATE "];
    let is_owner = command.starts_with("ALTER ")
        && command.rsplit_once(" OWNER TO ").is_some_and(|(_, role)| is_one_name(role));
    let is_permissive_policy = command.starts_with("CREATE POLICY ")
        && command.ends_with(';')
        && !command.contains(" AS RESTRICTIVE ");
    is_owner
        || is_permissive_policy
        || PRIVILEGES.iter().chain(&OWNER_ONLY).any(|start| command.starts_with(start))
}

/// Whether the text is a role's name and the end of the statement.
fn is_one_name(text: &str) -> bool {
    // A long command is cut off and ends in dots: then nobody knows what it was.
    let Some(text) = text.trim_end().strip_suffix(';') else { return false };
    match text.strip_prefix('"') {
        Some(quoted) => {
            quoted.strip_suffix('"').is_some_and(|name| !name.replace("\"\"", "").contains('"'))
        }
        None => !text.is_empty() && !text.contains([' ', ';', '"', '\'', '\n', '.']),
    }
}

/// The text without what may quote rows or the command: from such a heading on, since a value may have several lines, up to the
/// next heading of another kind.
fn without_details(text: &str) -> String {
    const QUOTING: [&str; 4] = ["DETAIL:", "CONTEXT:", "QUERY:", "LINE "];
    const PLAIN: [&str; 3] = ["HINT:", "ERROR:", TOOL];
    let starts = |line: &str, headings: &[&str]| headings.iter().any(|it| line.starts_with(it));
    let mut quoting = false;
    let mut kept = Vec::new();
    for line in text.lines() {
        quoting = starts(line, &QUOTING) || (quoting && !starts(line, &PLAIN));
        if !quoting {
            kept.push(line);
        }
    }
    kept.join("\n")
}

/// The command with its string constants emptied, up to the body of a function: options of user mappings and subscriptions hold
/// passwords.
pub(super) fn without_constants(command: &str) -> String {
    let mut kept = String::with_capacity(command.len());
    // The quote that is open. An apostrophe in a quoted name begins no constant.
    let mut open = None;
    for character in command.chars() {
        match (open, character) {
            (None, '\'' | '"') => open = Some(character),
            (Some(quote), _) if quote == character => open = None,
            (Some('\''), _) => continue,
            (None, '$') => {
                kept.push('…');
                break;
            }
            _ => {}
        }
        kept.push(character);
    }
    kept
}

fn bounded(text: &str) -> String {
    let mut kept: String = text.chars().take(ERROR_CHARS_MAX).collect();
    if kept.len() < text.len() {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTED: &str = "pg_restore: warning: errors ignored on restore: 1\n";

    fn losses(stderr: &str) -> Vec<Loss> {
        RestoreLog::parse(stderr, false).errors.into_iter().map(|error| error.loss).collect()
    }

    /// Of a command that failed, in a run that came to its end.
    fn losses_of(command: &str) -> Vec<Loss> {
        let failed = "pg_restore: error: could not execute query: ERROR:  x\nCommand was: ";
        losses(&format!("{failed}{command}\n{COUNTED}"))
    }

    #[test]
    fn owners_and_grants_are_attributes() {
        let log = "pg_restore: error: could not execute query: ERROR:  must be member of role \"postgres\"\n\
            Command was: ALTER SCHEMA \"odd \"\"schema\nnl\" OWNER TO postgres;\n\n\
            pg_restore: error: could not execute query: FEHLER:  Rolle »r« existiert nicht\n\
            Command was: GRANT SELECT ON TABLE public.t TO r;\n\n\n\
            pg_restore: error: could not execute query: ERROR:  role \"a b\" does not exist\n\
            Command was: ALTER TABLE public.t OWNER TO \"a \"\"b\";\n\n\
            pg_restore: warning: errors ignored on restore: 3\n";
        assert_eq!(losses(log), [Loss::Attribute; 3]);
    }

    #[test]
    fn a_lost_object_is_told_apart() {
        let log = "pg_restore: error: could not execute query: ERROR:  could not create unique index \"t_pkey\"\n\
            DETAIL:  Key (email)=(somebody@example.org) is duplicated.\n\
            Command was: ALTER TABLE ONLY public.t\n    ADD CONSTRAINT t_pkey PRIMARY KEY (id);\n\n\n\
            pg_restore: warning: errors ignored on restore: 1\n";
        let parsed = RestoreLog::parse(log, false);
        assert_eq!(parsed.errors.len(), 1);
        assert_eq!(parsed.errors[0].loss, Loss::Object);
        assert!(
            parsed.errors[0].text.contains("t_pkey") && parsed.errors[0].text.contains("public.t")
        );
        assert!(!parsed.errors[0].text.contains("somebody"));
    }

    #[test]
    fn an_owner_is_believed_only_at_the_end_of_one_statement() {
        for command in [
            "ALTER TABLE t ADD COLUMN x text; ALTER TABLE t OWNER TO a; DROP TABLE t;",
            "CREATE FUNCTION f() AS ' OWNER TO a;",
            "ALTER TABLE ONLY \"x OWNER TO a",
            "ALTER TABLE t OWNER TO abc...",
            "ALTER TABLE t OWNER TO \"a\"b\";",
        ] {
            assert_eq!(losses_of(command), [Loss::Object], "{command}");
        }
    }

    #[test]
    fn a_lost_policy_may_only_hide() {
        assert_eq!(losses_of("CREATE POLICY p ON t TO r USING (true);"), [Loss::Attribute]);
        assert_eq!(
            losses_of("CREATE POLICY p ON t AS RESTRICTIVE TO r USING (true);"),
            [Loss::Object]
        );
        assert_eq!(losses_of("CREATE POLICY p ON a_table_with_a_very_long..."), [Loss::Object]);
    }

    #[test]
    fn mixed_output_of_two_jobs_is_judged_by_the_worse() {
        let mixed = "pg_restore: error: pg_restore: error: could not execute query: ERROR:  x\nCommand was: GRANT a TO b;\n\
            could not execute query: ERROR:  y\nCommand was: CREATE INDEX i ON t (a);\n";
        assert_eq!(losses(&format!("{mixed}{COUNTED}")), [Loss::Object]);
    }

    #[test]
    fn what_is_not_understood_is_a_loss() {
        assert_eq!(losses("pg_restore: error: connection to server failed\n"), [Loss::Object]);
        assert_eq!(losses(""), [Loss::Object]);
        assert_eq!(losses("killed"), [Loss::Object]);
        let counted_more = "pg_restore: error: could not execute query: ERROR:  x\nCommand was: GRANT a TO b;\n\
            pg_restore: warning: errors ignored on restore: 3\n";
        assert_eq!(losses(counted_more), [Loss::Attribute, Loss::Object]);
        assert_eq!(RestoreLog::parse("", true), RestoreLog::default());
    }

    #[test]
    fn who_did_not_come_to_the_end_has_lost_what_is_not_there() {
        let granted = "pg_restore: error: could not execute query: ERROR:  role \"r\" does not exist\n\
            Command was: GRANT SELECT ON TABLE public.t TO r;\n\n";
        assert_eq!(losses(&format!("{granted}{COUNTED}")), [Loss::Attribute]);
        // Killed, or out of memory: the indexes after it were never tried.
        assert_eq!(losses(granted), [Loss::Attribute, Loss::Object]);
        let out = format!("{granted}out of memory\n");
        assert_eq!(losses(&out), [Loss::Attribute, Loss::Object]);
    }

    #[test]
    fn rows_and_commands_in_the_servers_words_are_taken_out() {
        let said = "ERROR:  duplicate\nLINE 1: ... OPTIONS (password 'hunter2')\n             ^\nHINT:  look\n\
            DETAIL:  Key (note)=(first\nprivate) is duplicated.\nHINT:  again";
        assert_eq!(without_details(said), "ERROR:  duplicate\nHINT:  look\nHINT:  again");
    }

    #[test]
    fn an_apostrophe_in_a_name_begins_no_constant() {
        let command = "CREATE USER MAPPING FOR \"o'brien\" SERVER s OPTIONS (password 'hunter2')";
        let shown = "CREATE USER MAPPING FOR \"o'brien\" SERVER s OPTIONS (password '')";
        assert_eq!(without_constants(command), shown);
        let named = "ALTER DATABASE \"a\"\"'\" SET x TO 'it''s \"secret\"' -- y";
        assert_eq!(without_constants(named), "ALTER DATABASE \"a\"\"'\" SET x TO '''' -- y");
        let function = "CREATE FUNCTION f() RETURNS text AS $$ SELECT '5\"', 'private' $$";
        assert_eq!(without_constants(function), "CREATE FUNCTION f() RETURNS text AS …");
    }

    #[test]
    fn secrets_in_options_are_taken_out() {
        let log = "pg_restore: error: could not execute query: ERROR:  server \"s\" does not exist\n\
            Command was: CREATE USER MAPPING FOR me SERVER s OPTIONS (password 'pa''ss', \"user\" 'u');\n";
        let text = RestoreLog::parse(log, false).errors.remove(0).text;
        assert!(text.contains("OPTIONS (password '''', \"user\" '')"), "{text}");
    }
}
