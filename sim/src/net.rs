//! What lies between the parts: virtual time, the queue of what happens next, and the fate of every call.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::task::{Poll, Waker};

use parking_lot::Mutex;
use rideplane_core::booking::Status;
use rideplane_core::time::{Span, Timestamp};
use rideplane_ports::{Kind, PortError};

use crate::coverage::{Coverage, Task};
use crate::faults::{Fault, Rates};
use crate::rng::Rng;
use crate::trace::{Line, Trace};

/// A future that a task is made of.
pub(crate) type Run = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The parts that a partition can set apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Riders,
    Server(usize),
    Store,
    Provider,
    Broker,
    Vehicle(usize),
    Bus,
    Notifier,
    Search,
    Signer,
}

/// Whose memory a task lives in: it dies with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    World,
    Server(usize),
}

/// What the world does by itself.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    Wake(Waker),
    Reaches { vehicle: usize, bytes: Vec<u8> },
    Ack { vehicle: usize, bytes: Vec<u8>, tries: u8 },
    Heartbeat(usize),
    PowerBack(usize),
    NetworkBack(usize),
    Worker(usize),
    Patrol(usize),
    Relay,
    Consume,
    Operate,
    Trouble,
    Restart(usize),
    Hint { reference: rideplane_core::ids::BookingId, tries: u8 },
}

/// What happens when, earliest first; what is for one moment happens in the order in which it was asked for.
#[derive(Default)]
struct Timers {
    /// When, in which turn it was asked for, and its place in `what`: small, because a heap moves its entries about.
    order: BinaryHeap<Reverse<(i64, u64, usize)>>,
    what: Vec<Option<Happening>>,
    free: Vec<usize>,
    asked: u64,
}

impl Timers {
    fn push(&mut self, at: i64, what: Happening) {
        let place = self.free.pop().unwrap_or(self.what.len());
        if place == self.what.len() {
            self.what.push(Some(what));
        } else {
            self.what[place] = Some(what);
        }
        self.asked += 1;
        self.order.push(Reverse((at, self.asked, place)));
    }

    /// The first, if that is not after `end`.
    fn pop(&mut self, end: i64) -> Option<(i64, Happening)> {
        let (at, _, place) = self.order.peek()?.0;
        if at > end {
            return None;
        }
        self.order.pop();
        self.free.push(place);
        self.what[place].take().map(|what| (at, what))
    }
}

/// A task about to begin.
pub(crate) struct Spawn {
    pub(crate) owner: Owner,
    pub(crate) task: Task,
    pub(crate) status: Option<Status>,
    pub(crate) run: Run,
}

pub(crate) struct Inner {
    pub(crate) rng: Rng,
    timers: Timers,
    pub(crate) spawned: Vec<Spawn>,
    pub(crate) alive: Vec<bool>,
    pub(crate) crashed: Vec<usize>,
    offsets: Vec<i64>,
    partitions: Vec<(Part, Part)>,
    pub(crate) running: (Task, Option<Status>),
    pub(crate) coverage: Coverage,
    pub(crate) counts: [u64; Fault::ALL.len()],
    pub(crate) calls: u64,
    port_faults: u32,
    /// How many of a thousand ways to a part and back take any time.
    slow: u32,
}

/// The network, the clockwork and the dice. Shared by everything of one simulation.
pub(crate) struct Net {
    now: AtomicI64,
    calm: AtomicBool,
    moved: AtomicBool,
    parted: AtomicBool,
    pub(crate) rates: Rates,
    pub(crate) inner: Mutex<Inner>,
    pub(crate) trace: Option<Mutex<Trace>>,
}

/// The faults that are drawn for a port call.
const OF_CALLS: [Fault; 8] = [
    Fault::ErrorBefore,
    Fault::LostAnswer,
    Fault::TimeOut,
    Fault::Duplicate,
    Fault::Delay,
    Fault::StaleRead,
    Fault::CrashBefore,
    Fault::CrashAfter,
];

