//! Three shapes that occur all over Azure's model and that serde's own attributes don't cover.
//!
//! * [`tagged!`]: one of several objects, told apart by `objectType`, which is matched without
//!   regard to case, may be absent where only one is possible, and is written where the service
//!   writes it, first or last.
//! * [`object_type!`]: an `objectType` that can have one value only.
//! * [`text_enum!`]: a text out of a list, matched without regard to case. A text that is not in the
//!   list is kept: published examples have such, and refusing them with the right code is up to the
//!   service.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// The discriminator's name.
pub(crate) const OBJECT_TYPE: &str = "objectType";

/// Where a discriminator is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Position {
    /// Before the other members.
    First,
    /// After them.
    Last,
}

/// Writes an object together with its discriminator.
pub(crate) fn serialize_tagged<T: Serialize, S: Serializer>(
    object_type: &str,
    position: Position,
    object: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let tag = (OBJECT_TYPE.to_owned(), Value::String(object_type.to_owned()));
    let members = match serde_json::to_value(object) {
        Ok(Value::Object(members)) => members,
        Ok(_) => Map::new(),
        Err(error) => return Err(serde::ser::Error::custom(error)),
    };
    let all: Map<String, Value> = match position {
        Position::First => std::iter::once(tag).chain(members).collect(),
        Position::Last => members.into_iter().chain(std::iter::once(tag)).collect(),
    };
    all.serialize(serializer)
}

/// Reads a text in which `""` means absent.
pub(crate) fn text_or_absent<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let text = <Option<String> as serde::Deserialize>::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty()))
}

/// Declares an enum of structs with a common discriminator; see the [module](self).
///
/// `default` names the variant that is meant when there is no discriminator.
macro_rules! tagged {
    (
        $(#[$meta:meta])*
        pub enum $name:ident, $position:ident $(, default $default:ident)? {
            $($(#[$variant_meta:meta])* $variant:ident,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $name {
            $($(#[$variant_meta])* $variant(Box<$variant>),)+
        }

        $(impl From<$variant> for $name {
            fn from(value: $variant) -> Self {
                Self::$variant(Box::new(value))
            }
        })+

        impl $name {
            /// The discriminator, as Azure spells it.
            #[must_use]
            pub fn object_type(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => stringify!($variant),)+
                }
            }

            fn read<'de, D: serde::Deserializer<'de>>(
                object_type: &str,
                deserializer: D,
            ) -> Result<Self, D::Error> {
                $(if object_type.eq_ignore_ascii_case(stringify!($variant)) {
                    return <$variant as serde::Deserialize>::deserialize(deserializer)
                        .map(Self::from);
                })+
                $(if object_type.is_empty() {
                    return <$default as serde::Deserialize>::deserialize(deserializer)
                        .map(Self::from);
                })?
                Err(serde::de::Error::custom(format_args!(
                    "unknown objectType `{object_type}`, expected {}",
                    [$(stringify!($variant)),+].join(" or "),
                )))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let position = $crate::tagged::Position::$position;
                match self {
                    $(Self::$variant(object) => $crate::tagged::serialize_tagged(
                        stringify!($variant), position, object, serializer,
                    ),)+
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;

                impl<'de> serde::de::Visitor<'de> for Visitor {
                    type Value = $name;

                    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        out.write_str(concat!("an object (", stringify!($name), ")"))
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(
                        self,
                        mut map: A,
                    ) -> Result<$name, A::Error> {
                        let first: Option<String> = map.next_key()?;
                        if first.as_deref() == Some($crate::tagged::OBJECT_TYPE) {
                            let object_type: String = map.next_value()?;
                            let rest = serde::de::value::MapAccessDeserializer::new(map);
                            return $name::read(&object_type, rest);
                        }
                        // Not through `decode`, or no discriminator: collect, then look for it.
                        let mut members = serde_json::Map::new();
                        if let Some(name) = first {
                            members.insert(name, map.next_value()?);
                        }
                        while let Some((name, value)) = map.next_entry()? {
                            members.insert(name, value);
                        }
                        let object_type = match members.remove($crate::tagged::OBJECT_TYPE) {
                            None | Some(serde_json::Value::Null) => String::new(),
                            Some(serde_json::Value::String(object_type)) => object_type,
                            Some(_) => {
                                return Err(serde::de::Error::custom("objectType is not a text"));
                            }
                        };
                        $name::read(&object_type, serde_json::Value::Object(members))
                            .map_err(serde::de::Error::custom)
                    }
                }

                deserializer.deserialize_map(Visitor)
            }
        }
    };
}

/// Declares the type of an `objectType` with one possible value; see the [module](self).
macro_rules! object_type {
    ($(#[$meta:meta])* $name:ident = $text:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct $name;

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str($text)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                if text.is_empty() || text.eq_ignore_ascii_case($text) {
                    Ok(Self)
                } else {
                    Err(serde::de::Error::custom(format_args!(
                        concat!("unknown objectType `{}`, expected ", $text),
                        text
                    )))
                }
            }
        }
    };
}

/// Declares an enum of texts, with `Unknown` for any other; see the [module](self).
macro_rules! text_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)+
            /// A text that the specification doesn't list, as it was sent.
            Unknown(String),
        }

        impl $name {
            /// The text, in Azure's spelling where it is a known one.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Unknown(text) => text,
                }
            }

            /// Whether the specification lists it.
            #[must_use]
            pub fn is_known(&self) -> bool {
                !matches!(self, Self::Unknown(_))
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                $(if text.eq_ignore_ascii_case($text) {
                    return Self::$variant;
                })+
                Self::Unknown(text.to_owned())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                Ok(Self::from(text.as_str()))
            }
        }
    };
}

pub(crate) use {object_type, tagged, text_enum};
