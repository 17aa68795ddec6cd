//! The field types of Kafka's schemas and their classic and flexible forms.

use bytes::Bytes;

use crate::error::{DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind};
use crate::reader::Reader;
use crate::writer::Writer;
use crate::{ErrorCode, Records, Str, Uuid};

/// The longest string, in bytes: what a classic length can say, and Kafka's limit for compact
/// strings too.
const STRING_SIZE_MAX: usize = i16::MAX as usize;

/// The version a message is read or written in.
///
/// Flexible versions (KIP-482) have compact lengths and end every struct with tagged fields.
#[derive(Clone, Copy, Debug)]
pub struct Version {
    /// The version number of the API.
    pub number: i16,
    /// Whether this version is a flexible one.
    pub flexible: bool,
}

/// A value with a wire form.
pub trait Field: Sized {
    /// Bytes that the shortest value takes: what an announced count is checked against.
    fn min_size(version: Version) -> usize;

    /// Reads one value.
    ///
    /// # Errors
    /// When the input is not such a value.
    fn read(r: &mut Reader, version: Version) -> Result<Self, DecodeError>;

    /// Writes this value.
    ///
    /// # Errors
    /// When the value has no form in this version.
    fn write(&self, w: &mut Writer, version: Version) -> Result<(), EncodeError>;
}

macro_rules! integer {
    ($($int:ty),*) => {$(
        impl Field for $int {
            #[inline]
            fn min_size(_: Version) -> usize {
                size_of::<$int>()
            }

            #[inline]
            fn read(r: &mut Reader, _: Version) -> Result<Self, DecodeError> {
                r.array().map(<$int>::from_be_bytes)
            }

            #[inline]
            fn write(&self, w: &mut Writer, _: Version) -> Result<(), EncodeError> {
                w.put(&self.to_be_bytes());
                Ok(())
            }
        }
    )*};
}

integer!(i8, i16, i32, i64);

impl Field for bool {
    fn min_size(_: Version) -> usize {
        1
    }

    #[inline]
    fn read(r: &mut Reader, _: Version) -> Result<Self, DecodeError> {
        r.array().map(|[byte]| byte != 0)
    }

    #[inline]
    fn write(&self, w: &mut Writer, _: Version) -> Result<(), EncodeError> {
        w.put(&[u8::from(*self)]);
        Ok(())
    }
}

impl Field for ErrorCode {
    fn min_size(_: Version) -> usize {
        2
    }

    #[inline]
    fn read(r: &mut Reader, version: Version) -> Result<Self, DecodeError> {
        i16::read(r, version).map(ErrorCode::from_code)
    }

    #[inline]
    fn write(&self, w: &mut Writer, version: Version) -> Result<(), EncodeError> {
        self.code().write(w, version)
    }
}

impl Field for Uuid {
    fn min_size(_: Version) -> usize {
        16
    }

    #[inline]
    fn read(r: &mut Reader, _: Version) -> Result<Self, DecodeError> {
        r.array().map(Uuid)
    }

    #[inline]
    fn write(&self, w: &mut Writer, _: Version) -> Result<(), EncodeError> {
        w.put(&self.0);
        Ok(())
    }
}

/// A type with a null form. `Option<T>` is nullable, bare `T` is not; both share this code.
trait Nullable: Sized {
    fn min_size(version: Version) -> usize;
    fn read_nullable(r: &mut Reader, version: Version) -> Result<Option<Self>, DecodeError>;
    fn write_nullable(
        value: Option<&Self>,
        w: &mut Writer,
        version: Version,
    ) -> Result<(), EncodeError>;
}

impl Nullable for Str {
    fn min_size(version: Version) -> usize {
        if version.flexible { 1 } else { 2 }
    }

    fn read_nullable(r: &mut Reader, version: Version) -> Result<Option<Self>, DecodeError> {
        let length = if version.flexible {
            r.compact_length()?
        } else {
            let length = i16::read(r, version)?;
            r.classic_length(length.into())?
        };
        let Some(length) = length else { return Ok(None) };
        if length > STRING_SIZE_MAX {
            return Err(r.error(DecodeErrorKind::StringTooLong(length)));
        }
        match Str::from_utf8(r.bytes(length)?) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(r.error(DecodeErrorKind::NotUtf8)),
        }
    }

    fn write_nullable(
        value: Option<&Self>,
        w: &mut Writer,
        version: Version,
    ) -> Result<(), EncodeError> {
        let length = value.map(|text| text.as_bytes().len());
        if let Some(length) = length.filter(|&length| length > STRING_SIZE_MAX) {
            return Err(w.error(EncodeErrorKind::TooLong(length)));
        }
        if version.flexible {
            w.put_compact_length(length)?;
        } else {
            w.put(&length.map_or(-1, |length| length as i16).to_be_bytes());
        }
        if let Some(text) = value {
            w.put(text.as_bytes());
        }
        Ok(())
    }
}

