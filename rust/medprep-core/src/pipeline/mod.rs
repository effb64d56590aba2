//! The pipeline: what is done to every image, as data ([`Spec`]), and the doing of it ([`apply`]).
//!
//! The specification is the same JSON in the plan, in the manifest and in Python; its fingerprint
//! decides whether shards may be resumed.

mod apply;
mod canonical;
mod show;
mod source;
mod spec;
mod stage;
mod step;
mod wide;

pub use apply::{Workspace, apply, apply_bytes, apply_to};
pub use show::{ShowScratch, WindowChoice, show, show_into, show_u16_into};
pub use spec::{DType, Depth, Spec};
pub use stage::{STAGES, Stage, StageSeconds};
pub use step::{FrameChoice, Step, WindowMode};
