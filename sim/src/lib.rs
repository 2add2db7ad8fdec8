//! The deterministic simulator: riders, vehicles, servers and everything that can go wrong between them, from one seed.
//!
//! ```text
//! rideplane-sim run --bookings 1000000 --faults swarm     seeds until so many bookings were made
//! rideplane-sim replay 41 --faults storm --out FOLDER     one seed again, with its log and sequence diagram
//! rideplane-sim shrink 41 --faults storm                  fewer actors, fewer faults, a shorter run
//! rideplane-sim corpus                                    the committed seeds
//! rideplane-sim defects                                   plants every known defect and sees it found
//! rideplane-sim report --out FILE                         a page about all of it
//! rideplane-sim bare                                      the app alone, to see what the simulation adds
//! ```
//!
//! # What is simulated
//! The use cases of `rideplane-app` as they are, on one to three servers that each have an app, a worker and a turn at
//! the relay and the notifier. Behind every port of theirs is a wire: each call may fail before its effect, lose its
//! answer, time out, be carried out twice, be delayed so that others overtake it, show what was true a moment ago, or
//! end the process before or after. Behind the wires are the memory adapter's store, a payment provider with books of its
//! own, a bus that is a log, and vehicles that run core's agent over a bolt, a battery and a memory that survives a power
//! cut. Riders search or scan, book, pay, authenticate, ride, tap twice, walk away, come back, and try each other's
//! vehicles. Clocks of servers differ by up to 2 s; a vehicle's is at most 11 s behind, so that all differences stay within
//! the 15 s that the policy allows for. A vehicle further behind is safe only as far as the broker drops expired
//! messages.
//!
//! One thread a seed, no runtime, no clock: time jumps to whatever happens next, and one seed is one history. Who would find
//! nothing is not asked: workers, relays and consumers are woken when a write gave them something to do. Messages are signed
//! by a keyed hash, and in one seed of 32 by Ed25519; histories do not depend on which.
//!
//! Each seed has a **safety phase** with faults, until every rider is done, and a **liveness phase** without, in which
//! everything must come to its end within 90 virtual minutes.
//!
//! # What the oracles say
//! [`Rule`] lists them. They are written from the spec, watch the commits that really happened, the provider's books, the
//! bolts and what riders were told, and know nothing of how the system decides. A plain reference model of a booking is
//! folded beside from the committed events and must agree with the stored states.
//!
//! # How to read a failure
//! A seed that breaks a rule prints the rule, what was found, and the one command that runs it again. `replay` shows what
//! concerns the booking and the vehicle at fault, as a log and as a Mermaid sequence diagram; `shrink` first makes it
//! small. A history can be changed only by the seed and the options that the command names.
//!
//! # How fast
//! `bare` runs the same journeys on the app alone, over the same store, provider and vehicles. A simulation makes a quarter to
//! two fifths of that: about a hundred port calls and nineteen events a booking go through wires, clockwork and oracles. What the app
//! itself does, JSON of events and answers first, sets the limit.
//!
//! # What keeps the oracles honest
//! [`Defect`] lists what is planted: mutants of store, provider, bus, vehicles and clients, wrapped over the real ones.
//! Each must be found within 10,000 bookings.

#![allow(clippy::unwrap_used, reason = "a simulation that can't build its own names has nothing to say")]
#![allow(clippy::wildcard_enum_match_arm, reason = "mutants and oracles look at a few events among many")]

mod actors;
mod bare;
mod bulk;
mod cli;
mod corpus;
mod coverage;
mod defects;
mod episode;
mod faults;
mod hunt;
mod net;
mod oracle;
mod ports;
mod report;
mod rng;
mod shrink;
mod signatures;
mod totals;
mod trace;
mod world;

pub use bare::bare;
pub use bulk::Bulk;
pub use cli::{Cli, replay_command};
pub use corpus::{Corpus, Entry};
pub use coverage::{Coverage, Task};
pub use defects::Defect;
pub use episode::{Outcome, Plan, run};
pub use faults::{Fault, Profile, Rates};
pub use hunt::{Hunt, hunt};
pub use oracle::{Rule, Violation};
pub use report::render;
pub use shrink::shrink;
pub use signatures::Scheme;
pub use totals::{RunResult, Totals};
pub use trace::Trace;
