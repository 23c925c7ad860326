//! Decides by the age of an object whether a lost call may have created it.

use std::time::{Duration, SystemTime};
use terrace_provider::LostCall;

/// How far a time stamp of a file system may be before the actual time.
const TIMESTAMP_TOLERANCE: Duration = Duration::from_secs(2);

/// True if the time stamp is not older than the record of the lost call.
///
/// It compares with the age of the call and not with the time of its record: this time comes from the clock of the
/// store, the stamp from the clock of this machine.
pub(crate) fn is_newer_than_call(lost: &LostCall, stamp: SystemTime) -> bool {
    let now = SystemTime::from(jiff::Timestamp::now());
    match now.duration_since(stamp) {
        Ok(age) => age <= lost.age.saturating_add(TIMESTAMP_TOLERANCE),
        // A stamp in the future is younger than any call.
        Err(_) => true,
    }
}
