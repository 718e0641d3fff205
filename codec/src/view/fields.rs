//! How a field of a view is read, and the one place that owns a view's field list.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// A field's type. What is not of it reads as `None`: a view is lenient.
pub(super) trait Field<'a>: Sized {
    fn of(raw: &'a RawValue) -> Option<Self>;
}

impl<'a> Field<'a> for Cow<'a, str> {
    fn of(raw: &'a RawValue) -> Option<Self> {
        crate::json::text_of(raw)
    }
}

impl<'a> Field<'a> for &'a RawValue {
    fn of(raw: &'a RawValue) -> Option<Self> {
        (raw.get() != "null").then_some(raw)
    }
}

impl Field<'_> for u64 {
    fn of(raw: &RawValue) -> Option<Self> {
        serde_json::from_str(raw.get()).ok()
    }
}

impl Field<'_> for i64 {
    fn of(raw: &RawValue) -> Option<Self> {
        serde_json::from_str(raw.get()).ok()
    }
}

/// Defines a view whose fields are called like the payload's. Each is an `Option` of its type.
macro_rules! view {
    (
        $(#[$meta:meta])*
        pub struct $name:ident $(<$life:lifetime>)? {
            $($(#[$field_meta:meta])* $field:ident: $kind:ty,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, serde::Serialize)]
        pub struct $name $(<$life>)? {
            $(
                $(#[$field_meta])*
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $field: Option<$kind>,
            )+
        }

        impl $(<$life>)? $name $(<$life>)? {
            pub(super) fn read(json: &$($life)? str) -> Result<Self, serde_json::Error> {
                let [$($field),+] = crate::json::fields_of(json, [$(stringify!($field)),+])?;
                Ok(Self {
                    $($field: $field.and_then(crate::view::fields::Field::of),)+
                })
            }
        }

        view!(@field $name $(<$life>)?);
    };
    (@field $name:ident <$life:lifetime>) => {
        impl<$life> crate::view::fields::Field<$life> for $name<$life> {
            fn of(raw: &$life serde_json::value::RawValue) -> Option<Self> {
                Self::read(raw.get()).ok()
            }
        }
    };
    (@field $name:ident) => {
        impl crate::view::fields::Field<'_> for $name {
            fn of(raw: &serde_json::value::RawValue) -> Option<Self> {
                Self::read(raw.get()).ok()
            }
        }
    };
}
pub(super) use view;
