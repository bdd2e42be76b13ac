//! Decoded photos on disk, so that a data set of any size trains in little memory.

use std::{fs::File, io, os::unix::fs::FileExt};

use anyhow::{Context, Result};

/// Records of one length in a temporary file without a name: the system deletes it however the process ends, and its
/// page cache keeps in memory what fits there. Threads read and write records without a lock.
#[derive(Debug)]
pub struct PixelStore {
    file: File,
    record_len: usize,
}

impl PixelStore {
    /// An empty store of `record_len`-byte records, in the folder for temporary files.
    ///
    /// # Errors
    /// Where no file can be made there.
    pub fn new(record_len: usize) -> Result<Self> {
        let file = tempfile::tempfile().with_context(|| {
            format!(
                "{}: no temporary file can be made there: point TMPDIR at a folder that can be written to",
                std::env::temp_dir().display()
            )
        })?;
        Ok(Self { file, record_len })
    }

    /// Sets record `index`; those before it need not be there.
    ///
    /// # Errors
    /// Where the disk is full or fails.
    ///
    /// # Panics
    /// If `record` has another length than the store's records.
    pub fn write(&self, index: usize, record: &[u8]) -> Result<()> {
        assert_eq!(record.len(), self.record_len);
        self.file.write_all_at(record, self.offset(index)).map_err(|error| {
            let folder = std::env::temp_dir();
            let folder = folder.display();
            match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => anyhow::anyhow!(
                    "{folder}: no room left for the decoded photos ({} bytes each): free some space or point TMPDIR at a \
                     folder on a larger disk",
                    self.record_len
                ),
                _ => anyhow::Error::new(error).context(format!("{folder}: the decoded photos can't be stored there")),
            }
        })
    }

    /// Reads record `index`, which was written before.
    ///
    /// # Errors
    /// Where the disk fails, or the record lies past the last one written.
    ///
    /// # Panics
    /// If `record` has another length than the store's records.
    pub fn read(&self, index: usize, record: &mut [u8]) -> Result<()> {
        assert_eq!(record.len(), self.record_len);
        self.file.read_exact_at(record, self.offset(index)).with_context(|| {
            format!("{}: the decoded photos stored there can't be read back", std::env::temp_dir().display())
        })
    }

    fn offset(&self, index: usize) -> u64 {
        index as u64 * self.record_len as u64
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn records_come_back_whatever_their_order() {
        let store = PixelStore::new(3).unwrap();
        for index in [5, 0, 2] {
            store.write(index, &[index as u8; 3]).unwrap();
        }
        for index in [0, 2, 5] {
            let mut record = [9; 3];
            store.read(index, &mut record).unwrap();
            assert_eq!(record, [index as u8; 3]);
        }
        assert!(store.read(6, &mut [0; 3]).is_err());
    }

    #[test]
    fn a_full_disk_is_named() {
        let file = File::options().write(true).open("/dev/full").unwrap();
        let error = PixelStore { file, record_len: 3 }.write(0, &[1, 2, 3]).unwrap_err().to_string();
        assert!(error.contains("no room left") && error.contains("TMPDIR"), "{error}");
    }
}
