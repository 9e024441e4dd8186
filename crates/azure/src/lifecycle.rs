//! For how long recovery points are kept, and where they are copied to.

use serde::{Deserialize, Deserializer, Serialize};

use crate::data_store::DataStoreInfoBase;
use crate::tagged::tagged;

/// For how long recovery points are kept in one data store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceLifeCycle {
    /// For how long.
    pub delete_after: DeleteOption,
    /// Where they are copied to before they go. The documentation writes one setting without the
    /// array; both are read.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "one_or_more")]
    pub target_data_store_copy_settings: Option<Vec<TargetCopySetting>>,
    /// Where.
    pub source_data_store: DataStoreInfoBase,
}

tagged! {
    /// For how long recovery points are kept; there is one kind.
    pub enum DeleteOption, First, default AbsoluteDeleteOption {
        /// For a fixed time.
        AbsoluteDeleteOption,
    }
}

/// For a fixed time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AbsoluteDeleteOption {
    /// In ISO 8601: `P1W`.
    pub duration: String,
}

/// A copy of recovery points in a further data store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetCopySetting {
    /// Where.
    pub data_store: DataStoreInfoBase,
    /// When it is made.
    pub copy_after: CopyOption,
}

tagged! {
    /// When a copy is made.
    pub enum CopyOption, First {
        /// When the recovery point would be deleted.
        CopyOnExpiryOption,
        /// After some time.
        CustomCopyOption,
        /// At once.
        ImmediateCopyOption,
    }
}

/// A copy after some time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CustomCopyOption {
    /// In ISO 8601: `P6M`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
}

/// A copy when the recovery point would be deleted.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CopyOnExpiryOption {}

/// A copy at once.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ImmediateCopyOption {}

/// Reads an array, or one object as an array of one.
fn one_or_more<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<TargetCopySetting>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMore {
        More(Vec<TargetCopySetting>),
        One(TargetCopySetting),
    }
    Ok(Option::<OneOrMore>::deserialize(deserializer)?.map(|settings| match settings {
        OneOrMore::More(settings) => settings,
        OneOrMore::One(setting) => vec![setting],
    }))
}
