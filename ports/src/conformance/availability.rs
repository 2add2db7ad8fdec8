//! The suite of [`Availability`].

use std::sync::Arc;

use async_trait::async_trait;
use rideplane_core::charge::Charge;
use rideplane_core::fleet::{FormFactor, PropulsionType};
use rideplane_core::geo::{Point, distance_m};
use rideplane_core::ids::{VehicleTypeId, Version};

use super::checks;
use super::fixtures::{at, listing, nearest, place, vehicle_id};
use crate::{Availability, AvailabilityUpdate, Listing, Nearest};

/// Makes search indexes for the suite.
#[async_trait]
pub trait Factory: Send + Sync {
    /// One with nothing in it.
    async fn fresh(&self) -> Arc<dyn Availability>;
}

/// Runs every check.
pub async fn run_all(factory: &dyn Factory) {
    checks!(
        "availability",
        factory,
        nearest_first_within_the_radius,
        a_long_answer_is_complete_or_the_nearest,
        ties_go_by_id,
        filters_leave_out_what_does_not_say,
        taken_vehicles_are_gone,
        a_repeat_changes_nothing,
        an_update_replaces_the_listing,
        an_older_change_is_passed_over,
        of_one_version_the_later_report_stands,
        the_antimeridian_is_no_border,
    );
}

/// "The nearest free vehicles, nearest first", at most `limit`, the radius included, each with its distance.
pub async fn nearest_first_within_the_radius(factory: &dyn Factory) {
    let index = factory.fresh().await;
    assert_eq!(found(&*index, &nearest(1_000.0)).await, NONE, "nothing is found where nothing is");
    for (n, north) in [(1, 400.0), (2, 100.0), (3, 900.0), (4, 5_000.0), (5, 200.0)] {
        free(&*index, &[listing(n, place(north))]).await;
    }
    assert_eq!(found(&*index, &nearest(1_000.0)).await, [2, 5, 1, 3]);
    assert_eq!(
        found(&*index, &Nearest { limit: 2, ..nearest(1_000.0) }).await,
        [2, 5],
        "the nearest of them"
    );
    assert_eq!(found(&*index, &Nearest { limit: 0, ..nearest(1_000.0) }).await, NONE);
    let third = distance_m(place(0.0), place(400.0));
    assert_eq!(found(&*index, &nearest(third)).await, [2, 5, 1], "the radius is included");
    assert_eq!(found(&*index, &nearest(third - 0.01)).await, [2, 5], "what is beyond is not");
    let nearby = index.nearest(&nearest(1_000.0), at(7)).await.unwrap();
    for (listing, distance) in &nearby.vehicles {
        let exact = distance_m(place(0.0), listing.position);
        assert!((distance - exact).abs() < 0.001, "{distance} m is the great circle's {exact} m");
    }
    assert!(nearby.as_of <= at(7), "an answer is no younger than the question");
}

/// An answer of many, as a cache asks for, holds all there is; when there are more than that, the nearest.
pub async fn a_long_answer_is_complete_or_the_nearest(factory: &dyn Factory) {
    let index = factory.fresh().await;
    // In no order of distance: 7 and 1,201 share no divisor.
    let fleet: Vec<_> = (0..1_201).map(|n| listing(n, place(f64::from(n * 7 % 1_201)))).collect();
    free(&*index, &fleet).await;
    let mut expected: Vec<u32> = (0..1_201).collect();
    expected.sort_by_key(|n| n * 7 % 1_201);
    let all = Nearest { limit: 5_000, ..nearest(1_201.0) };
    assert_eq!(found(&*index, &all).await, expected);
    for limit in [990, 1_000, 1_050, 1_100, 1_150, 1_200] {
        assert_eq!(found(&*index, &Nearest { limit, ..all.clone() }).await, expected[..limit]);
    }
    let within = expected.iter().filter(|n| distance_m(place(0.0), fleet[**n as usize].position) <= 600.5);
    assert_eq!(
        found(&*index, &Nearest { radius_m: 600.5, ..all }).await,
        within.copied().collect::<Vec<_>>()
    );
}

/// "Ties by id", in whatever order they came.
pub async fn ties_go_by_id(factory: &dyn Factory) {
    let index = factory.fresh().await;
    for n in [30, 4, 200, 1, 5] {
        free(&*index, &[listing(n, place(50.0))]).await;
    }
    assert_eq!(found(&*index, &nearest(100.0)).await, [1, 4, 5, 30, 200]);
    assert_eq!(
        found(&*index, &Nearest { limit: 3, ..nearest(100.0) }).await,
        [1, 4, 5],
        "a limit cuts ties by id"
    );
}

