//! Tests of all forms with hand-made plans.

mod build;
mod drift;
mod hostile;
mod human;
mod machine;
mod markdown;
