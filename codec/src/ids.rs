//! The newtypes that keep ordinals, lengths, offsets and ids apart.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::CodecError;

/// The identity of a thread: a UUID, version 7 where Selvedge makes it; any UUID is accepted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ThreadId(Uuid);

impl ThreadId {
    /// A fresh version 7 id, whose order follows the time it was made.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id with these 16 bytes, in the order RFC 9562 writes them.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The id's 16 bytes, in the order RFC 9562 writes them.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The UUID itself.
    #[must_use]
    pub const fn as_uuid(&self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for ThreadId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl FromStr for ThreadId {
    type Err = CodecError;

    fn from_str(text: &str) -> Result<Self, CodecError> {
        Uuid::try_parse(text)
            .map(Self)
            .map_err(|_| CodecError::NotAThreadId {
                text: text.chars().take(64).collect(),
            })
    }
}

impl fmt::Display for ThreadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.as_hyphenated(), f)
    }
}

impl fmt::Debug for ThreadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The identity of a turn, as the runtime wrote it: usually a UUID, which then takes 16 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TurnId {
    /// A lower-case hyphenated UUID.
    Uuid(Uuid),
    /// Any other text.
    Text(Box<str>),
}

impl TurnId {
    /// The turn id with this text. [`fmt::Display`] gives the same text back.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        match Uuid::try_parse(text) {
            // Only the canonical spelling may be shortened: the text is part of the record.
            Ok(uuid) if uuid.as_hyphenated().to_string() == text => Self::Uuid(uuid),
            _ => Self::Text(text.into()),
        }
    }
}

impl fmt::Display for TurnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(uuid) => fmt::Display::fmt(&uuid.as_hyphenated(), f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for TurnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! u64_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// Zero.
            pub const ZERO: Self = Self(0);

            /// Wraps a plain number.
            #[must_use]
            pub const fn new(value: u64) -> Self {
                Self(value)
            }

            /// The plain number.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// `self + more`, which stops at the largest number there is.
            #[must_use]
            pub const fn plus(self, more: u64) -> Self {
                Self(self.0.saturating_add(more))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

u64_newtype! {
    /// A record's gapless position in its thread, from 0.
    Ordinal
}
u64_newtype! {
    /// A position in a file or buffer, in bytes from its start.
    ByteOffset
}
u64_newtype! {
    /// A length in bytes.
    ByteLength
}

impl Ordinal {
    /// The ordinal after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        self.plus(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_id_gives_its_text_back() {
        for text in [
            "019c7a54-be6a-76c0-aff8-58a6fce3280a",
            "019C7A54-BE6A-76C0-AFF8-58A6FCE3280A",
            "1",
            "",
        ] {
            assert_eq!(TurnId::from_text(text).to_string(), text);
        }
    }

    #[test]
    fn a_thread_id_that_is_no_uuid_is_refused() {
        assert!("not-a-uuid".parse::<ThreadId>().is_err());
        assert!(
            "019c7a54-be6a-76c0-aff8-58a6fce3280a"
                .parse::<ThreadId>()
                .is_ok()
        );
    }
}
