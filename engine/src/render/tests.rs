//! Plans built by hand, in every form.

mod build;
mod hostile;
mod human;
mod machine;
mod markdown;
