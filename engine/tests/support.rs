//! A world to plan and apply in: a scriptable provider, stores that break, and stories told as descriptors.

pub mod story;
pub mod troubled;
pub mod world;

pub use story::Story;
