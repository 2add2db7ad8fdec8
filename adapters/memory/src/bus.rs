//! A bus within the process: one log, and for each consumer how far it has read and acknowledged.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use parking_lot::Mutex;
use rideplane_ports::{Delivery, Envelope, EventPublisher, EventSource, Kind, PortError, Published};

/// Both ends of an in-process bus. Every consumer receives all events in the order they were published, which is more
/// order than the ports ask for.
///
/// A clone is the same bus. [`MemoryBus::reopened`] is the same log read by a new process: every consumer begins again
/// behind what it acknowledged. An event is kept until every consumer that ever asked has acknowledged it, and beyond
/// that while it is among the newest `retention`, so that a consumer that comes late finds something.
#[derive(Clone)]
pub struct MemoryBus {
    log: Arc<Mutex<Log>>,
    /// How far this process has read, by consumer: the offset of the next event.
    read: Arc<Mutex<HashMap<String, u64>>>,
}

struct Log {
    events: VecDeque<Arc<Envelope>>,
    /// The offset of the first event that is still kept.
    start: u64,
    retention: usize,
    /// By consumer: everything before is acknowledged.
    acknowledged: HashMap<String, u64>,
    waiting: Vec<Waker>,
    closed: bool,
}

impl MemoryBus {
    /// An empty bus that keeps the newest `retention` events at least.
    #[must_use]
    pub fn new(retention: usize) -> Self {
        let log = Log {
            events: VecDeque::new(),
            start: 0,
            retention,
            acknowledged: HashMap::new(),
            waiting: Vec::new(),
            closed: false,
        };
        Self { log: Arc::new(Mutex::new(log)), read: Arc::default() }
    }

    /// The same log as a new process sees it: what was received and not acknowledged comes again.
    #[must_use]
    pub fn reopened(&self) -> Self {
        Self { log: Arc::clone(&self.log), read: Arc::default() }
    }

    /// Ends it: nothing more is taken, and a consumer that has read everything receives `None`.
    pub fn close(&self) {
        let mut log = self.log.lock();
        log.closed = true;
        log.wake();
    }

    /// How many events are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.log.lock().events.len()
    }

    /// Whether no event is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many events the consumer has not acknowledged yet.
    #[must_use]
    pub fn lag(&self, consumer: &str) -> u64 {
        let log = self.log.lock();
        log.end().saturating_sub(log.acknowledged.get(consumer).copied().unwrap_or(log.start))
    }

    fn poll_next(&self, consumer: &str, cx: &Context<'_>) -> Poll<Option<Delivery>> {
        let mut read = self.read.lock();
        let mut log = self.log.lock();
        let from = log.join(consumer);
        let next = read.get(consumer).copied().unwrap_or(from).max(log.start);
        let Some(envelope) = log.at(next) else {
            if log.closed {
                return Poll::Ready(None);
            }
            if !log.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                log.waiting.push(cx.waker().clone());
            }
            return Poll::Pending;
        };
        drop(log);
        match read.get_mut(consumer) {
            Some(place) => *place = next + 1,
            None => drop(read.insert(consumer.to_owned(), next + 1)),
        }
        Poll::Ready(Some(Delivery { envelope: (*envelope).clone(), handle: next }))
    }
}

impl Default for MemoryBus {
    /// A bus that keeps the newest 10,000 events at least.
    fn default() -> Self {
        Self::new(10_000)
    }
}

#[async_trait]
impl EventPublisher for MemoryBus {
    async fn publish(&self, events: &[Envelope]) -> Published {
        let copies: Vec<Arc<Envelope>> = events.iter().cloned().map(Arc::new).collect();
        let mut log = self.log.lock();
        if log.closed {
            let error = PortError::new(Kind::Unavailable, "bus.publish", "the bus is closed");
            return Published { count: 0, error: Some(error) };
        }
        log.events.extend(copies);
        log.trim();
        log.wake();
        Published { count: events.len(), error: None }
    }
}

#[async_trait]
impl EventSource for MemoryBus {
    async fn next(&self, consumer: &str) -> Result<Option<Delivery>, PortError> {
        Ok(poll_fn(|cx| self.poll_next(consumer, cx)).await)
    }

    async fn acknowledge(&self, consumer: &str, delivery: &Delivery) -> Result<(), PortError> {
        let mut log = self.log.lock();
        let known = log.join(consumer);
        let done = delivery.handle.saturating_add(1).min(log.end());
        if done > known {
            log.acknowledged.insert(consumer.to_owned(), done);
            log.trim();
        }
        Ok(())
    }
}

impl Log {
    fn end(&self) -> u64 {
        self.start + self.events.len() as u64
    }

    fn at(&self, offset: u64) -> Option<Arc<Envelope>> {
        let index = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.events.get(index).cloned()
    }

    /// Makes the consumer known; says how far it has acknowledged.
    fn join(&mut self, consumer: &str) -> u64 {
        if let Some(done) = self.acknowledged.get(consumer) {
            return *done;
        }
        self.acknowledged.insert(consumer.to_owned(), self.start);
        self.start
    }

    fn trim(&mut self) {
        let done = self.acknowledged.values().copied().min().unwrap_or(u64::MAX);
        while self.events.len() > self.retention && self.start < done {
            self.events.pop_front();
            self.start += 1;
        }
    }

    fn wake(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }
}