fn read_length(r: &mut Reader, version: Version) -> Result<Option<usize>, DecodeError> {
    if version.flexible {
        return r.compact_length();
    }
    let length = i32::read(r, version)?;
    r.classic_length(length)
}

fn write_length(
    length: Option<usize>,
    w: &mut Writer,
    version: Version,
) -> Result<(), EncodeError> {
    if version.flexible { w.put_compact_length(length) } else { w.put_classic_length(length) }
}

fn min_length_size(version: Version) -> usize {
    if version.flexible { 1 } else { 4 }
}

impl Nullable for Bytes {
    fn min_size(version: Version) -> usize {
        min_length_size(version)
    }

    fn read_nullable(r: &mut Reader, version: Version) -> Result<Option<Self>, DecodeError> {
        read_length(r, version)?.map(|length| r.bytes(length)).transpose()
    }

    fn write_nullable(
        value: Option<&Self>,
        w: &mut Writer,
        version: Version,
    ) -> Result<(), EncodeError> {
        write_length(value.map(Bytes::len), w, version)?;
        if let Some(bytes) = value {
            w.put_shared(bytes);
        }
        Ok(())
    }
}

impl<T: Field> Nullable for Vec<T> {
    fn min_size(version: Version) -> usize {
        min_length_size(version)
    }

    fn read_nullable(r: &mut Reader, version: Version) -> Result<Option<Self>, DecodeError> {
        let Some(count) = read_length(r, version)? else { return Ok(None) };
        let mut elements = r.reserve(count, T::min_size(version))?;
        for _ in 0..count {
            elements.push(T::read(r, version)?);
        }
        Ok(Some(elements))
    }

    fn write_nullable(
        value: Option<&Self>,
        w: &mut Writer,
        version: Version,
    ) -> Result<(), EncodeError> {
        write_length(value.map(Vec::len), w, version)?;
        for element in value.into_iter().flatten() {
            element.write(w, version)?;
        }
        Ok(())
    }
}

impl<T: Nullable> Field for Option<T> {
    fn min_size(version: Version) -> usize {
        T::min_size(version)
    }

    fn read(r: &mut Reader, version: Version) -> Result<Self, DecodeError> {
        T::read_nullable(r, version)
    }

    fn write(&self, w: &mut Writer, version: Version) -> Result<(), EncodeError> {
        T::write_nullable(self.as_ref(), w, version)
    }
}

macro_rules! non_null {
    ($($type:ty $(where $param:ident)?),*) => {$(
        impl$(<$param: Field>)? Field for $type {
            fn min_size(version: Version) -> usize {
                <$type as Nullable>::min_size(version)
            }

            fn read(r: &mut Reader, version: Version) -> Result<Self, DecodeError> {
                match <$type>::read_nullable(r, version)? {
                    Some(value) => Ok(value),
                    None => Err(r.error(DecodeErrorKind::UnexpectedNull)),
                }
            }

            fn write(&self, w: &mut Writer, version: Version) -> Result<(), EncodeError> {
                <$type>::write_nullable(Some(self), w, version)
            }
        }
    )*};
}

non_null!(Str, Bytes, Vec<T> where T);

impl Field for Records {
    fn min_size(version: Version) -> usize {
        min_length_size(version)
    }

    /// Null reads as empty: some brokers send it with an error, and nobody tells them apart.
    fn read(r: &mut Reader, version: Version) -> Result<Self, DecodeError> {
        Ok(Bytes::read_nullable(r, version)?.map(Records::from).unwrap_or_default())
    }

    fn write(&self, w: &mut Writer, version: Version) -> Result<(), EncodeError> {
        write_length(Some(self.size()), w, version)?;
        for part in self.parts() {
            w.put_shared(part);
        }
        Ok(())
    }
}