/// What a call is about, and so which faults it can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It shows what others change: the answer can be old.
    Read,
    /// It changes something: that can happen twice.
    Write,
    /// Its answer depends on nothing that changes.
    Pure,
}

impl Mode {
    fn can_meet(self, fault: Fault) -> bool {
        match self {
            Self::Read => fault != Fault::Duplicate,
            Self::Write => fault != Fault::StaleRead,
            Self::Pure => fault != Fault::Duplicate && fault != Fault::StaleRead,
        }
    }
}

impl Net {
    pub(crate) fn new(seed: u64, rates: Rates, servers: usize, start: Timestamp, traced: bool) -> Arc<Self> {
        let port_faults = OF_CALLS.iter().map(|fault| rates.of(*fault)).sum();
        Arc::new(Self {
            now: AtomicI64::new(start.as_micros()),
            calm: AtomicBool::new(false),
            moved: AtomicBool::new(true),
            parted: AtomicBool::new(false),
            rates,
            inner: Mutex::new(Inner {
                rng: Rng::new(seed, 1),
                timers: Timers::default(),
                spawned: Vec::new(),
                alive: vec![true; servers],
                crashed: Vec::new(),
                offsets: vec![0; servers],
                partitions: Vec::new(),
                running: (Task::World, None),
                coverage: Coverage::default(),
                counts: [0; Fault::ALL.len()],
                calls: 0,
                port_faults,
                slow: Rng::new(seed, 6).between(20, 500) as u32,
            }),
            trace: traced.then(|| Mutex::new(Trace::default())),
        })
    }

