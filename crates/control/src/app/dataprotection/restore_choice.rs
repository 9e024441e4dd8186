//! What of a recovery point a request to restore asks for, and for whom.
//!
//! Parts stand where Azure's request has a place for them, in `restoreCriteria`: of `ItemLevelRestoreTargetInfo`, and of
//! `RestoreFilesTargetInfo` as an extension. A path is `schema` or `schema/table`, where `/` and `%` in a name are written
//! `%2F` and `%25`. What Azure has no place for stands in `cofferRestoreOptions`: of a server's recovery point also, which
//! database is meant.

use std::collections::BTreeMap;

use coffer_azure::{
    CofferRestoreOptions, ItemPathBasedRestoreCriteria, RestoreTargetInfoBase, RestoredPart,
    RestoredRoles,
};
use coffer_engine::restore::{ROLE_MAP_MAX, RoleMode};
use coffer_engine::selection::ITEMS_MAX;
use coffer_engine::{RoleMap, SelectedItem, Selection};
use percent_encoding::percent_decode_str;
use serde_json::Value;

/// A choice as the engine takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) selection: Selection,
    pub(crate) roles: RoleMode,
    pub(crate) role_map: RoleMap,
}

/// Reads the choice of a request.
///
/// # Errors
/// What is not usable, in words.
pub(crate) fn choice(
    target: &RestoreTargetInfoBase,
    options: Option<&CofferRestoreOptions>,
) -> Result<Choice, String> {
    let by_default = CofferRestoreOptions::default();
    let options = options.unwrap_or(&by_default);
    let criteria = match target {
        RestoreTargetInfoBase::RestoreTargetInfo(_) => None,
        RestoreTargetInfoBase::RestoreFilesTargetInfo(target) => target.restore_criteria.as_ref(),
        RestoreTargetInfoBase::ItemLevelRestoreTargetInfo(target) => Some(&target.restore_criteria),
    };
    let items = criteria.map(|criteria| items(criteria)).transpose()?.unwrap_or_default();
    let roles = match &options.roles {
        None | Some(RestoredRoles::CreateMissing) => RoleMode::CreateMissing,
        Some(RestoredRoles::Ignore) => RoleMode::Ignore,
        Some(RestoredRoles::Unknown(other)) => {
            return Err(format!(
                "The value '{other}' of roles is not supported; CreateMissing and Ignore are."
            ));
        }
    };
    let role_map = role_map(options)?;
    if roles == RoleMode::Ignore && !role_map.is_empty() {
        return Err(
            "A roleMap and roles 'Ignore' exclude each other: nothing is given to any role."
                .to_owned(),
        );
    }
    if options.source_database.as_ref().is_some_and(String::is_empty) {
        return Err("The sourceDatabase is empty.".to_owned());
    }
    let selection = Selection {
        database: options.source_database.clone(),
        large_objects: restored(options.large_objects.as_ref(), "largeObjects", items.is_empty())?,
        user_mappings: restored(options.user_mappings.as_ref(), "userMappings", true)?,
        items,
    };
    Ok(Choice { selection, roles, role_map })
}

/// Checks that the choice fits what the instance protects: of a server, a database has to be named unless all of it becomes
/// files; of a database there is nothing to name.
///
/// # Errors
/// What does not fit, in words.
pub(crate) fn fits(
    choice: &Choice,
    target: &RestoreTargetInfoBase,
    of_server: bool,
) -> Result<(), String> {
    let named = choice.selection.database.is_some();
    let all_files = matches!(target, RestoreTargetInfoBase::RestoreFilesTargetInfo(_));
    if !of_server && named {
        return Err(
            "The sourceDatabase is for recovery points of servers; the backup instance protects one database.".to_owned()
        );
    }
    if of_server && !named && !(all_files && choice.selection.is_everything()) {
        return Err(
            "The recovery point is that of a server: name one of its databases as sourceDatabase of cofferRestoreOptions. Without \
             one, all of it is restored as files."
                .to_owned(),
        );
    }
    Ok(())
}

fn restored(part: Option<&RestoredPart>, name: &str, default: bool) -> Result<bool, String> {
    match part {
        None => Ok(default),
        Some(RestoredPart::Restore) => Ok(true),
        Some(RestoredPart::LeaveOut) => Ok(false),
        Some(RestoredPart::Unknown(other)) => Err(format!(
            "The value '{other}' of {name} is not supported; Restore and LeaveOut are."
        )),
    }
}

