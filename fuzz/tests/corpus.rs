//! The corpora as ordinary tests: every file through its target, then mutations of them that are the same every time.

use std::fs;
use std::path::PathBuf;

use rideplane_fuzz::{TARGETS, Target};

/// Mutated inputs per target. Signatures make one target a hundred times dearer than the others.
fn mutations(target: &str) -> u64 {
    match target {
        "unlock_decode" => 400,
        "http_requests" => 300,
        "geo_index" | "geofencing_zones" => 250,
        "booking_commands" | "trip_rows" | "fleet_file" => 500,
        "payment_facts" | "config" => 800,
        _ => 2_000,
    }
}

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<(String, Vec<u8>)> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn every_corpus_file_keeps_every_promise() {
    for (name, target) in TARGETS {
        let files = corpus(name);
        assert!(!files.is_empty(), "{name} has no corpus: an input or two belong in fuzz/corpus/{name}");
        for (file, bytes) in files {
            println!("fuzz/corpus/{name}/{file}");
            target(&bytes);
        }
    }
}

#[test]
fn the_corpora_stay_small() {
    let all: Vec<_> = TARGETS.iter().flat_map(|(name, _)| corpus(name)).collect();
    let bytes: usize = all.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(all.len() < 1_000 && bytes < 300_000, "{} files, {bytes} bytes: minimise them", all.len());
}

#[test]
fn every_folder_of_the_corpus_and_every_program_is_a_target() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    for folder in ["corpus", "fuzz_targets"] {
        let mut names: Vec<String> = fs::read_dir(root.join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        names.sort();
        let mut targets = TARGETS.map(|(name, _)| name.to_owned());
        targets.sort();
        assert_eq!(names, targets, "in fuzz/{folder}");
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides.max(1) as u64) as usize
    }
}

fn mutate(dice: &mut Dice, files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = files[dice.roll(files.len())].1.clone();
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(bytes.len() + 1);
        match dice.roll(6) {
            0 => bytes.insert(at, dice.roll(256) as u8),
            1 => bytes.truncate(at),
            2 => {
                let end = (at + dice.roll(8)).min(bytes.len());
                bytes.drain(at..end);
            }
            3 => {
                let other = &files[dice.roll(files.len())].1;
                let from = dice.roll(other.len() + 1);
                bytes.splice(at.., other[from..].iter().copied());
            }
            4 if at < bytes.len() => bytes[at] ^= 1 << dice.roll(8),
            _ if at < bytes.len() => bytes[at] = dice.roll(256) as u8,
            _ => {}
        }
    }
    bytes.truncate(4_096);
    bytes
}

fn smoke(name: &str, target: Target) {
    let files = corpus(name);
    let mut dice = Dice(0x005e_ed00);
    for round in 0..mutations(name) {
        let bytes = mutate(&mut dice, &files);
        if let Err(panic) = std::panic::catch_unwind(|| target(&bytes)) {
            println!("{name}, round {round}: {:?}", bytes.escape_ascii().to_string());
            std::panic::resume_unwind(panic);
        }
    }
}

macro_rules! mutations_of {
    ($($name:ident),*) => {$(
        #[test]
        fn $name() {
            smoke(stringify!($name), rideplane_fuzz::$name);
        }
    )*};
}

mod mutated {
    use super::*;
    mutations_of!(
        booking_commands,
        payment_facts,
        unlock_decode,
        pricing_plan,
        trip_rows,
        fleet_file,
        config,
        geo_index,
        geofencing_zones,
        webhook,
        http_requests
    );
}
