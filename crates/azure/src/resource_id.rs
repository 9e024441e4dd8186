//! The id of an Azure resource: a path such as
//! `/subscriptions/{s}/resourceGroups/{g}/providers/{namespace}/{type}/{name}`.
//!
//! Azure compares ids without regard to case but clients (those written in Go above all) compare
//! what they are given back letter by letter. A [`ResourceId`] therefore prints exactly as it was
//! first written and compares by its lower-cased [`key`](ResourceId::key).

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Longest id that is read, in bytes. Azure's own limit for a whole URL is 2,083.
pub const RESOURCE_ID_BYTES_MAX: usize = 2048;

/// The id of a resource, of a resource group, of a subscription, or `/` for the whole tenant.
///
/// Equality, order and hash disregard ASCII case; [`Display`](fmt::Display) keeps the writer's.
#[derive(Clone)]
pub struct ResourceId {
    text: String,
    key: String,
}

/// Why a text is not the id of a resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResourceIdError {
    /// The text does not begin with a slash.
    #[error("a resource id begins with `/`")]
    NotAbsolute,
    /// The text is longer than [`RESOURCE_ID_BYTES_MAX`].
    #[error("a resource id has at most {RESOURCE_ID_BYTES_MAX} bytes")]
    TooLong,
    /// A segment is empty, `.` or `..`, or has a character that no id may have.
    #[error("segment {number} of the resource id is empty or has a character that is not allowed")]
    Segment {
        /// Which one, counted from 1.
        number: usize,
    },
    /// The segments do not follow `/subscriptions/…/resourceGroups/…/providers/…/type/name`.
    #[error(
        "the resource id is not of the form \
         /subscriptions/{{id}}[/resourceGroups/{{name}}][/providers/{{namespace}}/{{type}}/{{name}}…]"
    )]
    Form,
}

impl ResourceId {
    /// Reads an id. A trailing slash is dropped; empty segments are an error.
    ///
    /// # Errors
    /// [`ResourceIdError`] says which rule was broken.
    pub fn parse(text: &str) -> Result<Self, ResourceIdError> {
        if text.len() > RESOURCE_ID_BYTES_MAX {
            return Err(ResourceIdError::TooLong);
        }
        if !text.starts_with('/') {
            return Err(ResourceIdError::NotAbsolute);
        }
        if text == "/" {
            return Ok(Self::root());
        }
        let text = text.strip_suffix('/').unwrap_or(text);
        let segments: Vec<&str> = text.split('/').skip(1).collect();
        for (index, segment) in segments.iter().enumerate() {
            if segment.is_empty()
                || *segment == "."
                || *segment == ".."
                || !segment.chars().all(is_segment_char)
            {
                return Err(ResourceIdError::Segment { number: index + 1 });
            }
        }
        check_form(&segments)?;
        Ok(Self::from_checked(text.to_owned()))
    }

    /// The scope of the whole tenant, `/`.
    #[must_use]
    pub fn root() -> Self {
        Self::from_checked("/".to_owned())
    }

    /// `/subscriptions/{subscription_id}`.
    #[must_use]
    pub fn subscription(subscription_id: &str) -> Self {
        Self::from_checked(format!("/subscriptions/{}", escaped(subscription_id)))
    }

    /// `/subscriptions/{subscription_id}/resourceGroups/{name}`.
    #[must_use]
    pub fn group(subscription_id: &str, name: &str) -> Self {
        Self::from_checked(format!(
            "/subscriptions/{}/resourceGroups/{}",
            escaped(subscription_id),
            escaped(name)
        ))
    }

    /// `{self}/{resource_type}/{name}`. Characters that no segment may have are percent-encoded,
    /// so that a name never adds a level.
    #[must_use]
    pub fn child(&self, resource_type: &str, name: &str) -> Self {
        Self::from_checked(format!("{}/{}/{}", self.base(), escaped(resource_type), escaped(name)))
    }

    /// `{self}/providers/{namespace}/{resource_type}/{name}`: a resource of a provider in this
    /// group or subscription, or an extension (such as a role assignment) of this resource.
    #[must_use]
    pub fn provider_child(&self, namespace: &str, resource_type: &str, name: &str) -> Self {
        Self::from_checked(format!(
            "{}/providers/{}/{}/{}",
            self.base(),
            escaped(namespace),
            escaped(resource_type),
            escaped(name)
        ))
    }

