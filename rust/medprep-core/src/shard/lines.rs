//! JSON Lines under the commit protocol.

use std::path::Path;

use serde::Serialize;

use super::commit::TempFile;
use crate::error::Result;

/// Bytes collected before they are written.
const BUFFER_BYTES: usize = 1 << 20;

/// A JSON Lines file that becomes visible when it is whole.
#[derive(Debug)]
pub(crate) struct JsonLines {
    temp: TempFile,
    buffer: Vec<u8>,
    written: u64,
}

impl JsonLines {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        Ok(Self { temp: TempFile::create(path)?, buffer: Vec::new(), written: 0 })
    }

    /// Appends one object.
    pub(crate) fn push(&mut self, value: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut self.buffer, value).expect("plain data into memory");
        self.buffer.push(b'\n');
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.temp.write_at(&self.buffer, self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Makes the file visible.
    pub(crate) fn commit(mut self) -> Result<()> {
        self.flush()?;
        self.temp.commit()
    }
}
