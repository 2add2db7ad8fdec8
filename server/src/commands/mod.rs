//! What the commands of the binary do, one file each.

pub mod audit;
pub mod fleet;
pub mod migrate;
pub mod serve;
