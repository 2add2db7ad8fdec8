//! Fills, invalidations and their races.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rideplane_ports::conformance::fixtures::{at, nearest, place};
use rideplane_ports::{Availability as _, Clock as _, Nearest, Source};

use super::world::{Held, NONE, World, free, search, taken};

#[tokio::test]
async fn a_repeated_search_is_a_hit_until_the_ttl_ends() {
    let world = World::shared(Held::default());
    world.free(1, 1, 100.0).await;
    assert_eq!(world.search().await, (vec![1], Source::Index));
    assert_eq!(world.search().await, (vec![1], Source::Cache));
    world.advance(29);
    assert_eq!(world.search().await, (vec![1], Source::Cache));
    let nearby = world.cache.nearest(&nearest(500.0), world.clock.now()).await.unwrap();
    assert_eq!(nearby.as_of, at(0), "an answer says how old it is");
    world.advance(1);
    assert_eq!(world.search().await, (vec![1], Source::Index), "30 s are over");
    let metrics = world.cache.metrics();
    assert_eq!((metrics.hits, metrics.misses, metrics.bypassed), (3, 2, 0));
}

#[tokio::test]
async fn redis_ends_entries_by_itself() {
    let mut config = World::shared(Held::default()).config();
    config.ttl = Duration::from_millis(300);
    let world = World::with(config, Held::default());
    world.search().await;
    assert_eq!(world.search().await.1, Source::Cache);
    // The host's clock stands still; that of Redis does not.
    while world.search().await.1 == Source::Cache {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(world.cache.metrics().misses, 2);
}

#[tokio::test]
async fn that_there_is_nothing_is_remembered_too() {
    let world = World::shared(Held::default());
    assert_eq!(world.search().await, (vec![], Source::Index));
    assert_eq!(world.search().await, (vec![], Source::Cache));
    assert_eq!(world.inner.asked(), 1);
    world.free(1, 1, 100.0).await;
    assert_eq!(world.search().await.0, [1], "and forgotten when something comes");
}

#[tokio::test]
async fn a_claim_a_release_and_a_move_are_seen_at_once() {
    let world = World::shared(Held::default());
    world.free(1, 1, 100.0).await;
    world.free(2, 1, 200.0).await;
    world.search().await;
    world.taken(1, 2).await;
    assert_eq!(world.search().await.0, [2]);
    world.free(1, 3, 50.0).await;
    assert_eq!(world.search().await.0, [1, 2]);
    world.free(1, 4, 5_000.0).await;
    assert_eq!(world.search().await.0, [2], "gone from the cell where it was");
    assert_eq!(world.search().await.1, Source::Cache);
    world.free(2, 1, 200.0).await;
    assert_eq!(world.search().await.1, Source::Cache, "a heartbeat changes nothing");
}

/// Another process, which never heard of the vehicle, tells of the claim: the cell is known from Redis.
#[tokio::test]
async fn a_claim_in_another_process_is_seen_at_once() {
    let world = World::shared(Held::default());
    world.free(1, 1, 100.0).await;
    world.search().await;
    assert_eq!(world.search().await, (vec![1], Source::Cache));
    world.other_process().apply(&[taken(1, 2)]).await.unwrap();
    assert_eq!(world.search().await.0, NONE);
}

/// The stale-set race: a fill has read the vehicle as free, the claim invalidates, then the fill writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_fill_never_overwrites_a_newer_claim() {
    for elsewhere in [false, true] {
        let world = World::shared(Held::shut());
        let claims = if elsewhere { Some(world.other_process()) } else { None };
        if elsewhere {
            // Nobody but the inner search knows where it is: neither process, nor Redis.
            world.inner.apply(&[free(1, 1, 100.0)]).await.unwrap();
        } else {
            world.free(1, 1, 100.0).await;
        }
        let cache = Arc::clone(&world.cache);
        let slow = tokio::spawn(async move { search(&*cache, at(0)).await });
        world.inner.holds(1).await;
        match &claims {
            Some(other) => other.apply(&[taken(1, 2)]).await.unwrap(),
            None => world.taken(1, 2).await,
        }
        world.inner.release(1);
        assert_eq!(slow.await.unwrap().0, [1], "it asked before the claim");
        assert!(world.cache.metrics().stale_drops >= 1, "elsewhere {elsewhere}: {:?}", world.cache.metrics());
        world.inner.release(10);
        assert_eq!(world.search().await.0, NONE, "elsewhere {elsewhere}: the claim stands");
        assert_eq!(world.search().await, (vec![], Source::Cache));
    }
}

