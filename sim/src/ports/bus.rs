//! The bus: a log that is only ever added to, and how far the one consumer has come.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use rideplane_ports::{Envelope, EventPublisher, Published};

use crate::defects::Defect;
use crate::net::{Net, Part};
use crate::oracle::Oracle;
use crate::trace::{Line, name};

#[derive(Default)]
struct Log {
    events: Vec<Arc<Envelope>>,
    acknowledged: usize,
}

pub(crate) struct Bus {
    log: Mutex<Log>,
    oracle: Arc<Mutex<Oracle>>,
    net: Arc<Net>,
    defect: Option<Defect>,
}

impl Bus {
    pub(crate) fn new(net: Arc<Net>, oracle: Arc<Mutex<Oracle>>, defect: Option<Defect>) -> Self {
        Self { log: Mutex::default(), oracle, net, defect }
    }

    /// What comes next, with the offset of the first.
    pub(crate) fn read(&self, limit: usize) -> (usize, Vec<Arc<Envelope>>) {
        let log = self.log.lock();
        let from = log.acknowledged;
        (from, log.events.iter().skip(from).take(limit).cloned().collect())
    }

    pub(crate) fn acknowledge(&self, offset: usize) {
        let mut log = self.log.lock();
        log.acknowledged = log.acknowledged.max(offset);
    }

    /// The consumer group starts again a little earlier.
    pub(crate) fn rewind(&self, by: usize) {
        let mut log = self.log.lock();
        log.acknowledged = log.acknowledged.saturating_sub(by);
    }

    pub(crate) fn lag(&self) -> usize {
        let log = self.log.lock();
        log.events.len() - log.acknowledged
    }

    pub(crate) fn append(&self, events: &[Envelope]) {
        let mut log = self.log.lock();
        for event in events {
            self.oracle.lock().published(event, self.net.now());
            self.net.note(|| {
                let text = format!("{} {} v{}", event.name, event.aggregate, event.version);
                Line::between("Relay", name(Part::Bus), text)
            });
            log.events.push(Arc::new(event.clone()));
        }
    }
}

#[async_trait]
impl EventPublisher for Bus {
    async fn publish(&self, events: &[Envelope]) -> Published {
        match self.defect {
            Some(Defect::RelayReordered) if events.len() > 1 => {
                let mut events = events.to_vec();
                events.reverse();
                self.append(&events);
            }
            Some(Defect::EventLost) if events.len() > 1 => self.append(&events[1..]),
            Some(_) | None => self.append(events),
        }
        Published { count: events.len(), error: None }
    }
}