/// "Only this type", "only at least this full", "only with at least this range"; who does not say is left out.
pub async fn filters_leave_out_what_does_not_say(factory: &dyn Factory) {
    let index = factory.fresh().await;
    let ebike = VehicleTypeId::new("ebike").unwrap();
    let half = Charge::from_basis_points(5_000);
    let less = Charge::from_basis_points(4_999);
    free(
        &*index,
        &[
            Listing { charge: Some(half), range_m: Some(9_000), ..listing(1, place(10.0)) },
            Listing { charge: Some(less), range_m: Some(9_001), ..listing(2, place(20.0)) },
            Listing { charge: None, range_m: None, ..listing(3, place(30.0)) },
            Listing { vehicle_type: ebike.clone(), charge: Some(Charge::FULL), ..listing(4, place(40.0)) },
        ],
    )
    .await;
    let all = nearest(100.0);
    assert_eq!(found(&*index, &all).await, [1, 2, 3, 4], "without a filter all are found");
    assert_eq!(found(&*index, &Nearest { vehicle_type: Some(ebike), ..all.clone() }).await, [4]);
    let unknown = VehicleTypeId::new("hovercraft").unwrap();
    assert_eq!(found(&*index, &Nearest { vehicle_type: Some(unknown), ..all.clone() }).await, NONE);
    assert_eq!(found(&*index, &Nearest { min_charge: Some(half), ..all.clone() }).await, [1, 4]);
    assert_eq!(found(&*index, &Nearest { min_range_m: Some(9_000), ..all.clone() }).await, [1, 2, 4]);
    assert_eq!(
        found(&*index, &Nearest { min_range_m: Some(9_001), limit: 1, ..all }).await,
        [2],
        "filter, then limit"
    );
}

/// A vehicle that is taken is not found, and is found again when it is free again.
pub async fn taken_vehicles_are_gone(factory: &dyn Factory) {
    let index = factory.fresh().await;
    free(&*index, &[listing(1, place(10.0)), listing(2, place(20.0))]).await;
    index.apply(&[taken(1, 2)]).await.unwrap();
    assert_eq!(found(&*index, &nearest(100.0)).await, [2]);
    index.apply(&[taken(99, 1)]).await.expect("who was never free can be taken");
    index.apply(&[AvailabilityUpdate::Free(listing(1, place(10.0)), Version(3))]).await.unwrap();
    assert_eq!(found(&*index, &nearest(100.0)).await, [1, 2]);
    let freed = AvailabilityUpdate::Free(listing(2, place(5.0)), Version(3));
    index.apply(&[taken(2, 2), freed, taken(2, 4)]).await.unwrap();
    assert_eq!(found(&*index, &nearest(100.0)).await, [1], "changes are taken in in order");
}

/// "A repeat changes nothing."
pub async fn a_repeat_changes_nothing(factory: &dyn Factory) {
    let index = factory.fresh().await;
    let one = listing(1, place(10.0));
    free(&*index, &[one.clone(), one.clone()]).await;
    free(&*index, std::slice::from_ref(&one)).await;
    let nearby = index.nearest(&nearest(100.0), at(1)).await.unwrap();
    assert_eq!(nearby.vehicles.len(), 1, "a vehicle is listed once");
    assert_eq!(nearby.vehicles[0].0, one, "every field is kept");
    let gone = taken(1, 2);
    index.apply(&[gone.clone(), gone.clone()]).await.unwrap();
    index.apply(&[gone]).await.unwrap();
    assert_eq!(found(&*index, &nearest(100.0)).await, NONE);
}

/// A vehicle that moved is found where it is and no longer where it was, with what it says now.
pub async fn an_update_replaces_the_listing(factory: &dyn Factory) {
    let index = factory.fresh().await;
    free(&*index, &[listing(1, place(10.0)), listing(2, place(20.0))]).await;
    let moved = Listing {
        charge: Some(Charge::EMPTY),
        range_m: None,
        last_reported: at(60),
        vehicle_type: VehicleTypeId::new("ebike").unwrap(),
        form_factor: FormFactor::Bicycle,
        propulsion_type: PropulsionType::ElectricAssist,
        ..listing(1, place(3_000.0))
    };
    free(&*index, std::slice::from_ref(&moved)).await;
    assert_eq!(found(&*index, &nearest(100.0)).await, [2]);
    let there = Nearest { center: place(3_000.0), ..nearest(100.0) };
    let nearby = index.nearest(&there, at(61)).await.unwrap();
    assert_eq!(nearby.vehicles.len(), 1);
    assert_eq!(nearby.vehicles[0].0, moved);
}