fn role_map(options: &CofferRestoreOptions) -> Result<RoleMap, String> {
    let mut names = BTreeMap::new();
    for role in &options.role_map {
        if role.from.is_empty() || role.to.is_empty() {
            return Err("A role in roleMap has no name.".to_owned());
        }
        if names.insert(role.from.clone(), role.to.clone()).is_some() {
            return Err(format!("The role '{}' is mapped twice.", role.from));
        }
    }
    if names.len() > ROLE_MAP_MAX {
        return Err(format!("A roleMap has at most {ROLE_MAP_MAX} roles."));
    }
    Ok(RoleMap::new(names))
}

fn items(criteria: &[Value]) -> Result<Vec<SelectedItem>, String> {
    if criteria.is_empty() {
        return Err("The restoreCriteria are empty; without them all is restored, with them at least one part.".to_owned());
    }
    let mut items = Vec::new();
    for criterion in criteria {
        let kind = criterion.get("objectType").and_then(Value::as_str).unwrap_or_default();
        if !kind.eq_ignore_ascii_case("ItemPathBasedRestoreCriteria") {
            return Err(format!(
                "The objectType '{kind}' of restoreCriteria is not supported for PostgreSQL; ItemPathBasedRestoreCriteria is."
            ));
        }
        let path: ItemPathBasedRestoreCriteria = serde_json::from_value(criterion.clone())
            .map_err(|error| format!("The restoreCriteria are not understood: {error}."))?;
        items.extend(path_items(&path)?);
        if items.len() > ITEMS_MAX {
            return Err(format!("At most {ITEMS_MAX} schemas and tables can be chosen."));
        }
    }
    Ok(items)
}

fn path_items(criterion: &ItemPathBasedRestoreCriteria) -> Result<Vec<SelectedItem>, String> {
    let path = &criterion.item_path;
    if !criterion.is_path_relative_to_backup_item {
        return Err(format!(
            "The itemPath '{path}' has to be relative to the backup item: set isPathRelativeToBackupItem and name 'schema' or \
             'schema/table'."
        ));
    }
    let names = path.split('/').map(name).collect::<Result<Vec<_>, _>>()?;
    let prefixes = criterion.sub_item_path_prefix.as_deref().unwrap_or_default();
    match names.as_slice() {
        [schema] if prefixes.is_empty() => Ok(vec![SelectedItem::Schema(schema.clone())]),
        [schema] => prefixes
            .iter()
            .map(|prefix| {
                Ok(SelectedItem::TablesWithPrefix { schema: schema.clone(), prefix: name(prefix)? })
            })
            .collect(),
        [schema, table] if prefixes.is_empty() => {
            Ok(vec![SelectedItem::Table { schema: schema.clone(), name: table.clone() }])
        }
        _ => Err(format!(
            "The itemPath '{path}' is not usable: it is 'schema' or 'schema/table', and a subItemPathPrefix goes with a schema only."
        )),
    }
}

