//! Zigzag varints as records use them, over plain slices.

/// Appends `value`.
pub(super) fn put(out: &mut impl bytes::BufMut, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        out.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

/// Bytes that [`put`] writes for `value`: 1 to 10.
pub(super) fn size(value: i64) -> usize {
    // Seven bits a byte; zero still takes one.
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// A 64-bit varint at the start of `input`, which moves on; `None` if cut short or over ten bytes.
pub(super) fn take_i64(input: &mut &[u8]) -> Option<i64> {
    let mut value = 0u64;
    for (index, &byte) in input.iter().take(10).enumerate() {
        // The tenth byte has room for one bit only.
        if index == 9 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            *input = &input[index + 1..];
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

/// A 32-bit varint at the start of `input`; `None` if cut short, over five bytes, or out of range.
pub(super) fn take_i32(input: &mut &[u8]) -> Option<i32> {
    let mut rest = *input;
    let value = take_i64(&mut rest)?;
    if input.len() - rest.len() > 5 {
        return None;
    }
    *input = rest;
    i32::try_from(value).ok()
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDGES: [i64; 16] = [
        0,
        -1,
        1,
        63,
        -64,
        64,
        -65,
        8191,
        -8192,
        8192,
        i32::MAX as i64,
        i32::MIN as i64,
        i32::MAX as i64 + 1,
        i32::MIN as i64 - 1,
        i64::MAX,
        i64::MIN,
    ];

    #[test]
    fn size_is_what_put_writes_and_take_reads_it_back() {
        for value in EDGES {
            let mut out = Vec::new();
            put(&mut out, value);
            assert_eq!(out.len(), size(value), "{value}");
            let mut input = &out[..];
            assert_eq!(take_i64(&mut input), Some(value));
            assert!(input.is_empty());
            let mut input = &out[..];
            assert_eq!(take_i32(&mut input), i32::try_from(value).ok(), "{value}");
        }
    }

    #[test]
    fn cut_and_overlong_varints_are_refused() {
        assert_eq!(take_i64(&mut &[][..]), None);
        assert_eq!(take_i64(&mut &[0x80, 0x80][..]), None);
        assert_eq!(take_i64(&mut &[0xff; 11][..]), None);
        let mut eleven = vec![0x80; 9];
        eleven.push(0x02);
        assert_eq!(take_i64(&mut &eleven[..]), None);
        assert_eq!(take_i32(&mut &[0x80, 0x80, 0x80, 0x80, 0x80, 0x00][..]), None);
    }
}