/// The same race the other way round: a fill has read that there is nothing, then a vehicle is released there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_fill_never_overwrites_a_newer_release() {
    let world = World::shared(Held::shut());
    let cache = Arc::clone(&world.cache);
    let slow = tokio::spawn(async move { search(&*cache, at(0)).await });
    world.inner.holds(1).await;
    world.free(1, 1, 100.0).await;
    world.inner.release(1);
    assert_eq!(slow.await.unwrap().0, NONE, "it asked before the release");
    assert_eq!(world.cache.metrics().stale_drops, 1);
    world.inner.release(10);
    assert_eq!(world.search().await.0, [1]);
    assert_eq!(world.search().await, (vec![1], Source::Cache));
}

/// Who asks after a claim does not join a fill that was under way before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_after_a_claim_does_not_wait_for_an_older_fill() {
    let world = World::shared(Held::shut());
    world.free(1, 1, 100.0).await;
    let cache = Arc::clone(&world.cache);
    let slow = tokio::spawn(async move { search(&*cache, at(0)).await });
    world.inner.holds(1).await;
    world.taken(1, 2).await;
    let cache = Arc::clone(&world.cache);
    let after = tokio::spawn(async move { search(&*cache, at(0)).await });
    world.inner.holds(2).await;
    world.inner.release(2);
    assert_eq!(after.await.unwrap().0, NONE);
    slow.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_searches_that_miss_ask_the_inner_search_once() {
    let world = World::shared(Held::shut());
    world.free(1, 1, 100.0).await;
    let searches: Vec<_> = (0..100)
        .map(|_| {
            let cache = Arc::clone(&world.cache);
            tokio::spawn(async move { search(&*cache, at(0)).await })
        })
        .collect();
    while world.cache.metrics().joined < 99 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    world.inner.release(1_000);
    for search in searches {
        assert_eq!(search.await.unwrap().0, [1]);
    }
    assert_eq!(world.inner.asked.load(Ordering::SeqCst), 1);
}

/// A crowd meets an empty cache, everybody somewhere else: few read cells, the others are answered by the inner search.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_misses_everywhere_does_not_fill_everything_at_once() {
    let world = World::shared(Held::shut());
    let there = |n: u32| Nearest { center: place(f64::from(n) * 5_000.0), ..nearest(500.0) };
    let searches: Vec<_> = (0..40)
        .map(|n| {
            let cache = Arc::clone(&world.cache);
            tokio::spawn(async move { cache.nearest(&there(n), at(0)).await.unwrap().source })
        })
        .collect();
    world.inner.holds(40).await;
    world.inner.release(1_000);
    for search in searches {
        assert_eq!(search.await.unwrap(), Source::Index);
    }
    let metrics = world.cache.metrics();
    assert_eq!(
        (metrics.misses, metrics.bypassed),
        (4, 36),
        "four read cells, the others only what they show"
    );
    for n in 0..40 {
        world.cache.nearest(&there(n), at(0)).await.unwrap();
        let nearby = world.cache.nearest(&there(n), at(0)).await.unwrap();
        assert_eq!(nearby.source, Source::Cache, "place {n} is cached as soon as there is room for it");
    }
}

/// Who reads for others is gone before its answer came: the others read for themselves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_fill_leaves_nobody_waiting() {
    let world = World::shared(Held::shut());
    world.free(1, 1, 100.0).await;
    let start = |world: &World| {
        let cache = Arc::clone(&world.cache);
        tokio::spawn(async move { search(&*cache, at(0)).await })
    };
    let first = start(&world);
    world.inner.holds(1).await;
    let second = start(&world);
    while world.cache.metrics().joined < 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    world.inner.release(10);
    assert_eq!(second.await.unwrap().0, [1]);
}

#[tokio::test]
async fn warm_zones_stay_warm_and_are_filled_again_after_a_claim() {
    let world = World::shared(Held::default());
    world.free(1, 1, 100.0).await;
    world.search().await;
    for _ in 0..4 {
        world.advance(15);
        assert!(world.cache.prewarm().await > 0);
        assert_eq!(world.search().await.1, Source::Cache);
    }
    world.taken(1, 2).await;
    assert_eq!(world.cache.refill().await, 1, "one cell held it");
    assert_eq!(world.search().await, (vec![], Source::Cache));
    assert_eq!(world.cache.metrics().misses, 1, "only the first search missed");
    assert_eq!(world.cache.refill().await, 0);
}