    /// The true time, which no part knows.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.now.load(Relaxed))
    }

    pub(crate) fn advance_to(&self, at: i64) {
        self.now.fetch_max(at, Relaxed);
    }

    /// What the clock of a server shows.
    pub(crate) fn clock_of(&self, server: usize) -> Timestamp {
        self.now().plus(Span::from_micros(self.inner.lock().offsets[server]))
    }

    pub(crate) fn set_clock(&self, server: usize, offset: i64) {
        self.inner.lock().offsets[server] = offset;
    }

    /// From now on nothing goes wrong any more.
    pub(crate) fn calm_down(&self) {
        self.calm.store(true, Relaxed);
        let mut inner = self.inner.lock();
        self.parted.store(false, Relaxed);
        inner.partitions.clear();
        inner.offsets.iter_mut().for_each(|offset| *offset = 0);
    }

    /// Something was written that a worker, a relay or a consumer may wait for.
    pub(crate) fn has_moved(&self) {
        self.moved.store(true, Relaxed);
    }

    /// Whether something was, since that was last taken note of.
    pub(crate) fn has_moved_lately(&self) -> bool {
        self.moved.load(Relaxed)
    }

    /// The same, and takes note of it.
    pub(crate) fn take_moved(&self) -> bool {
        self.moved.load(Relaxed) && self.moved.swap(false, Relaxed)
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.calm.load(Relaxed)
    }

    /// Whether this fault happens on this occasion; counts it when it does.
    pub(crate) fn strikes(&self, fault: Fault) -> bool {
        let rate = self.rates.of(fault);
        if rate == 0 || self.is_calm() {
            return false;
        }
        let mut inner = self.inner.lock();
        let strikes = inner.rng.chance(rate);
        inner.counts[fault as usize] += u64::from(strikes);
        strikes
    }

    pub(crate) fn draw<T>(&self, from: impl FnOnce(&mut Rng) -> T) -> T {
        from(&mut self.inner.lock().rng)
    }

    /// Lets something happen after `micros`.
    pub(crate) fn after(&self, micros: i64, what: Happening) {
        let at = self.now.load(Relaxed).saturating_add(micros.max(0));
        self.inner.lock().timers.push(at, what);
    }

    /// What happens next, if that is not after `end`.
    pub(crate) fn next(&self, end: i64) -> Option<(i64, Happening)> {
        self.inner.lock().timers.pop(end)
    }

    pub(crate) fn spawn(&self, owner: Owner, task: Task, status: Option<Status>, run: Run) {
        let mut inner = self.inner.lock();
        inner.coverage.begin(task, status);
        inner.spawned.push(Spawn { owner, task, status, run });
    }

    /// Waits; 0 does not even yield.
    pub(crate) async fn sleep(&self, micros: i64) {
        if micros <= 0 {
            return;
        }
        let end = self.now.load(Relaxed).saturating_add(micros);
        let mut asked = false;
        poll_fn(|cx| {
            if self.now.load(Relaxed) >= end {
                return Poll::Ready(());
            }
            if !asked {
                asked = true;
                self.after(end - self.now.load(Relaxed), Happening::Wake(cx.waker().clone()));
            }
            Poll::Pending
        })
        .await;
    }

    pub(crate) fn apart(&self, one: Part, other: Part) -> bool {
        self.parted.load(Relaxed)
            && self.inner.lock().partitions.iter().any(|pair| *pair == (one, other) || *pair == (other, one))
    }

    pub(crate) fn set_apart(&self, one: Part, other: Part) {
        self.parted.store(true, Relaxed);
        self.inner.lock().partitions.push((one, other));
    }

    pub(crate) fn join_all(&self) {
        self.parted.store(false, Relaxed);
        self.inner.lock().partitions.clear();
    }

    pub(crate) fn is_alive(&self, server: usize) -> bool {
        self.inner.lock().alive[server]
    }

    fn crash(&self, server: usize) {
        let mut inner = self.inner.lock();
        if std::mem::replace(&mut inner.alive[server], false) {
            inner.crashed.push(server);
        }
    }

    /// Writes a line of the journey, when somebody wants to read it.
    pub(crate) fn note(&self, line: impl FnOnce() -> Line) {
        if let Some(trace) = &self.trace {
            trace.lock().push(self.now(), line());
        }
    }

    /// Remembers which status the booking of the running task has, for the coverage.
    pub(crate) fn saw(&self, status: Status) {
        self.inner.lock().running.1 = Some(status);
    }
}

/// What becomes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Clean,
    Struck(Fault),
}

/// The way from a server to one of the parts.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) net: Arc<Net>,
    pub(crate) server: usize,
    pub(crate) part: Part,
}

impl Wire {
    /// Goes there: what happens on the way, and whether the effect takes place.
    pub(crate) async fn go(&self, operation: &'static str, mode: Mode) -> Result<Fate, PortError> {
        let (fate, way) = self.draw(mode);
        self.net.sleep(way).await;
        if self.net.apart(Part::Server(self.server), self.part) {
            self.note(operation, "partition");
            let slow = self.net.draw(|rng| rng.chance(300));
            if slow {
                self.net.sleep(5_000_000).await;
                return Err(unknown(operation));
            }
            return Err(unavailable(operation));
        }
        match fate {
            Fate::Struck(fault @ Fault::ErrorBefore) => {
                self.struck(operation, fault);
                Err(unavailable(operation))
            }
            Fate::Struck(fault @ Fault::TimeOut) => {
                self.struck(operation, fault);
                self.net.sleep(8_000_000).await;
                Err(unknown(operation))
            }
            Fate::Struck(fault @ Fault::CrashBefore) => {
                self.struck(operation, fault);
                self.net.crash(self.server);
                pending().await
            }
            Fate::Struck(_) | Fate::Clean => Ok(fate),
        }
    }

    /// The answer was true when it was read; meanwhile the world goes on.
    pub(crate) async fn grow_old(&self, operation: &'static str) {
        self.struck(operation, Fault::StaleRead);
        let wait = self.net.draw(|rng| rng.between(50_000, 8_000_000));
        self.net.sleep(wait).await;
    }

