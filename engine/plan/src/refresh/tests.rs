use super::*;
use terrace_provider::{Attribute, AttributeType, Object};

fn ty() -> ResourceType {
    let attributes = Object(vec![Attribute::new("name", AttributeType::String, "A name.")]);
    ResourceType::new("w_a", "A thing.", &["name"], attributes)
}

/// The number of rounds that the time limit allows for these reads.
fn rounds(limits: &Limits, count: usize, other_reads: usize) -> u128 {
    let ty = ty();
    batch_timeout(Some(limits), (&ty, ty.timeouts.read), count, other_reads).as_millis() / ty.timeouts.read.as_millis()
}

#[test]
fn types_of_an_instance_share_its_slots() {
    let limits = Limits::default();
    assert_eq!(rounds(&limits, 160, 0), 10);
    assert_eq!(rounds(&limits, 160, 160), 20);
    assert_eq!(rounds(&Limits { concurrency: 4, ..limits }, 160, 160), 80);
}