/// A name out of a path.
fn name(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| {
        format!("The itemPath has '{text}', which is not UTF-8 once it is decoded.")
    })?;
    if decoded.is_empty() || decoded.contains('\0') {
        return Err("The itemPath has a name that is empty or not possible.".to_owned());
    }
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use coffer_azure::AzureBackupRestoreRequest;
    use serde_json::json;

    fn read(target: Value, options: Value) -> Result<Choice, String> {
        let request = json!({
            "objectType": "AzureBackupRecoveryPointBasedRestoreRequest",
            "recoveryPointId": "x",
            "sourceDataStoreType": "VaultStore",
            "restoreTargetInfo": target,
            "cofferRestoreOptions": options
        });
        let request: AzureBackupRestoreRequest =
            coffer_azure::decode_value(request).expect("the request decodes");
        choice(request.restore_target_info(), request.coffer_restore_options())
    }

    fn part(criteria: Value) -> Value {
        json!({
            "objectType": "ItemLevelRestoreTargetInfo", "recoveryOption": "FailIfExists", "restoreCriteria": criteria,
            "datasourceInfo": {"resourceID": "/subscriptions/s/resourceGroups/g/providers/x/servers/a/databases/b"}
        })
    }

    fn path(item_path: &str) -> Value {
        json!({"objectType": "itemPathBasedRestoreCriteria", "ItemPath": item_path, "isPathRelativeToBackupItem": true})
    }

    #[test]
    fn paths_name_schemas_and_tables() {
        let mut prefixed = path("logs");
        prefixed["subItemPathPrefix"] = json!(["y2026", "%25"]);
        let criteria = json!([path("sales"), path("odd%2Fschema/a table"), prefixed]);
        let found = read(part(criteria), json!(null)).unwrap();
        let table = |schema: &str, name: &str| SelectedItem::Table {
            schema: schema.into(),
            name: name.into(),
        };
        let tables = |schema: &str, prefix: &str| SelectedItem::TablesWithPrefix {
            schema: schema.into(),
            prefix: prefix.into(),
        };
        assert_eq!(
            found.selection.items,
            [
                SelectedItem::Schema("sales".into()),
                table("odd/schema", "a table"),
                tables("logs", "y2026"),
                tables("logs", "%")
            ]
        );
        assert!(!found.selection.large_objects && found.selection.user_mappings);
    }

    #[test]
    fn options_are_read_in_any_casing() {
        let options = json!({"ROLES": "createmissing", "roleMap": [{"From": "Name", "to": "x"}],
            "usermappings": "LeaveOut", "largeObjects": "Restore"});
        let found = read(part(json!([path("sales")])), options).unwrap();
        assert_eq!(found.roles, RoleMode::CreateMissing);
        assert_eq!(
            found.role_map,
            RoleMap::new(BTreeMap::from([("Name".to_owned(), "x".to_owned())]))
        );
        assert!(found.selection.large_objects && !found.selection.user_mappings);
    }

    #[test]
    fn a_database_is_named_of_servers_alone() {
        let files = json!({"objectType": "RestoreFilesTargetInfo", "recoveryOption": "FailIfExists",
            "targetDetails": {"filePrefix": "p", "restoreTargetLocationType": "AzureBlobs", "url": "https://a/c"}});
        let named = json!({"sourceDatabase": "Shop"});
        let fits_of = |target: &Value, options: &Value, of_server: bool| {
            let choice = read(target.clone(), options.clone()).unwrap();
            let target: RestoreTargetInfoBase = coffer_azure::decode_value(target.clone()).unwrap();
            fits(&choice, &target, of_server).is_ok()
        };
        let part = part(json!([path("sales")]));
        for (target, options, of_server, fit) in [
            (&files, &json!(null), true, true),
            (&files, &json!(null), false, true),
            (&files, &named, true, true),
            (&files, &named, false, false),
            (&part, &json!(null), true, false),
            (&part, &json!(null), false, true),
            (&part, &named, true, true),
            (&part, &named, false, false),
        ] {
            assert_eq!(fits_of(target, options, of_server), fit, "{target} {options} {of_server}");
        }
        let chosen = read(files.clone(), json!({"SOURCEDATABASE": "Shop"})).unwrap();
        assert_eq!(chosen.selection.database.as_deref(), Some("Shop"));
        assert!(read(files, json!({"sourceDatabase": ""})).unwrap_err().contains("empty"));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let absolute = json!({"objectType": "ItemPathBasedRestoreCriteria", "itemPath": "a", "isPathRelativeToBackupItem": false});
        let mut both = path("a/b");
        both["subItemPathPrefix"] = json!(["x"]);
        let range =
            json!({"objectType": "RangeBasedItemLevelRestoreCriteria", "minMatchingValue": "a"});
        for (criteria, word) in [
            (json!([]), "empty"),
            (json!([path("")]), "empty"),
            (json!([path("a/b/c")]), "a/b/c"),
            (json!([path("a/")]), "empty"),
            (json!([path("%ff")]), "UTF-8"),
            (json!([absolute]), "relative"),
            (json!([both]), "subItemPathPrefix"),
            (json!([range]), "RangeBased"),
        ] {
            let refused = read(part(criteria.clone()), json!(null)).unwrap_err();
            assert!(refused.contains(word), "{criteria}: {refused}");
        }
        let whole = json!({"objectType": "RestoreTargetInfo", "recoveryOption": "FailIfExists",
            "datasourceInfo": {"resourceID": "/subscriptions/s/resourceGroups/g/providers/x/servers/a/databases/b"}});
        for (options, word) in [
            (json!({"roles": "Rename"}), "Rename"),
            (json!({"userMappings": "Maybe"}), "Maybe"),
            (json!({"roles": "Ignore", "roleMap": [{"from": "a", "to": "b"}]}), "exclude"),
            (json!({"roleMap": [{"from": "a", "to": "b"}, {"from": "a", "to": "c"}]}), "twice"),
        ] {
            let refused = read(whole.clone(), options.clone()).unwrap_err();
            assert!(refused.contains(word), "{options}: {refused}");
        }
    }
}
