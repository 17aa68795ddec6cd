//! Read-only shared mappings of files: the only `unsafe` code of the workspace.
#![expect(unsafe_code, reason = "mapping a file is unsafe by nature; all of it is in this module")]

use std::fs;
use std::io;

use bytes::Bytes;
use memmap2::MmapOptions;

/// Pages that one call of [`is_resident`] looks at; a longer range is judged by its beginning.
const RESIDENCY_PAGE_COUNT: usize = 1024;

/// Maps the first `size` bytes of a file. Slices of the result share the mapping, which ends with
/// the last of them. What is written to the file through its descriptor afterwards is visible.
///
/// The file must have at least `size` bytes and must not shrink while the mapping lives: touching a
/// page beyond the end kills the process. `OsFile` keeps both promises for its own files.
///
/// # Errors
/// Whatever the system reports, such as too many mappings in one process.
pub(crate) fn map(file: &fs::File, size: usize) -> io::Result<Bytes> {
    // SAFETY: the mapping is read-only and handed out only as `&[u8]`. It stays inside the file, as
    // the doc comment demands. The bytes may change under a reader: the one owner of the file
    // overwrites a range (only to wipe what a truncation cut) while an older slice of it may be
    // alive. Nothing here or in the callers makes memory safety depend on the content: slices are
    // copied to a socket or parsed with bounds checks, and each batch carries a checksum.
    let map = unsafe { MmapOptions::new().len(size).map(file)? };
    Ok(Bytes::from_owner(map))
}

/// Whether all pages that hold `bytes`, a slice of a [`map`], are in memory. `false` when unknown.
pub(crate) fn is_resident(bytes: &[u8]) -> bool {
    if bytes.is_empty() {
        return true;
    }
    let page_size = rustix::param::page_size();
    let misaligned = bytes.as_ptr() as usize % page_size;
    let size = (bytes.len() + misaligned).min(RESIDENCY_PAGE_COUNT * page_size);
    let start = bytes.as_ptr().wrapping_sub(misaligned);
    let mut pages = [0u8; RESIDENCY_PAGE_COUNT];
    let page_count = size.div_ceil(page_size);
    // SAFETY: `mincore` reads no memory of the range, it only looks at the page tables of it, and
    // fails for addresses that are not mapped. It writes one byte per page of the range, and
    // `pages` holds `RESIDENCY_PAGE_COUNT` of them, to which `size` was cut.
    let status = unsafe { libc::mincore(start.cast_mut().cast(), size, pages.as_mut_ptr().cast()) };
    status == 0 && pages[..page_count].iter().all(|page| page & 1 == 1)
}
