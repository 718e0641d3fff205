//! The metadata patch: Selvedge's own record of an explicit change of a thread's metadata.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::fields::Field;
use crate::json::{fields_of, text_of};

/// What a patch does to one field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// Nothing: the field is left out of the patch.
    #[default]
    Keep,
    /// The field has no value any more: `null`.
    Clear,
    /// The field has this value.
    Set(T),
}

impl<T> Change<T> {
    /// Whether the field is left as it is.
    pub const fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }

    /// Makes the change to `value`.
    pub fn apply(self, value: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *value = None,
            Self::Set(new) => *value = Some(new),
        }
    }
}

/// The value that a field should have: `None` clears it.
impl<T> From<Option<T>> for Change<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Clear, Self::Set)
    }
}

impl<T: Serialize> Serialize for Change<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Set(value) => serializer.serialize_some(value),
            // A field to keep is skipped, so that only one to clear is ever written.
            Self::Keep | Self::Clear => serializer.serialize_none(),
        }
    }
}

fn change_of(raw: Option<&RawValue>) -> Change<String> {
    match raw {
        Some(raw) if raw.get() == "null" => Change::Clear,
        Some(raw) => text_of(raw).map_or(Change::Keep, |text| Change::Set(text.into_owned())),
        None => Change::Keep,
    }
}

macro_rules! metadata_patch {
    ($($(#[$meta:meta])* $field:ident,)+) => {
        /// The payload of a `metadata_patch`: changes that count from this record on. Serialised,
        /// it is one.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct MetadataPatch {
            $(
                $(#[$meta])*
                #[serde(skip_serializing_if = "Change::is_keep")]
                pub $field: Change<String>,
            )+
        }

        impl MetadataPatch {
            /// The names of all fields, as the payload spells them.
            pub const FIELDS: &'static [&'static str] = &[$(stringify!($field)),+];

            pub(super) fn read(json: &str) -> Result<Self, serde_json::Error> {
                let [$($field),+] = fields_of(json, [$(stringify!($field)),+])?;
                Ok(Self { $($field: change_of($field)),+ })
            }

            /// Every field's name and change.
            pub fn changes(&self) -> impl Iterator<Item = (&'static str, &Change<String>)> {
                [$((stringify!($field), &self.$field)),+].into_iter()
            }

            /// This patch and then `later`, as one.
            #[must_use]
            pub fn then(self, later: Self) -> Self {
                Self {
                    $($field: match later.$field {
                        Change::Keep => self.$field,
                        change => change,
                    },)+
                }
            }
        }
    };
}

metadata_patch! {
    /// The name that the user gave the thread.
    name,
    /// The title that was made for the thread.
    title,
    /// The line that stands for the thread in a listing.
    preview,
    /// The model.
    model,
    /// Who serves the model.
    model_provider,
    /// How hard the model thinks.
    reasoning_effort,
    /// When the user is asked.
    approval_policy,
    /// The working directory.
    cwd,
    /// Where the thread came from.
    source,
    /// Whether memories may be made of the thread.
    memory_mode,
    /// The commit that is checked out.
    git_sha,
    /// The branch that is checked out.
    git_branch,
    /// Where the repository comes from.
    git_origin_url,
    /// A sub-agent's name.
    agent_nickname,
    /// A sub-agent's role.
    agent_role,
    /// A sub-agent's place in the tree of agents.
    agent_path,
    /// The total token usage so far: a JSON object, as text.
    token_usage,
}

impl MetadataPatch {
    /// Whether the patch changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes().all(|(_, change)| change.is_keep())
    }
}

impl Field<'_> for MetadataPatch {
    fn of(raw: &RawValue) -> Option<Self> {
        Self::read(raw.get()).ok()
    }
}
