//! The rideplane binary.
fn main() {}
