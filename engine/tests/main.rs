//! Tests of the engine through its public API: descriptors in; provider calls and store rows out.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the support of tests fails like a test"
)]

#[allow(unreachable_pub, reason = "shared by the modules of one test binary")]
mod support;

mod access;
mod access_outputs; // outputs of a plan that changes only access
mod adopt; // existing objects: adopted, or refused with a hint
mod blocks; // dependencies on all instances of a resource
mod blueprint_locals; // values that blueprints compute once
mod checks; // conditions before and after a step, and of a stack
mod clocks; // clock jumps
mod create_first; // replacements that create first
mod cross_stack_lookups; // lookups of objects of other stacks in the same run
mod cross_stack_outputs; // outputs that stacks read from each other
mod data; // resources with data, shared and retained resources
mod deferral; // changes left for another apply
mod deferred_dependencies; // order of deletions around deferred and waiting objects
mod drift; // drift between state and objects
mod driver; // recovery, plan, approval and apply, while another process changes the state
mod edited_rows; // rows changed by a user during an interrupted step
mod event_order; // order of a step's events
mod failure; // steps that fail, crash or are stopped
mod hostile; // hostile input
mod imports; // imported and forgotten objects
mod in_doubt; // steps in doubt, and the changes that wait for them
mod inconsistent; // objects that read back differently than planned
mod input; // errors of descriptors with mistakes
mod instances; // provider instances of resources
mod journal_outages; // a store that fails for a while at every write
mod journal_points; // a crash or a failure at every write and every call
mod lifecycle; // ignored changes and triggered replacements
mod lists; // objects that a list reads
mod locals; // values computed from variables
mod lookups; // lookups during planning and apply
mod moves; // resources with a new address
mod names; // names that pass from one resource to another
mod names_rule; // naming rules of this version and earlier ones
mod needed; // containers and owners of objects that stay
mod order; // order of calls, and second plans
mod plan_files; // plan files: forged, changed, without a key
mod properties; // random stacks with random failures
mod repetition; // a single resource becomes a `forEach`, and back
mod request; // requests with a data product and its siblings
mod results; // state after calls that fail or deviate from the plan
mod rollback; // rollback to an earlier state
mod sealed_places; // sealed values open only at their own place
mod secrets; // values that become or stop being sensitive
mod shared; // resources owned by several stacks
mod slow; // providers that take time before the first call
mod targets; // targeted plans and requested replacements
mod versions; // rows of other schema versions, and provider findings
