//! Publishing, and subscribing to what is published.

pub(super) mod publishing;
pub(super) mod subscribing;
