//! From a plan to objects: apply, destroy, drift, interruptions, removal of data.

mod access;
mod adopt; // objects created outside terrace are adopted
mod concurrency; // parallel runs: the same component waits or is refused, different ones run
pub(crate) mod crash; // killed before and after an effect, and at any moment: no orphan, no duplicate
mod data_loss; // data is removed only with a shown plan and consent
mod deferral; // resources whose plan needs a command's result wait for another apply
mod destroy; // destroys from state alone
mod drift; // a scheduled job reports drift
mod imports; // import, taint, untaint, unprotect, state mv
mod interrupted; // interrupted resources wait for recovery, also while their objects change outside terrace
mod interrupted_meanwhile; // interruptions between recovery and plan
mod pruning; // old data is removed, or removal fails or stops
mod recorded_order; // recorded dependency order
mod regressions; // fixed bugs
mod replacements; // a replaced object is deleted only after its successor can be created
mod rollback; // resources restored from history alone
mod saved_plans; // a saved plan is applied once, to the state it was made from
mod shared; // two products in one database
mod transitions; // moved, forget, imports
