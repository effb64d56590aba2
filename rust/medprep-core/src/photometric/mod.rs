//! What pixel values become: Lab, CLAHE, gamma, median, bit-equal to OpenCV on x86-64; the DICOM value window.
//!
//! Everything takes `&src, &mut dst`; `dst` gets the shape of `src`. Each function takes the vector
//! path of [`crate::cpu`]; the scalar one is the definition, and all give the same bytes.

mod chain;
mod check;
mod clahe;
mod gamma;
mod lab;
mod lut;
mod median;
mod window;

pub use chain::{ChainPart, ChainSteps, PostChain};
pub use clahe::{ClaheScratch, clahe_grey_into, clahe_rgb_into, clahe_u16_into};
pub use gamma::{GammaTable, WideGammaTable};
pub use lab::{lab_to_rgb, rgb_to_lab};
pub use median::{median3_into, median3_wide_into};
pub use window::{Window, WindowFunction};
