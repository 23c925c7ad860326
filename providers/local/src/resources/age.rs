//! Telling by its age whether an object can come from a lost call.

use std::time::{Duration, SystemTime};
use terrace_provider::LostCall;

/// How far a file system's time stamps may lie before the moment that they stand for.
const COARSENESS: Duration = Duration::from_secs(2);

/// True when a time stamp lies within the time since the lost call was recorded.
///
/// It is compared by the call's age, not by when it was recorded: that is a time of the store's clock, this one of ours.
pub(crate) fn is_since(lost: &LostCall, stamp: SystemTime) -> bool {
    let now = SystemTime::from(jiff::Timestamp::now());
    match now.duration_since(stamp) {
        Ok(age) => age <= lost.age.saturating_add(COARSENESS),
        // A stamp from the future is younger than any call.
        Err(_) => true,
    }
}
