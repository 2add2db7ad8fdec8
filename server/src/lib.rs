//! The parts of the Rideplane binary that other programs (tests, fuzz targets, benches) call as a library.

pub mod replay;
