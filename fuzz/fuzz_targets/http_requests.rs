//! `cargo fuzz run http_requests`; without libFuzzer it replays the files that it is given.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| rideplane_fuzz::http_requests(data));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    rideplane_fuzz::replay(rideplane_fuzz::http_requests)
}