    /// The id as its writer wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The lower-cased id: what to store and compare by.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether this is `/`.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.text == "/"
    }

    /// The subscription's id, as written.
    #[must_use]
    pub fn subscription_id(&self) -> Option<&str> {
        self.named_segment(0, "subscriptions")
    }

    /// The resource group's name, as written.
    #[must_use]
    pub fn resource_group(&self) -> Option<&str> {
        self.subscription_id()?;
        self.named_segment(2, "resourcegroups")
    }

    /// The namespace of the last provider, as written: `Microsoft.DataProtection`. `None` for
    /// subscriptions and resource groups.
    #[must_use]
    pub fn provider(&self) -> Option<&str> {
        self.segments().nth(self.provider_index()? + 1)
    }

    /// The whole type below the last provider, as written: `Microsoft.DataProtection/backupVaults/backupInstances`;
    /// `Microsoft.Resources/resourceGroups` and `Microsoft.Resources/subscriptions` for those, and
    /// `Microsoft.Resources/tenants` for `/`.
    #[must_use]
    pub fn resource_type(&self) -> String {
        let Some(index) = self.provider_index() else {
            return match self.segments().count() {
                0 => "Microsoft.Resources/tenants",
                2 => "Microsoft.Resources/subscriptions",
                _ => "Microsoft.Resources/resourceGroups",
            }
            .to_owned();
        };
        let mut after = self.segments().skip(index + 1);
        let mut resource_type = after.next().unwrap_or_default().to_owned();
        for part in after.step_by(2) {
            resource_type.push('/');
            resource_type.push_str(part);
        }
        resource_type
    }

    /// Whether [`resource_type`](Self::resource_type) is this one, without regard to case.
    #[must_use]
    pub fn is_type(&self, resource_type: &str) -> bool {
        self.resource_type().eq_ignore_ascii_case(resource_type)
    }

    /// The last segment: the resource's own name, as written. Empty for `/`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.segments().last().unwrap_or_default()
    }

    /// The resource, group or subscription that this one lies in; `/` is above a subscription, and
    /// nothing above `/`.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let count = self.segments().count();
        let drop = match self.provider_index() {
            // `…/providers/{namespace}/{type}/{name}` goes as a whole.
            Some(index) if count == index + 4 => 4,
            _ => 2,
        };
        let kept: Vec<&str> = self.segments().take(count - drop).collect();
        Some(if kept.is_empty() {
            Self::root()
        } else {
            Self::from_checked(format!("/{}", kept.join("/")))
        })
    }

    /// Whether `scope` is this id or one above it: what a role assignment at `scope` reaches.
    #[must_use]
    pub fn is_within(&self, scope: &Self) -> bool {
        scope.is_root()
            || self
                .key
                .strip_prefix(scope.key.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    fn from_checked(text: String) -> Self {
        let key = text.to_ascii_lowercase();
        Self { text, key }
    }

    fn base(&self) -> &str {
        if self.is_root() { "" } else { &self.text }
    }

    fn segments(&self) -> impl Iterator<Item = &str> {
        self.text.split('/').skip(1).filter(|segment| !segment.is_empty())
    }

    fn named_segment(&self, index: usize, keyword: &str) -> Option<&str> {
        let mut segments = self.segments().skip(index);
        segments.next().filter(|segment| segment.eq_ignore_ascii_case(keyword))?;
        segments.next()
    }

    /// Where the last `providers` keyword stands, counted in segments. Keywords stand at even
    /// places only up to a provider, hence the walk.
    fn provider_index(&self) -> Option<usize> {
        let segments: Vec<&str> = self.segments().collect();
        let mut last = None;
        let mut index = 0;
        while index < segments.len() {
            if segments[index].eq_ignore_ascii_case("providers") {
                last = Some(index);
            }
            index += 2;
        }
        last
    }
}

/// Letters, digits and the punctuation of Azure's names; no control character, space at an end is
/// the caller's affair.
fn is_segment_char(character: char) -> bool {
    !character.is_control() && !matches!(character, '/' | '\\' | '?' | '#' | '<' | '>' | '"')
}

fn escaped(segment: &str) -> String {
    if segment.is_empty() || segment == "." || segment == ".." {
        return segment.replace('.', "%2E");
    }
    if segment.chars().all(is_segment_char) {
        return segment.to_owned();
    }
    let mut out = String::with_capacity(segment.len() + 8);
    for character in segment.chars() {
        if is_segment_char(character) {
            out.push(character);
        } else {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    out
}

fn check_form(segments: &[&str]) -> Result<(), ResourceIdError> {
    let mut rest = segments;
    if let [keyword, _, after @ ..] = rest
        && keyword.eq_ignore_ascii_case("subscriptions")
    {
        rest = after;
        if let [keyword, _, after @ ..] = rest
            && keyword.eq_ignore_ascii_case("resourcegroups")
        {
            rest = after;
        }
    }
    while !rest.is_empty() {
        let [keyword, _namespace, _type, _name, after @ ..] = rest else {
            return Err(ResourceIdError::Form);
        };
        if !keyword.eq_ignore_ascii_case("providers") {
            return Err(ResourceIdError::Form);
        }
        rest = after;
        while let [keyword, _name, after @ ..] = rest
            && !keyword.eq_ignore_ascii_case("providers")
        {
            rest = after;
        }
    }
    Ok(())
}

impl fmt::Display for ResourceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl fmt::Debug for ResourceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, formatter)
    }
}

impl FromStr for ResourceId {
    type Err = ResourceIdError;

    fn from_str(text: &str) -> Result<Self, ResourceIdError> {
        Self::parse(text)
    }
}

impl PartialEq for ResourceId {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for ResourceId {}

impl Hash for ResourceId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl PartialOrd for ResourceId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ResourceId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl Serialize for ResourceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for ResourceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
