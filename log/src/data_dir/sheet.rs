//! The form of the small text files of a data directory: a title, a format, one field to a line, a
//! checksum of all of it in the last line. Text, so that a person can tell directories apart.

use std::str::{FromStr, Lines};

use super::meta::MetaError;

/// Ends a text with its checksum.
pub(super) fn seal(text: &str) -> String {
    format!("{text}crc32 {:08x}\n", crc32fast::hash(text.as_bytes()))
}

/// The file's text, its format and the lines behind that; `other` says what is wrong with a file of
/// another title. The checksum is left to the caller: a newer format may have another.
pub(super) fn open<'a>(
    content: &'a [u8],
    title: &str,
    other: &'static str,
    newest_format: u32,
) -> Result<(&'a str, u32, Lines<'a>), MetaError> {
    let text = std::str::from_utf8(content).map_err(|_| MetaError::Damaged("not text"))?;
    let mut lines = text.lines();
    if lines.next() != Some(title) {
        return Err(MetaError::Damaged(other));
    }
    let format = field(lines.next(), "format").ok_or(MetaError::Damaged("no format"))?;
    if format > newest_format {
        return Err(MetaError::Newer(format));
    }
    Ok((text, format, lines))
}

/// The value of a field, if the line is that field's.
pub(super) fn field<T: FromStr>(line: Option<&str>, name: &str) -> Option<T> {
    line?.strip_prefix(name)?.strip_prefix(' ')?.parse().ok()
}
