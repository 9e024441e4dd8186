//! Finding what is locked and hidden in a bucket, and bringing it back.
//!
//! In a versioned bucket a deletion puts a marker over an object, and a write puts another version over it; the versions below
//! stay, and while they are locked nobody removes them. Since every name is written once, its oldest version is the one that
//! counts. What was hidden and is not locked stays hidden: that is how leases, pins and garbage go.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::s3::S3Lock;
use crate::error::{Error, Result};

/// Versions of one object that are looked at.
const VERSIONS_MAX: usize = 100_000;

/// What hides an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HiddenBy {
    /// A deletion.
    Deletion,
    /// Something that was written over it.
    AnotherVersion,
}

/// A locked object that a reader does not see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HiddenObject {
    /// Its name in the location.
    pub path: String,
    /// What hides it.
    pub by: HiddenBy,
    /// Until when it is locked: milliseconds since 1970.
    pub locked_until_ms: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListVersionsResult {
    is_truncated: bool,
    next_key_marker: Option<String>,
    next_version_id_marker: Option<String>,
    #[serde(rename = "$value", default)]
    entries: Vec<Entry>,
}

/// Versions and markers come mixed, as S3 sends them, or one kind after the other.
#[derive(Debug, Deserialize)]
enum Entry {
    Version(Version),
    DeleteMarker(Version),
    #[serde(other)]
    Other,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    key: String,
    version_id: String,
    is_latest: bool,
    /// Of the content; a marker has none.
    #[serde(rename = "ETag")]
    e_tag: Option<String>,
}

impl S3Lock {
    /// Brings back every locked object that is hidden, or with `look_only` only tells of them. `now_ms` is milliseconds since
    /// 1970. May be repeated; what was brought back is not found again.
    ///
    /// # Errors
    /// [`Error::LockUnavailable`] where the credentials do not suffice; [`Error::Storage`].
    pub(super) async fn undelete_all(
        &self,
        now_ms: u64,
        look_only: bool,
        tell: &mut (dyn FnMut(HiddenObject) + Send),
    ) -> Result<()> {
        let mut next: Option<(String, String)> = None;
        let mut found: BTreeMap<String, Vec<Version>> = BTreeMap::new();
        loop {
            let page: ListVersionsResult = self.list_versions(next.as_ref()).await?;
            for entry in page.entries {
                let (Entry::Version(version) | Entry::DeleteMarker(version)) = entry else {
                    continue;
                };
                let versions = found.entry(version.key.clone()).or_default();
                versions.push(version);
                if versions.len() > VERSIONS_MAX {
                    return Err(Error::invalid("an object with too many versions"));
                }
            }
            next = match (page.is_truncated, page.next_key_marker) {
                (false, _) => None,
                (true, Some(key)) => Some((key, page.next_version_id_marker.unwrap_or_default())),
                (true, None) => {
                    return Err(Error::corrupt("the list of versions", "it does not say its end"));
                }
            };
            // The last object of a page may go on in the next one.
            let rest = match &next {
                Some(_) => found.pop_last(),
                None => None,
            };
            for versions in std::mem::take(&mut found).into_values() {
                self.look_at(&versions, now_ms, look_only, tell).await?;
            }
            found.extend(rest);
            if next.is_none() {
                return Ok(());
            }
        }
    }

    /// The versions of one object: newest first, but that markers may be told apart from the rest.
    async fn look_at(
        &self,
        versions: &[Version],
        now_ms: u64,
        look_only: bool,
        tell: &mut (dyn FnMut(HiddenObject) + Send),
    ) -> Result<()> {
        let Some(oldest) = versions.iter().rfind(|version| !version.is_marker()) else {
            return Ok(());
        };
        let newest = versions.iter().find(|version| version.is_latest);
        if newest.is_some_and(|newest| newest.e_tag == oldest.e_tag) {
            // It, or a copy of it.
            return Ok(());
        }
        let lock = self.lock_of_version(&oldest.key, &oldest.version_id).await?;
        let Some(lock) = lock.filter(|lock| lock.until_ms > now_ms) else { return Ok(()) };
        let only_deleted = versions.iter().filter(|version| !version.is_marker()).count() == 1;
        let by = if only_deleted { HiddenBy::Deletion } else { HiddenBy::AnotherVersion };
        match by {
            _ if look_only => {}
            HiddenBy::Deletion => {
                for marker in versions.iter().filter(|version| version.is_marker()) {
                    self.delete_version(&marker.key, &marker.version_id).await?;
                }
            }
            // Those above may be locked as well, by whoever put them there.
            HiddenBy::AnotherVersion => {
                self.copy_up(&oldest.key, &oldest.version_id).await?;
            }
        }
        let path = self.name_in_location(&oldest.key);
        tell(HiddenObject { path, by, locked_until_ms: lock.until_ms });
        Ok(())
    }
}

impl Version {
    fn is_marker(&self) -> bool {
        self.e_tag.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_markers_are_read_in_their_order() {
        let list = r#"<?xml version="1.0"?><ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
            <Name>b</Name><Prefix/><KeyMarker/><MaxKeys>3</MaxKeys><IsTruncated>true</IsTruncated>
            <NextKeyMarker>a/2</NextKeyMarker><NextVersionIdMarker>v1</NextVersionIdMarker>
            <DeleteMarker><Key>a/1</Key><VersionId>v3</VersionId><IsLatest>true</IsLatest><Owner><ID>x</ID></Owner></DeleteMarker>
            <Version><Key>a/1</Key><VersionId>v2</VersionId><IsLatest>false</IsLatest><ETag>&quot;e&quot;</ETag><Size>1</Size></Version>
            <Version><Key>a/2</Key><VersionId>v1</VersionId><IsLatest>true</IsLatest><ETag>&quot;f&quot;</ETag><Size>1</Size></Version>
        </ListVersionsResult>"#;
        let list: ListVersionsResult = quick_xml::de::from_str(list).unwrap();
        assert!(list.is_truncated && list.next_key_marker.as_deref() == Some("a/2"));
        let read: Vec<_> = list
            .entries
            .into_iter()
            .filter_map(|entry| match entry {
                Entry::Version(version) | Entry::DeleteMarker(version) => Some(version),
                Entry::Other => None,
            })
            .collect();
        let ids: Vec<_> = read
            .iter()
            .map(|it| (it.key.as_str(), it.version_id.as_str(), it.is_marker()))
            .collect();
        assert_eq!(ids, [("a/1", "v3", true), ("a/1", "v2", false), ("a/2", "v1", false)]);
        let empty = "<ListVersionsResult><IsTruncated>false</IsTruncated></ListVersionsResult>";
        let empty: ListVersionsResult = quick_xml::de::from_str(empty).unwrap();
        assert!(empty.entries.is_empty());
    }
}
