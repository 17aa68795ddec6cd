//! Records in the making, together with the image that they lead to.

use crate::metadata::{
    MetadataImage, MetadataRecord,
    error::{AdminError, AdminErrorKind},
};

/// A copy of the image with the records made so far folded in.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    base: &'a MetadataImage,
    image: MetadataImage,
    records: Vec<MetadataRecord>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(base: &'a MetadataImage) -> Self {
        Self { base, image: base.clone(), records: Vec::new() }
    }

    /// The image with the records made so far.
    pub(super) fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// Adds one item's records, all or none.
    pub(super) fn add(&mut self, records: Vec<MetadataRecord>) -> Result<(), AdminError> {
        let kept = self.records.len();
        self.records.extend(records);
        let added = fold(&mut self.image, &self.records[kept..]);
        if added.is_err() {
            // Rare enough to be dear: what was folded in before folds in again.
            self.records.truncate(kept);
            self.image = self.base.clone();
            fold(&mut self.image, &self.records)?;
        }
        added
    }

    /// The records to decide: none if the request only asked for a check.
    pub(super) fn finish(self, validate_only: bool) -> Vec<MetadataRecord> {
        if validate_only { Vec::new() } else { self.records }
    }
}

fn fold(image: &mut MetadataImage, records: &[MetadataRecord]) -> Result<(), AdminError> {
    for record in records {
        image
            .apply(image.end(), record)
            .map_err(|error| AdminError::new(AdminErrorKind::InvalidRequest, error.reason))?;
    }
    Ok(())
}
