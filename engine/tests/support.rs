//! Test environment of the engine: a scriptable provider, stores that fail, and stories that plan and apply
//! descriptors.

pub mod story;
pub mod troubled;
pub mod world;

pub use story::Story;
