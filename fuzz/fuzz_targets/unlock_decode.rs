//! `cargo fuzz run unlock_decode`; without libFuzzer it replays the files that it is given.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| rideplane_fuzz::unlock_decode(data));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    rideplane_fuzz::replay(rideplane_fuzz::unlock_decode)
}
