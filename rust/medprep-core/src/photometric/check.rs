//! What every photometric step asks of its image.

use crate::error::{Error, Item, Result};

/// Refuses an empty image or one whose channels the step does not take, by its shape.
pub(super) fn check_shape(
    step: &'static str,
    (height, width, channels): (usize, usize, usize),
    allowed_channels: &[usize],
) -> Result<()> {
    let fail = |reason: String| Err(Error::Step { item: Item::default(), step, reason });
    if height == 0 || width == 0 {
        return fail(format!("the image is empty ({height} x {width})"));
    }
    if !allowed_channels.contains(&channels) {
        let allowed: Vec<String> = allowed_channels.iter().map(ToString::to_string).collect();
        return fail(format!("expected {} channels, found {channels}", allowed.join(" or ")));
    }
    Ok(())
}
