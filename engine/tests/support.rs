//! Test environment of the engine: a scriptable provider, stores that fail, and stories that plan and apply
//! descriptors.

pub mod faulty_store;
pub mod story;
pub mod world;

pub use story::Story;
