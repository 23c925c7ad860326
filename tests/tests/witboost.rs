//! `terrace witboost` against a stand-in of the platform, and the pickers of `terrace serve`.

mod faults;
mod pickers;
mod platform;
mod registrations;
mod validations;
