//! A model checker over the real deciders of the core: two riders, one vehicle and two servers, in every order in which
//! things can happen, to exhaustion.
//!
//! ```text
//! rideplane-model check                              every history of the small scope: 0.9 million states
//! rideplane-model check --scope rides                both riders ride
//! rideplane-model check --all                        every scope: 116 million states, some minutes, 3 GB
//! rideplane-model check --defect void-lost           the shortest history that shows a planted defect
//! rideplane-model defects                            plants every known defect and sees it found
//! ```
//!
//! # What is modelled
//! Claim, payment, unlock, ride and capture. What decides is core itself: `booking::journey` at the servers and
//! `unlock::Agent`, with real signatures, at the vehicle. Around it is as little as will do:
//! - a store that compares and sets: a server reads, decides, and commits later, on condition that nobody else has
//!   committed in between; who comes too late reads and decides again. Then it carries out what the stored state calls for;
//! - a provider with one answer per key. A call may be lost before its effect or its answer after it. It may ask a customer
//!   to authenticate, and its webhook about that may be lost;
//! - commands and acks in the air, which arrive in any order, late, never, or twice;
//! - a server that crashes at any step and forgets what it was at;
//! - a vehicle whose power fails while it carries a command out, before its bolt has moved or after;
//! - an operator who ends rides, takes the vehicle out of service, and lets it be hired again;
//! - time that jumps to the next instant at which anything changes, and clocks that are off.
//!
//! [`Scope`] says how much of that may happen in one history; no scope has everything. Riders press each button a bounded
//! number of times; a ride that its rider does not end is ended by the operator. Left out: several vehicles, and presence.
//! Refunds do not come up: a journey captures nothing that it would have to give back. The simulator has the others, at
//! random.
//!
//! # How states are kept few
//! The policy's waits are one to three units of time. Ids are functions of what they name, versions are kept as "nobody has
//! committed since", two servers whose clocks agree are alike, and the first rider is the one who asks first. So histories that
//! differ in nothing that matters meet in one state, which is gone on from once. A state is its parts' fingerprints; the core
//! is asked each question once, and answers by what it answered before (`memo.rs`).
//!
//! # What must hold
//! [`Rule`] lists it, read off the stored states, the provider's book and what the vehicle did. A state at rest is one
//! from which nothing goes on unless a rider wants it to: it must be clean. That stands in for liveness; a history that
//! goes round without end would not be seen.
//!
//! # What can't be seen here
//! A command of an earlier epoch is always an expired one: expiry and quarantine keep it from acting, whether or not the
//! vehicle compares epochs. So the planted vehicle forgets epoch, counter and commands alike. An ack that is lost for good
//! leaves a vehicle open of which nobody knows: no rule speaks of that, because no message tells how a bolt stands but acks.
//!
//! # Why a search of our own
//! The crate `stateright` does the same and asks for a `Hash` of every part of a state, which core's states do not
//! have and would get for this alone. A breadth-first search with prints of states is a hundred lines, ends with a
//! shortest counterexample, and tells it in the words of the journey.

#![allow(clippy::unwrap_used, reason = "a model that can't build its own names has nothing to say")]

mod action;
mod cli;
mod defects;
mod lock;
mod memo;
mod print;
mod provider;
mod rig;
mod rules;
mod scope;
mod search;
mod server;
mod words;
mod world;

pub use cli::Cli;
pub use defects::Defect;
pub use rules::Rule;
pub use scope::Scope;
pub use search::{Counterexample, Report, search};
