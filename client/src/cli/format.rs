//! How records are printed, and the escapes that kcat taught everyone.

use std::io::{self, Write};

use crate::consumer::ConsumerRecord;

/// A piece of a format string.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    KeySize,
    Value,
    ValueSize,
    /// The value's size as four big-endian bytes.
    ValueSizeBinary,
    Headers,
}

/// A compiled format string such as `%t %p %o %k %s\n`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Format {
    pieces: Vec<Piece>,
    /// What stands for a null key or value.
    null: &'static [u8],
}

impl Format {
    /// Understands `%t %p %o %T %k %K %s %S %R %h %%` and the escapes of [`unescape`].
    pub(super) fn parse(text: &str, null_as_word: bool) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            if c != '%' {
                plain.push(c);
                // What follows a backslash is not a piece: `\%` is a percent sign.
                if c == '\\' {
                    plain.extend(rest.next());
                }
                continue;
            }
            let piece = match rest.next() {
                Some('%') => {
                    plain.push('%');
                    continue;
                }
                Some('t') => Piece::Topic,
                Some('p') => Piece::Partition,
                Some('o') => Piece::Offset,
                Some('T') => Piece::Timestamp,
                Some('k') => Piece::Key,
                Some('K') => Piece::KeySize,
                Some('s') => Piece::Value,
                Some('S') => Piece::ValueSize,
                Some('R') => Piece::ValueSizeBinary,
                Some('h') => Piece::Headers,
                Some(other) => {
                    return Err(format!(
                        "unknown format %{other}: use %t %p %o %T %k %K %s %S %R %h %%"
                    ));
                }
                None => return Err("the format ends in %: write %% for a percent sign".into()),
            };
            if !plain.is_empty() {
                pieces.push(Piece::Text(unescape(&std::mem::take(&mut plain))?));
            }
            pieces.push(piece);
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(unescape(&plain)?));
        }
        Ok(Self { pieces, null: if null_as_word { b"NULL" } else { b"" } })
    }

    /// The value and a delimiter, with the key and another delimiter in front if there is one.
    pub(super) fn plain(
        key_delimiter: Option<&str>,
        delimiter: &str,
        null_as_word: bool,
    ) -> Result<Self, String> {
        let mut pieces = Vec::new();
        if let Some(key_delimiter) = key_delimiter {
            pieces.extend([Piece::Key, Piece::Text(unescape(key_delimiter)?)]);
        }
        pieces.extend([Piece::Value, Piece::Text(unescape(delimiter)?)]);
        Ok(Self { pieces, null: if null_as_word { b"NULL" } else { b"" } })
    }

    /// Prints one record.
    pub(super) fn write(&self, out: &mut impl Write, record: &ConsumerRecord) -> io::Result<()> {
        let size = |bytes: &Option<bytes::Bytes>| {
            bytes.as_ref().map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap_or(i64::MAX))
        };
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.write_all(text)?,
                Piece::Topic => out.write_all(record.topic.as_bytes())?,
                Piece::Partition => write!(out, "{}", record.partition)?,
                Piece::Offset => write!(out, "{}", record.offset)?,
                Piece::Timestamp => write!(out, "{}", record.timestamp)?,
                Piece::Key => out.write_all(record.key.as_deref().unwrap_or(self.null))?,
                Piece::KeySize => write!(out, "{}", size(&record.key))?,
                Piece::Value => out.write_all(record.value.as_deref().unwrap_or(self.null))?,
                Piece::ValueSize => write!(out, "{}", size(&record.value))?,
                Piece::ValueSizeBinary => {
                    let size = i32::try_from(size(&record.value)).unwrap_or(i32::MAX);
                    out.write_all(&size.to_be_bytes())?;
                }
                Piece::Headers => write_headers(out, record)?,
            }
        }
        Ok(())
    }
}

/// `name=value,name=NULL`
fn write_headers(out: &mut impl Write, record: &ConsumerRecord) -> io::Result<()> {
    for (index, (name, value)) in record.headers.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(out, "{comma}{name}=")?;
        out.write_all(value.as_deref().unwrap_or(b"NULL"))?;
    }
    Ok(())
}

/// The bytes that a text with `\n`, `\r`, `\t`, `\0`, `\\`, `\%` and `\xNN` stands for.
pub(super) fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match rest.next() {
            Some('n') => out.push(b'\n'),
            Some('r') => out.push(b'\r'),
            Some('t') => out.push(b'\t'),
            Some('0') => out.push(0),
            Some('\\') => out.push(b'\\'),
            Some('%') => out.push(b'%'),
            Some('x') => {
                let digits: String = rest.by_ref().take(2).collect();
                let byte = u8::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 2);
                out.push(byte.ok_or_else(|| format!("\\x{digits} is not \\x and two hex digits"))?);
            }
            Some(other) => {
                return Err(format!("unknown escape \\{other}: use \\n \\r \\t \\0 \\\\ \\xNN"));
            }
            None => return Err("the text ends in a backslash: write \\\\ for one".into()),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumer::tests::record;

    fn printed(format: &str, record: &ConsumerRecord) -> String {
        let mut out = Vec::new();
        Format::parse(format, false).unwrap().write(&mut out, record).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_piece_prints_its_field() {
        let mut record = record("t", 3, 42, Some("key"), Some("value"));
        record.timestamp = 1_700_000_000_000;
        record.headers = vec![("a".into(), Some("1".into())), ("b".into(), None)];
        assert_eq!(printed("%t %p %o %k %s\\n", &record), "t 3 42 key value\n");
        assert_eq!(printed("%T|%K|%S|%h", &record), "1700000000000|3|5|a=1,b=NULL");
        assert_eq!(printed("100%% \\x41\\t\\\\%s", &record), "100% A\t\\value");
        assert_eq!(printed("", &record), "");
        assert_eq!(printed("%R", &record), "\0\0\0\u{5}");
    }

    #[test]
    fn null_is_nothing_or_a_word() {
        let record = record("t", 0, 0, None, None);
        assert_eq!(printed("[%k][%s] %K %S", &record), "[][] -1 -1");
        let mut out = Vec::new();
        Format::parse("%k %s", true).unwrap().write(&mut out, &record).unwrap();
        assert_eq!(out, b"NULL NULL");
    }

    #[test]
    fn the_short_form_has_delimiters() {
        let record = record("t", 0, 0, Some("k"), Some("v"));
        let mut out = Vec::new();
        Format::plain(Some(":"), "\\n", false).unwrap().write(&mut out, &record).unwrap();
        Format::plain(None, "\\x00", false).unwrap().write(&mut out, &record).unwrap();
        assert_eq!(out, b"k:v\nv\0");
    }

    #[test]
    fn mistakes_are_named() {
        for (format, word) in
            [("%q", "%q"), ("50%", "%%"), ("\\q", "\\q"), ("\\", "backslash"), ("\\x4", "hex")]
        {
            let error = Format::parse(format, false).unwrap_err();
            assert!(error.contains(word), "{format}: {error}");
        }
        assert_eq!(unescape("ü\\xff").unwrap(), [0xc3, 0xbc, 0xff]);
    }
}
