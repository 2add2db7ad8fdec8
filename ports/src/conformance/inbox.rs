//! The suite of [`Inbox`](crate::Inbox), run by [`store::run_all`](super::store::run_all).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::fixtures::at;
use super::store::Factory;
use super::{Racer, checks};

/// Runs every check.
pub async fn run_all(factory: &dyn Factory) {
    checks!("inbox", factory, an_event_is_news_once, of_many_at_once_one_has_the_news);
}

/// "Remembers that `consumer` has handled the event. Returns whether that is news."
pub async fn an_event_is_news_once(factory: &dyn Factory) {
    let inbox = factory.fresh().await.inbox;
    assert!(!inbox.is_handled("notify", "booking:1:1").await.unwrap(), "nothing is handled yet");
    assert!(inbox.mark_handled("notify", "booking:1:1", at(0)).await.unwrap(), "the first is news");
    assert!(!inbox.mark_handled("notify", "booking:1:1", at(1)).await.unwrap(), "the second is not");
    assert!(inbox.is_handled("notify", "booking:1:1").await.unwrap());
    assert!(!inbox.is_handled("search", "booking:1:1").await.unwrap(), "each consumer has its own");
    assert!(inbox.mark_handled("search", "booking:1:1", at(1)).await.unwrap());
    assert!(inbox.mark_handled("notify", "booking:1:11", at(1)).await.unwrap(), "another event is news");
}

/// Of many that handle one event at once, exactly one is told that it is news.
pub async fn of_many_at_once_one_has_the_news(factory: &dyn Factory) {
    let inbox = factory.fresh().await.inbox;
    let news = Arc::new(AtomicU32::new(0));
    let mut racers: Vec<Racer> = Vec::new();
    for _ in 0..16 {
        let (inbox, news) = (Arc::clone(&inbox), Arc::clone(&news));
        racers.push(Box::pin(async move {
            if inbox.mark_handled("notify", "vehicle:sc-1:7", at(0)).await.unwrap() {
                news.fetch_add(1, Ordering::SeqCst);
            }
        }));
    }
    factory.race(racers).await;
    assert_eq!(news.load(Ordering::SeqCst), 1, "one event is news once");
}
