//! A world to plan and apply in: a scriptable provider, a store in memory, and stories told as descriptors.

pub mod story;
pub mod world;

pub use story::Story;
