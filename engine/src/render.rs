//! One plan, shown to different readers.
//!
//! Every form is made from the one inert [`Plan`](crate::plan::Plan) and says the same: [`human`] for a terminal,
//! [`markdown`] for a pull request, [`json`] for tools that read plans of terraform, [`stream`] for tools that follow
//! an operation, [`steps`] for people who do, [`drift`] for what changed outside terrace. The forms share what a change is called ([`headline`]),
//! how its attributes differ ([`attributes`]) and how it is counted ([`totals`]).
//!
//! Values that are marked sensitive are never opened here, and every text from outside is made harmless before it is
//! printed ([`text`]).

mod attributes;
pub mod drift;
mod headline;
pub mod human;
pub mod json;
mod line;
pub mod markdown;
mod paint;
pub mod steps;
pub mod stream;
pub(crate) mod text;
mod text_diff;
mod totals;
mod value;

pub use text::{environment_option, is_invisible, narrowed, shell_word, with_visible};
pub use totals::{SOURCE_SPEC, still_left};
pub(crate) use value::{Limits, SENSITIVE, UNKNOWN, brief_change};

#[cfg(test)]
mod tests;
