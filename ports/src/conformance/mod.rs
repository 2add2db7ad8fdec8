//! What every implementation of a port must do, as functions that panic when it does not.

pub mod gateway;
pub mod link;
