//! `cargo fuzz run geofencing_zones`; without libFuzzer it replays the files that it is given.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| rideplane_fuzz::geofencing_zones(data));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    rideplane_fuzz::replay(rideplane_fuzz::geofencing_zones)
}
