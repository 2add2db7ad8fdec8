//! Many seeds: on several threads, with checkpoints, and with the same sums however many threads there are.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::episode::{Outcome, Plan, run};
use crate::faults::Profile;
use crate::signatures::Scheme;
use crate::totals::Totals;

/// How often a checkpoint is written.
const SAVE_EVERY: Duration = Duration::from_secs(10);

/// Seeds one after the other, until so many bookings were made or a rule was broken.
///
/// ```
/// use rideplane_sim::{Bulk, Profile};
/// let bulk = Bulk { bookings: 100, ..Bulk::new(1, Profile::Everyday) };
/// let totals = bulk.run(|_| ())?;
/// assert!(totals.bookings >= 100 && totals.violations.is_empty());
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Bulk {
    /// The first seed.
    pub seed: u64,
    /// The mix of faults.
    pub faults: Profile,
    /// How many bookings; the last seed is run to its end.
    pub bookings: u64,
    /// On how many threads. Each seed runs on one, and sums are taken in the order of the seeds.
    pub threads: NonZeroUsize,
    /// How messages are signed; `None` for what each seed draws.
    pub signatures: Option<Scheme>,
    /// Where the sums are kept. When the file exists, the run goes on from them.
    pub checkpoint: Option<PathBuf>,
}

impl Bulk {
    /// One thread, 100,000 bookings, no checkpoint.
    #[must_use]
    pub const fn new(seed: u64, faults: Profile) -> Self {
        Self {
            seed,
            faults,
            bookings: 100_000,
            threads: NonZeroUsize::MIN,
            signatures: None,
            checkpoint: None,
        }
    }

    /// Runs; `progress` sees the sums after each seed.
    ///
    /// # Errors
    /// When the checkpoint can't be read or written, or is of another run.
    pub fn run(&self, mut progress: impl FnMut(&Totals)) -> Result<Totals> {
        let mut totals = self.begin()?;
        let (next, over) = (AtomicU64::new(totals.next_seed), AtomicBool::new(false));
        thread::scope(|scope| {
            // A thread that is far ahead of a slow seed waits, so that little is thrown away at the end.
            let (done, outcomes) = sync_channel(self.threads.get() * 4);
            for _ in 0..self.threads.get() {
                let done = done.clone();
                let (next, over) = (&next, &over);
                scope.spawn(move || self.work(next, over, &done));
            }
            drop(done);
            let summed = self.sum(&mut totals, outcomes, &mut progress);
            over.store(true, Relaxed);
            summed
        })?;
        self.save(&totals)?;
        Ok(totals)
    }

    fn work(&self, next: &AtomicU64, over: &AtomicBool, done: &SyncSender<(u64, Outcome)>) {
        while !over.load(Relaxed) {
            let seed = next.fetch_add(1, Relaxed);
            let mut plan = Plan::new(seed, self.faults);
            plan.signatures = self.signatures.unwrap_or(plan.signatures);
            if done.send((seed, run(&plan))).is_err() {
                return;
            }
        }
    }

    /// Takes the receiver, so that whoever still sends when enough is summed hears that nobody listens.
    fn sum(
        &self,
        totals: &mut Totals,
        outcomes: Receiver<(u64, Outcome)>,
        progress: &mut impl FnMut(&Totals),
    ) -> Result<()> {
        let (before, began, mut saved) = (totals.wall_s, Instant::now(), Instant::now());
        let mut early = BTreeMap::new();
        while totals.bookings < self.bookings && totals.violations.is_empty() {
            let (seed, outcome) = outcomes.recv().context("a thread of the simulation died")?;
            early.insert(seed, outcome);
            while let Some(outcome) = early.remove(&totals.next_seed) {
                if totals.bookings >= self.bookings || !totals.violations.is_empty() {
                    break;
                }
                totals.add(&outcome);
            }
            totals.wall_s = before + began.elapsed().as_secs_f64();
            progress(totals);
            if saved.elapsed() > SAVE_EVERY {
                self.save(totals)?;
                saved = Instant::now();
            }
        }
        Ok(())
    }

    fn begin(&self) -> Result<Totals> {
        let fresh = Totals::new(self.seed, self.faults);
        let Some(file) = self.checkpoint.as_ref().filter(|file| file.exists()) else { return Ok(fresh) };
        let kept = read(file)?;
        if (kept.first_seed, kept.faults) != (self.seed, self.faults) {
            bail!(
                "{} is the checkpoint of seeds from {} with faults {}, asked for are seeds from {} with faults {}: name \
                 another file, or ask for the same",
                file.display(),
                kept.first_seed,
                kept.faults.as_str(),
                self.seed,
                self.faults.as_str()
            );
        }
        Ok(kept)
    }

    /// Written beside and moved into place, so that a run that is killed leaves a whole checkpoint.
    fn save(&self, totals: &Totals) -> Result<()> {
        let Some(file) = &self.checkpoint else { return Ok(()) };
        let beside = file.with_extension("part");
        std::fs::write(&beside, serde_json::to_string(totals)?)
            .and_then(|()| std::fs::rename(&beside, file))
            .with_context(|| format!("cannot write {}", file.display()))
    }
}

fn read(file: &Path) -> Result<Totals> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no checkpoint of this build", file.display()))
}
