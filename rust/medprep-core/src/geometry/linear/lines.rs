//! The two source rows a target row is blended from, resized horizontally.

/// Lines and which source rows they are of; the memory is reused from image to image.
#[derive(Debug, Default)]
pub(super) struct Lines<T> {
    lines: [Vec<T>; 2],
    held: [Option<usize>; 2],
}

impl<T: Copy + Default> Lines<T> {
    /// Forgets the last image; lines are `len` values long.
    pub(super) fn restart(&mut self, len: usize) {
        for line in &mut self.lines {
            line.resize(len, T::default());
        }
        self.held = [None, None];
    }

    /// The lines of two source rows, of which those not at hand are made by `resize_row`.
    pub(super) fn of(
        &mut self,
        sources: [usize; 2],
        mut resize_row: impl FnMut(usize, &mut [T]),
    ) -> [&[T]; 2] {
        // Going down, the lower line of one target row is often the upper line of the next.
        if self.held[1] == Some(sources[0]) {
            self.lines.swap(0, 1);
            self.held.swap(0, 1);
        }
        for (slot, source) in sources.into_iter().enumerate() {
            if self.held[slot] != Some(source) {
                resize_row(source, &mut self.lines[slot]);
                self.held[slot] = Some(source);
            }
        }
        let [upper, lower] = &self.lines;
        [upper, lower]
    }
}
