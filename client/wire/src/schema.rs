//! The declaration language: each struct is declared once, as its fields and the versions that
//! have them; decoding, encoding and defaults follow from that.
//!
//! ```text
//! structs! {
//!     /// Documentation.
//!     struct Name {
//!         /// Documentation.
//!         field: Type => versions [, default value] [, nullable versions] [, tag number];
//!     }
//! }
//! api! { KEY: Request => Response, versions 0..=9, flexible Some(6) }
//! ```
//!
//! * `versions` is a range (`3..`, `0..=8`) of the API versions that carry the field. In others
//!   it is passed over when writing and has its default after reading, so that one struct serves
//!   all versions.
//! * `default`: else the type's own.
//! * `nullable`: the versions in which an `Option` field may be null; without it, all.
//! * `tag`: a tagged field, written only when it differs from its default; in ascending order.

use crate::error::{DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind};
use crate::field::Version;
use crate::reader::Reader;
use crate::writer::Writer;

/// Declares structs; see the module's documentation.
macro_rules! structs {
    ($(
        $(#[$meta:meta])*
        struct $name:ident {
            $(
                $(#[$field_meta:meta])*
                $field:ident: $type:ty => $versions:expr
                    $(, default $default:expr)?
                    $(, nullable $nullable:expr)?
                    $(, tag $tag:literal)?
                ;
            )*
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $( $(#[$field_meta])* pub $field: $type, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $crate::schema::default_of!($($default)?), )* }
            }
        }

        impl $crate::field::Field for $name {
            fn min_size(version: $crate::field::Version) -> usize {
                usize::from(version.flexible)
                $(
                    + $crate::schema::in_body!($($tag)?, $versions, version).then(
                        || <$type as $crate::field::Field>::min_size(version)
                    ).unwrap_or(0)
                )*
            }

            fn read(
                r: &mut $crate::Reader,
                version: $crate::field::Version,
            ) -> Result<Self, $crate::DecodeError> {
                #[allow(unused_mut)]
                let mut this = Self::default();
                $(
                    if $crate::schema::in_body!($($tag)?, $versions, version) {
                        r.set_context(concat!(stringify!($name), ".", stringify!($field)));
                        this.$field = $crate::field::Field::read(r, version)?;
                        $( $crate::schema::check_read(&this.$field, $nullable, r, version)?; )?
                    }
                )*
                if version.flexible {
                    r.set_context(concat!(stringify!($name), " tagged fields"));
                    for _ in 0..r.unsigned_varint()? {
                        let (tag, size) = (r.unsigned_varint()?, r.unsigned_varint()? as usize);
                        match tag {
                            $($(
                                $tag if ($versions).contains(&version.number) => {
                                    let confined = r.enter(size)?;
                                    this.$field = $crate::field::Field::read(r, version)?;
                                    r.leave(confined, tag)?;
                                }
                            )?)*
                            _ => r.skip(size)?,
                        }
                    }
                }
                Ok(this)
            }

            fn write(
                &self,
                w: &mut $crate::Writer,
                version: $crate::field::Version,
            ) -> Result<(), $crate::EncodeError> {
                $(
                    if $crate::schema::in_body!($($tag)?, $versions, version) {
                        w.set_context(concat!(stringify!($name), ".", stringify!($field)));
                        $( $crate::schema::check_write(&self.$field, $nullable, w, version)?; )?
                        $crate::field::Field::write(&self.$field, w, version)?;
                    }
                )*
                if version.flexible {
                    // One flag per field, by the field's name: whether it is a tag to be written.
                    let mut tags = 0u32;
                    $(
                        let $field = $crate::schema::in_tags!($($tag)?, $versions, version)
                            && $crate::schema::differs(&self.$field, || {
                                $crate::schema::default_of!($($default)?)
                            });
                        tags += u32::from($field);
                    )*
                    w.put_unsigned_varint(tags);
                    $($(
                        if $field {
                            w.set_context(concat!(stringify!($name), ".", stringify!($field)));
                            w.put_tag($tag, |w| {
                                $crate::field::Field::write(&self.$field, w, version)
                            })?;
                        }
                    )?)*
                }
                Ok(())
            }
        }

        #[cfg(test)]
        impl $crate::tests::sample::Sample for $name {
            fn sample(rng: &mut $crate::tests::sample::Rng, version: $crate::field::Version) -> Self {
                let mut this = Self::default();
                $(
                    if ($versions).contains(&version.number) {
                        this.$field = $crate::tests::sample::Sample::sample(rng, version);
                        $( $crate::tests::sample::fill_null(&mut this.$field, $nullable, rng, version); )?
                    }
                )*
                this
            }
        }
    )*};
}

/// A field's declared default, or its type's own.
macro_rules! default_of {
    () => {
        Default::default()
    };
    ($default:expr) => {
        $default
    };
}

/// Whether a field stands in the body of its struct, not among the tagged fields.
macro_rules! in_body {
    (, $versions:expr, $version:ident) => {
        ($versions).contains(&$version.number)
    };
    ($tag:literal, $versions:expr, $version:ident) => {
        false
    };
}

/// Whether a field stands among the tagged fields of its struct.
macro_rules! in_tags {
    (, $versions:expr, $version:ident) => {
        false
    };
    ($tag:literal, $versions:expr, $version:ident) => {
        ($versions).contains(&$version.number)
    };
}

/// Joins a request to its response, key and versions.
macro_rules! api {
    (
        $key:ident: $request:ident => $response:ident,
        versions $versions:expr, flexible $flexible:expr
    ) => {
        impl $crate::Message for $request {
            const NAME: &'static str = stringify!($request);
            const KEY: $crate::ApiKey = $crate::ApiKey::$key;
            const VERSIONS: std::ops::RangeInclusive<i16> = $versions;
            const FLEXIBLE: Option<i16> = $flexible;
        }

        impl $crate::Message for $response {
            const NAME: &'static str = stringify!($response);
            const KEY: $crate::ApiKey = $crate::ApiKey::$key;
            const VERSIONS: std::ops::RangeInclusive<i16> = $versions;
            const FLEXIBLE: Option<i16> = $flexible;
        }

        impl $crate::Request for $request {
            type Response = $response;
        }
    };
}

pub(crate) use {api, default_of, in_body, in_tags, structs};

/// Versions in which a field may be null.
pub(crate) trait Versions {
    fn has(&self, version: Version) -> bool;
}

impl<R: std::ops::RangeBounds<i16>> Versions for R {
    fn has(&self, version: Version) -> bool {
        self.contains(&version.number)
    }
}

/// Refuses a null that was read in a version without it.
#[inline]
pub(crate) fn check_read<T>(
    value: &Option<T>,
    nullable: impl Versions,
    r: &Reader,
    version: Version,
) -> Result<(), DecodeError> {
    if value.is_none() && !nullable.has(version) {
        return Err(r.error(DecodeErrorKind::UnexpectedNull));
    }
    Ok(())
}

/// Refuses to write a null in a version without it.
#[inline]
pub(crate) fn check_write<T>(
    value: &Option<T>,
    nullable: impl Versions,
    w: &Writer,
    version: Version,
) -> Result<(), EncodeError> {
    if value.is_none() && !nullable.has(version) {
        return Err(w.error(EncodeErrorKind::UnexpectedNull(version.number)));
    }
    Ok(())
}

/// Whether a value differs from its default.
#[inline]
pub(crate) fn differs<T: PartialEq>(value: &T, default: impl FnOnce() -> T) -> bool {
    *value != default()
}
