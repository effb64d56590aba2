//! Running planned shards on threads: parallel over images, committed in plan order.
//!
//! The only place of the core that starts threads. Which sample goes where is fixed by the plan, so
//! the bytes do not depend on the number of threads, on timing or on interruption. Memory is
//! threads x workspace plus a window of finished rows of a few MiB.

mod committer;
mod control;
mod dicom_headers;
mod job;
mod parallel;
mod pool;
mod queue;
mod run;
mod sequence;
mod source;
mod worker;

pub use control::Control;
pub use dicom_headers::read_dicom_headers;
pub use job::{Job, OnError};
pub use parallel::map_parallel;
pub use run::{Report, run};
pub use source::SourceRoot;
