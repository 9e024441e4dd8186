//! `name=value` of `pg_db_role_setting` and `rolconfig` back into `ALTER … SET`.

use crate::session::{quote_identifier, quote_literal};

/// Parameters whose value is a list of names: quoting it as one text would make one odd name of it.
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// What stands after `SET`.
pub(crate) fn assignment(name: &str, value: &str) -> String {
    // Parameters of extensions have a dot between two names.
    let quoted_name = name.split('.').map(quote_identifier).collect::<Vec<_>>().join(".");
    let value = if LISTS.contains(&name.to_ascii_lowercase().as_str()) {
        let items: Vec<_> = list_items(value).iter().map(|item| quote_literal(item)).collect();
        if items.is_empty() { "''".to_owned() } else { items.join(", ") }
    } else {
        quote_literal(value)
    };
    format!("{quoted_name} TO {value}")
}

/// Names with commas between, in double quotes where needed.
fn list_items(value: &str) -> Vec<String> {
    let mut items = Vec::new();
    let mut item = String::new();
    let mut in_quotes = false;
    let mut characters = value.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if in_quotes && characters.peek() == Some(&'"') => {
                characters.next();
                item.push('"');
            }
            '"' => in_quotes = !in_quotes,
            ',' if !in_quotes => items.push(std::mem::take(&mut item)),
            space if space.is_whitespace() && !in_quotes => {}
            other => item.push(other),
        }
    }
    items.push(item);
    items.retain(|item| !item.is_empty());
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_taken_apart_and_texts_are_not() {
        assert_eq!(assignment("work_mem", "8MB"), "\"work_mem\" TO '8MB'");
        assert_eq!(assignment("my.flag", "a, b"), "\"my\".\"flag\" TO 'a, b'");
        assert_eq!(
            assignment("search_path", "\"$user\", public"),
            "\"search_path\" TO '$user', 'public'"
        );
        assert_eq!(
            assignment("search_path", "\"a \"\"b, c\",d"),
            "\"search_path\" TO 'a \"b, c', 'd'"
        );
        assert_eq!(assignment("search_path", "\"\""), "\"search_path\" TO ''");
    }
}
