//! Virtual time, ids and bad luck, each task's own.
//!
//! Journeys run side by side at different virtual times, and the vehicles and the payment provider must see the time of
//! the journey that talks to them. So time is a property of the task, not of the process.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicI64, Ordering};

use rideplane_core::time::Timestamp;
use rideplane_ports::{Clock, Ids};

use crate::replay::faults::Dice;

tokio::task_local! {
    static SCOPE: Scope;
}

/// A task's time, ids and bad luck.
#[derive(Debug)]
pub(super) struct Scope {
    now: Cell<Timestamp>,
    dice: Cell<Dice>,
    drawn: Cell<u64>,
    gateway: Cell<f64>,
    calls: Cell<u64>,
    met: RefCell<Vec<&'static str>>,
}

/// Reads the task's time; outside a task's scope the replay's own.
#[derive(Debug, Default)]
pub(crate) struct VirtualClock {
    base: AtomicI64,
}

/// Draws from the task's ids.
#[derive(Debug, Default)]
pub(crate) struct VirtualIds {
    outside: AtomicI64,
}

impl Scope {
    /// A scope at a time.
    pub(super) fn new(now: Timestamp, dice: Dice) -> Self {
        Self {
            now: Cell::new(now),
            dice: Cell::new(dice),
            drawn: Cell::new(0),
            gateway: Cell::new(0.0),
            calls: Cell::new(0),
            met: RefCell::default(),
        }
    }

    /// Runs a future in this scope.
    pub(super) async fn run<F: Future>(self, future: F) -> F::Output {
        SCOPE.scope(self, future).await
    }
}

/// Turns the scope of this task to a step of a journey. `gateway` is how likely a call to the provider fails.
pub(super) fn enter(now: Timestamp, dice: Dice, gateway: f64) {
    SCOPE.with(|scope| {
        scope.now.set(now);
        scope.dice.set(dice);
        scope.drawn.set(0);
        scope.gateway.set(gateway);
        scope.calls.set(0);
    });
}

/// The faults met since this was last asked.
pub(super) fn met() -> Vec<&'static str> {
    SCOPE.with(|scope| scope.met.take())
}

/// Whether this task's next call to the provider fails, and the dice for how.
pub(crate) fn next_call_fails() -> Option<Dice> {
    let drawn = SCOPE.try_with(|scope| {
        let call = scope.calls.get();
        scope.calls.set(call + 1);
        let dice = scope.dice.get().nth(call);
        dice.chance("gateway", scope.gateway.get()).then_some(dice)
    });
    drawn.ok().flatten()
}

/// Takes a fault down.
pub(crate) fn meet(fault: &'static str) {
    // Outside a journey there is nobody to tell.
    let _ = SCOPE.try_with(|scope| scope.met.borrow_mut().push(fault));
}

impl VirtualClock {
    /// Sets the replay's own time.
    pub(super) fn set(&self, now: Timestamp) {
        self.base.store(now.as_micros(), Ordering::Relaxed);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        let own = SCOPE.try_with(|scope| scope.now.get());
        own.unwrap_or_else(|_| Timestamp::from_micros(self.base.load(Ordering::Relaxed)))
    }
}

impl Ids for VirtualIds {
    fn fresh(&self) -> u128 {
        let (dice, n) = SCOPE
            .try_with(|scope| {
                let n = scope.drawn.get();
                scope.drawn.set(n + 1);
                (scope.dice.get(), n)
            })
            .unwrap_or_else(|_| {
                let n = self.outside.fetch_add(1, Ordering::Relaxed);
                (Dice::new(u64::MAX, u64::MAX), n as u64)
            });
        let dice = dice.nth(n);
        u128::from(dice.bits("id, high")) << 64 | u128::from(dice.bits("id, low"))
    }
}
