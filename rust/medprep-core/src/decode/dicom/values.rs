//! Stored values in memory that is reused from file to file.

/// Stored values, one after the other: (frames, rows, columns, samples), C-contiguous.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values {
    /// Up to 8 bits, unsigned; also 1-bit pixels, one a value.
    U8(Vec<u8>),
    /// Up to 8 bits, two's complement.
    I8(Vec<i8>),
    /// Up to 16 bits, unsigned.
    U16(Vec<u16>),
    /// Up to 16 bits, two's complement.
    I16(Vec<i16>),
    /// Up to 32 bits, unsigned.
    U32(Vec<u32>),
    /// Up to 32 bits, two's complement.
    I32(Vec<i32>),
}

impl Default for Values {
    fn default() -> Self {
        Self::U8(Vec::new())
    }
}

impl Values {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::I8(values) => values.len(),
            Self::U16(values) => values.len(),
            Self::I16(values) => values.len(),
            Self::U32(values) => values.len(),
            Self::I32(values) => values.len(),
        }
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A width of samples while they are decoded, without sign.
pub(super) trait Sample: Copy + Default + Ord + Send + Sync + 'static {
    const BITS: u32;

    fn from_u32(value: u32) -> Self;
    fn to_u32(self) -> u32;
    /// `bytes` has whole samples.
    fn append_le(bytes: &[u8], out: &mut Vec<Self>);
    fn swap_bytes(self) -> Self;
    /// The memory of `values`, empty, if it is of this width.
    fn take(values: &mut Values) -> Vec<Self>;
    fn put(samples: Vec<Self>, signed: bool) -> Values;
}

macro_rules! sample {
    ($unsigned:ty, $signed:ty, $plain:ident, $complement:ident) => {
        impl Sample for $unsigned {
            const BITS: u32 = <$unsigned>::BITS;

            fn from_u32(value: u32) -> Self {
                value as Self
            }

            fn to_u32(self) -> u32 {
                self.into()
            }

            fn append_le(bytes: &[u8], out: &mut Vec<Self>) {
                let samples = bytes.as_chunks::<{ size_of::<$unsigned>() }>().0;
                out.extend(samples.iter().map(|&sample| Self::from_le_bytes(sample)));
            }

            fn swap_bytes(self) -> Self {
                <$unsigned>::swap_bytes(self)
            }

            fn take(values: &mut Values) -> Vec<Self> {
                let mut samples: Vec<Self> = match std::mem::take(values) {
                    Values::$plain(samples) => samples,
                    // Same size: the standard library collects in place.
                    Values::$complement(samples) => {
                        samples.into_iter().map(|sample| sample as Self).collect()
                    }
                    _ => Vec::new(),
                };
                samples.clear();
                samples
            }

            fn put(samples: Vec<Self>, signed: bool) -> Values {
                if signed {
                    let samples = samples.into_iter().map(|sample| sample as $signed).collect();
                    Values::$complement(samples)
                } else {
                    Values::$plain(samples)
                }
            }
        }
    };
}

sample!(u8, i8, U8, I8);
sample!(u16, i16, U16, I16);
sample!(u32, i32, U32, I32);
