//! Plans built by hand, in every form.

mod build;
mod drift;
mod hostile;
mod human;
mod machine;
mod markdown;
