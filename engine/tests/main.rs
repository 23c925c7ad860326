//! The engine through its front doors: descriptors in, calls of a scriptable provider and rows of a store out.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the support of tests fails like a test"
)]

#[allow(unreachable_pub, reason = "shared by the modules of one test binary")]
mod support;

mod access;
mod access_outputs; // what is told of a component while only access changes
mod adopt; // what is there already: taken over, or refused with the way to do it
mod blocks; // what comes after all instances of a resource
mod blueprint_locals; // values that blueprints compute once
mod by_hand; // rows that were changed by hand while a step on them was cut off
mod checks; // conditions before and after a step, and of a stack
mod clocks; // clocks that jump
mod create_first; // replacements that make the new object first
mod data; // what holds data, what is shared, what is retained
mod deferral; // what cannot be planned yet is left for another apply
mod doubt; // what is not known after a call, and who waits for it
mod drift; // what differs from the state
mod failure; // steps that fail, crash, are stopped
mod hostile; // input that nobody would write
mod imports; // objects that exist become resources, resources are forgotten
mod inconsistent; // objects that read back otherwise than planned
mod input; // descriptors with mistakes: what a person is told
mod instances; // which configured instance of a provider a resource lives in
mod journal_outages; // a store that fails for a while at every write, within one process
mod journal_points; // a crash or a failure at every write and every call
mod lifecycle; // what is ignored, what triggers a replacement
mod locals; // values computed from variables
mod looking; // what other stacks of the same run make is looked up
mod lookups; // what is looked up, now or while applying
mod moves; // resources that have another address now
mod names; // names that go from one resource to another
mod names_rule; // rules of names, of this version and earlier ones
mod needed; // containers and owners of objects that stay
mod order; // what is called, in which order, and what a second plan says
mod others; // what stacks read of each other
mod plan_files; // plan files: forged, changed, without a key
mod properties; // random stacks among random trouble
mod repetition; // a single resource becomes a `forEach`, and back
mod request; // what is sent beside a descriptor, and what it says of siblings
mod results; // what a call leaves on record that fails or does something else
mod rollback; // back to what was recorded before
mod sealed_places; // sealed values open at their own place only
mod secrets; // what is sensitive from now on, or was until now
mod shared; // what several stacks own
mod slow; // providers that take their time before anything is called
mod standing; // what objects of what is left may stand on is not removed before them
mod targets; // plans of a part, objects that are made anew
mod telling; // what is told of steps, in which order
mod versions; // rows of other schema versions, and what providers say of plans