/// Two commits on one vehicle may be told in the wrong order: the later one stands.
pub async fn an_older_change_is_passed_over(factory: &dyn Factory) {
    let index = factory.fresh().await;
    let freed = |version| AvailabilityUpdate::Free(listing(1, place(10.0)), Version(version));
    index.apply(&[taken(1, 5), freed(4)]).await.unwrap();
    assert_eq!(found(&*index, &nearest(100.0)).await, NONE, "claimed at version 5, free at version 4");
    index.apply(&[freed(6), taken(1, 5)]).await.unwrap();
    assert_eq!(found(&*index, &nearest(100.0)).await, [1], "free at version 6, claimed at version 5");
}

/// Reports change no version: of one version the later report stands, in whatever order they are told. Of one report the
/// fuller word stands, because what is known of it only grows.
pub async fn of_one_version_the_later_report_stands(factory: &dyn Factory) {
    let index = factory.fresh().await;
    let free_at = |seconds, position, charge| {
        let listing = Listing { last_reported: at(seconds), charge, ..listing(1, position) };
        AvailabilityUpdate::Free(listing, Version(1))
    };
    let full = Some(Charge::FULL);
    let here = free_at(20, place(10.0), full);
    index.apply(std::slice::from_ref(&here)).await.unwrap();
    for older in [
        free_at(10, place(3_000.0), full),
        taken_at(1, 1, Some(10)),
        taken(1, 1),
        taken_at(1, 1, Some(20)),
        free_at(20, place(10.0), None),
    ] {
        index.apply(std::slice::from_ref(&older)).await.unwrap();
        let nearby = index.nearest(&nearest(100.0), at(30)).await.unwrap();
        let listed: Vec<_> = nearby.vehicles.iter().map(|(listing, _)| listing).collect();
        assert_eq!(listed, here.listing().into_iter().collect::<Vec<_>>(), "after {older:?}");
    }
    // One call tells them in any order as well.
    index.apply(&[taken_at(1, 1, Some(40)), free_at(30, place(20.0), full)]).await.unwrap();
    assert_eq!(found(&*index, &nearest(100.0)).await, NONE, "it was ridden to where no ride may start");
    index.apply(&[free_at(50, place(30.0), None), free_at(50, place(30.0), full)]).await.unwrap();
    let filled = Nearest { min_charge: full, ..nearest(100.0) };
    assert_eq!(found(&*index, &filled).await, [1], "it was brought back, and an older report filled a gap");
    index.apply(&[taken(1, 2), free_at(60, place(10.0), full)]).await.unwrap();
    assert_eq!(found(&*index, &nearest(100.0)).await, NONE, "no report undoes a claim");
}

/// Two places on both sides of the 180th meridian are near each other.
pub async fn the_antimeridian_is_no_border(factory: &dyn Factory) {
    let index = factory.fresh().await;
    let point = |lat, lon| Point::new(lat, lon).unwrap();
    free(&*index, &[listing(1, point(-17.0, 179.9995)), listing(2, point(-17.0, -179.999))]).await;
    let query = Nearest { center: point(-17.0, -179.9999), ..nearest(200.0) };
    assert_eq!(found(&*index, &query).await, [1, 2]);
}

const NONE: [u32; 0] = [];

fn taken(n: u32, version: u64) -> AvailabilityUpdate {
    taken_at(n, version, None)
}

fn taken_at(n: u32, version: u64, reported: Option<i64>) -> AvailabilityUpdate {
    let (version, last_reported) = (Version(version), reported.map(at));
    AvailabilityUpdate::Taken { vehicle_id: vehicle_id(n), version, last_reported }
}

async fn free(index: &dyn Availability, listings: &[Listing]) {
    let updates: Vec<_> =
        listings.iter().cloned().map(|listing| AvailabilityUpdate::Free(listing, Version(1))).collect();
    index.apply(&updates).await.unwrap();
}

async fn found(index: &dyn Availability, query: &Nearest) -> Vec<u32> {
    let nearby = index.nearest(query, at(1)).await.unwrap();
    let number = |listing: &Listing| listing.vehicle_id.as_str().trim_start_matches("sc-").parse().unwrap();
    nearby.vehicles.iter().map(|(listing, _)| number(listing)).collect()
}
