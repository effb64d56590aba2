//! Where rows of pixels go: a whole image, or bands handed to a consumer.

use super::Info;
use crate::ImageU8;

/// Receives the rows of one image from top to bottom.
pub(super) trait Output {
    /// Called once, before the first row and after all checks of the header.
    fn start(&mut self, info: &Info);
    /// Room for row `y`: width * channels bytes. Rows before `y` are complete.
    fn row(&mut self, y: usize) -> &mut [u8];
    /// All rows are complete.
    fn finish(&mut self);
}

impl Output for ImageU8 {
    fn start(&mut self, info: &Info) {
        self.reshape(info.height, info.width, info.channels);
    }

    fn row(&mut self, y: usize) -> &mut [u8] {
        self.row_mut(y)
    }

    fn finish(&mut self) {}
}

/// Takes a band: its first row, the rows, and the bytes per row.
pub(super) type Sink<'s> = &'s mut dyn FnMut(usize, &[u8], usize);

/// Collects rows and passes them on `height` at a time; the last band may be lower.
pub(super) struct Bands<'s> {
    pub buffer: &'s mut Vec<u8>,
    pub height: usize,
    pub sink: Sink<'s>,
    pub stride: usize,
    /// The first row of the band and the rows it has.
    pub first: usize,
    pub rows: usize,
}

impl Output for Bands<'_> {
    fn start(&mut self, info: &Info) {
        self.stride = info.width * info.channels;
        self.height = self.height.clamp(1, info.height);
        let length = self.height * self.stride;
        if self.buffer.len() < length {
            self.buffer.resize(length, 0);
        }
    }

    fn row(&mut self, y: usize) -> &mut [u8] {
        if self.rows == self.height {
            self.finish();
            self.first = y;
            self.rows = 0;
        }
        let row = &mut self.buffer[self.rows * self.stride..][..self.stride];
        self.rows += 1;
        row
    }

    fn finish(&mut self) {
        (self.sink)(self.first, &self.buffer[..self.rows * self.stride], self.stride);
    }
}
