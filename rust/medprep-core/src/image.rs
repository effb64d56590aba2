//! Pixels in memory: row-major, interleaved channels, no padding between rows.

/// An image of `height` x `width` x `channels` values, C-contiguous.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Image<T> {
    height: usize,
    width: usize,
    channels: usize,
    data: Vec<T>,
}

/// 8-bit image, the type of every default pipeline.
pub type ImageU8 = Image<u8>;
/// 16-bit image (grey PNG, DICOM) before the window.
pub type ImageU16 = Image<u16>;

/// An image whose values belong to somebody else; otherwise as [`Image`].
#[derive(Debug, Clone, Copy)]
pub struct ImageRef<'a, T> {
    shape: (usize, usize, usize),
    data: &'a [T],
}

impl<'a, T> ImageRef<'a, T> {
    /// Takes `data` for an image of `shape`: height, width, channels.
    ///
    /// # Panics
    /// If the length does not match the shape.
    pub fn new(shape: (usize, usize, usize), data: &'a [T]) -> Self {
        let (height, width, channels) = shape;
        let len = height.checked_mul(width).and_then(|pixels| pixels.checked_mul(channels));
        assert_eq!(Some(data.len()), len, "length must match the shape");
        Self { shape, data }
    }

    /// (height, width, channels).
    pub fn shape(&self) -> (usize, usize, usize) {
        self.shape
    }

    /// All values, row-major, channels interleaved.
    pub fn data(&self) -> &'a [T] {
        self.data
    }
}

impl<'a, T> From<&'a Image<T>> for ImageRef<'a, T> {
    fn from(image: &'a Image<T>) -> Self {
        Self { shape: image.shape(), data: image.data() }
    }
}

impl<T: Copy + Default> Image<T> {
    /// A zero image.
    ///
    /// # Panics
    /// If the number of values overflows `usize`; decoders check sizes before they allocate.
    pub fn zeros(height: usize, width: usize, channels: usize) -> Self {
        let len = Self::len_of(height, width, channels);
        Self { height, width, channels, data: vec![T::default(); len] }
    }

    /// Wraps `data`, which holds `height * width * channels` values in row-major order.
    ///
    /// # Panics
    /// If the length does not match the shape.
    pub fn from_vec(height: usize, width: usize, channels: usize, data: Vec<T>) -> Self {
        assert_eq!(
            data.len(),
            Self::len_of(height, width, channels),
            "length must match the shape"
        );
        Self { height, width, channels, data }
    }

    /// Gives this image another shape, keeping its allocation when it suffices. Values are unspecified.
    ///
    /// # Panics
    /// If the number of values overflows `usize`.
    pub fn reshape(&mut self, height: usize, width: usize, channels: usize) {
        let len = Self::len_of(height, width, channels);
        self.data.resize(len, T::default());
        (self.height, self.width, self.channels) = (height, width, channels);
    }

    fn len_of(height: usize, width: usize, channels: usize) -> usize {
        height
            .checked_mul(width)
            .and_then(|pixels| pixels.checked_mul(channels))
            .expect("image sizes are checked before allocation")
    }
}

impl<T> Image<T> {
    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Values per pixel: 1 (grey) or 3 (RGB order).
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// (height, width, channels).
    pub fn shape(&self) -> (usize, usize, usize) {
        (self.height, self.width, self.channels)
    }

    /// All values, row-major, channels interleaved.
    pub fn data(&self) -> &[T] {
        &self.data
    }

    /// All values, writable.
    pub fn data_mut(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// Row `y`: `width * channels` values.
    pub fn row(&self, y: usize) -> &[T] {
        let stride = self.width * self.channels;
        &self.data[y * stride..][..stride]
    }

    /// Row `y`, writable.
    pub fn row_mut(&mut self, y: usize) -> &mut [T] {
        let stride = self.width * self.channels;
        &mut self.data[y * stride..][..stride]
    }

    /// The values, taking them out of the image.
    pub fn into_vec(self) -> Vec<T> {
        self.data
    }
}
