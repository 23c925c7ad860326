//! A stand-in of Witboost's platform for tests: the exchange of access tokens, the registration of adapters and the
//! validation of descriptors, in memory. Paths, fields and errors of the first two are those of the published pages
//! (<https://docs.witboost.com/docs/apis/witboost/authentication>, <https://docs.witboost.com/api/control-plane/>), those of
//! the validation are from the vendor's client (<https://github.com/agile-lab-dev/witboost-ai-toolkit>).
//!
//! It is strict: it refuses unknown paths, queries and fields, missing headers, expired tokens, and ids whose version differs
//! from `version`, and records each refusal that a correct client does not cause (`complaints`).
//!
//! Read in this order: [`StandIn`] (how a test starts one), `api` (the calls), `world` (the data).
#![forbid(unsafe_code)]

mod api;
mod http;
mod world;

pub use http::{StandIn, Witboost};
pub use terrace_test_listening::strict::{Fault, ReceivedCall};
pub use world::Validation;
