//! A page of a list.

use serde::{Deserialize, Serialize};

/// A page of a list: `{"value": […], "nextLink": …}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// The page's items.
    pub value: Vec<T>,
    /// The absolute address of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_link: Option<String>,
}

impl<T> Page<T> {
    /// The only page of a list.
    #[must_use]
    pub fn of(value: Vec<T>) -> Self {
        Self { value, next_link: None }
    }
}