    /// Comes back with the answer, or without.
    pub(crate) async fn back(&self, fate: Fate, operation: &'static str) -> Result<(), PortError> {
        match fate {
            Fate::Struck(fault @ Fault::LostAnswer) => {
                self.struck(operation, fault);
                let wait = self.net.draw(|rng| rng.between(1, 9_000_000));
                self.net.sleep(wait).await;
                return Err(unknown(operation));
            }
            Fate::Struck(fault @ Fault::CrashAfter) => {
                self.struck(operation, fault);
                self.net.crash(self.server);
                pending::<()>().await;
            }
            Fate::Struck(_) | Fate::Clean => {}
        }
        let way = self.net.inner.lock().latency();
        self.net.sleep(way).await;
        Ok(())
    }

    fn draw(&self, mode: Mode) -> (Fate, i64) {
        let calm = self.net.is_calm();
        let mut inner = self.net.inner.lock();
        inner.calls += 1;
        let way = inner.latency();
        let rates = inner.port_faults;
        if calm || !inner.rng.chance(rates) {
            return (Fate::Clean, way);
        }
        let mut left = inner.rng.below(u64::from(rates)) as u32;
        for fault in OF_CALLS {
            let rate = self.net.rates.of(fault);
            if left >= rate {
                left -= rate;
                continue;
            }
            if !mode.can_meet(fault) {
                return (Fate::Clean, way);
            }
            inner.counts[fault as usize] += 1;
            let (task, status) = inner.running;
            inner.coverage.strike(task, status, fault);
            let way = if fault == Fault::Delay { inner.rng.between(50_000, 8_000_000) } else { way };
            return (Fate::Struck(fault), way);
        }
        (Fate::Clean, way)
    }

    /// Writes down what a call met.
    pub(crate) fn struck(&self, operation: &'static str, fault: Fault) {
        self.note(operation, fault.as_str());
    }

    fn note(&self, operation: &'static str, why: &str) {
        self.net.note(|| Line::call(self.server, self.part, format!("{operation}: {why}")));
    }
}

impl Inner {
    /// Most ways take no time at all, the others up to 20 ms; how many is the seed's.
    fn latency(&mut self) -> i64 {
        if self.rng.chance(self.slow) { self.rng.between(1_000, 20_000) } else { 0 }
    }
}

fn unavailable(operation: &'static str) -> PortError {
    PortError::new(Kind::Unavailable, operation, "the other side can't be reached")
}

fn unknown(operation: &'static str) -> PortError {
    PortError::new(Kind::OutcomeUnknown, operation, "no answer in time")
}

/// A place where one task waits for the answer of another.
pub(crate) struct Slot<T>(Mutex<(Option<T>, Option<Waker>)>);

impl<T> Slot<T> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new((None, None))))
    }

    /// Fills it; a second answer is dropped.
    pub(crate) fn fill(&self, value: T) {
        let mut slot = self.0.lock();
        if slot.0.is_none() {
            slot.0 = Some(value);
            if let Some(waker) = slot.1.take() {
                waker.wake();
            }
        }
    }

    /// Waits for it, at most `micros`.
    pub(crate) async fn wait(&self, net: &Net, micros: i64) -> Option<T> {
        let end = net.now.load(Relaxed).saturating_add(micros);
        let mut asked = false;
        poll_fn(|cx| {
            let mut slot = self.0.lock();
            if let Some(value) = slot.0.take() {
                return Poll::Ready(Some(value));
            }
            if net.now.load(Relaxed) >= end {
                return Poll::Ready(None);
            }
            slot.1 = Some(cx.waker().clone());
            drop(slot);
            if !asked {
                asked = true;
                net.after(end - net.now.load(Relaxed), Happening::Wake(cx.waker().clone()));
            }
            Poll::Pending
        })
        .await
    }
}
