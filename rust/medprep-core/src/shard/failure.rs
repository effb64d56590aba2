//! An input that could not be used: one line of the failure stream.

use serde::{Deserialize, Serialize};

/// One input that is not in the shard, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Relative path or keyed id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Relative path; absent in private mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `read`, `decode`, a step's name, ...
    pub stage: String,
    /// The message without the path.
    pub reason: String,
}
