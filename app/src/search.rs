//! Free vehicles and their prices.

use rideplane_core::charge::Charge;
use rideplane_core::fleet::FormFactor;
use rideplane_core::geo::Point;
use rideplane_core::ids::{VehicleId, VehicleTypeId};
use rideplane_core::pricing::{PricingPlan, Surge, Usage, fare};
use rideplane_core::time::Span;
use rideplane_ports::{Listing, Nearby, Nearest};

use crate::view::{PriceView, PricesView, RateView, SearchView, VehiclePriceView, VehicleView};
use crate::{App, AppError};

/// The most vehicles in one batch of prices.
const PRICES_MAX: usize = 100;

/// A search, as asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SearchQuery {
    /// Degrees.
    pub lat: f64,
    /// Degrees.
    pub lon: f64,
    /// Only this type.
    pub vehicle_type: Option<String>,
    /// Metres; the policy's default when absent.
    pub radius_m: Option<f64>,
    /// How many; the policy's default when absent.
    pub limit: Option<u32>,
    /// From 0 to 1.
    pub min_battery: Option<f64>,
    /// Metres.
    pub min_range_m: Option<u32>,
}

impl App {
    /// Free vehicles near a point, nearest first, with prices.
    ///
    /// # Errors
    /// [`AppError::Invalid`] names the parameter that can't be; [`AppError::Unavailable`] when search is down.
    pub async fn search(&self, query: &SearchQuery) -> Result<SearchView, AppError> {
        let found = self.find(query).await?;
        let mut vehicles = Vec::with_capacity(found.vehicles.len());
        for (listing, distance_m) in found.vehicles {
            let price = match self.settings.plans.get(&listing.plan_id) {
                Some(plan) => {
                    let surge = self.surge(listing.position, &listing.vehicle_type, plan).await;
                    Some(self.price(plan, listing.form_factor, surge))
                }
                None => None,
            };
            vehicles.push(vehicle(listing, distance_m, price));
        }
        Ok(SearchView { vehicles, as_of: found.as_of, source: found.source })
    }

    /// Free vehicles near a point, nearest first, without prices.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    pub async fn fleet_search(&self, query: &SearchQuery) -> Result<SearchView, AppError> {
        let found = self.find(query).await?;
        let vehicles =
            found.vehicles.into_iter().map(|(listing, distance_m)| vehicle(listing, distance_m, None));
        Ok(SearchView { vehicles: vehicles.collect(), as_of: found.as_of, source: found.source })
    }

    /// The prices of vehicles.
    ///
    /// # Errors
    /// [`AppError::Invalid`] on too many or no ids.
    pub async fn prices(&self, vehicle_ids: &[VehicleId]) -> Result<PricesView, AppError> {
        if vehicle_ids.is_empty() || vehicle_ids.len() > PRICES_MAX {
            let count = vehicle_ids.len();
            return Err(AppError::Invalid(format!("vehicle_ids has {count} ids: name 1 to {PRICES_MAX}")));
        }
        let mut prices = Vec::with_capacity(vehicle_ids.len());
        for id in vehicle_ids {
            let Some(vehicle) = self.ports.store.vehicle(id).await? else { continue };
            let spec = &vehicle.state.spec;
            let Some(plan) = self.settings.plans.get(&spec.plan_id) else { continue };
            let position = self.ports.store.telemetry(id).await?.and_then(|telemetry| telemetry.position);
            let surge = match position {
                Some(at) => self.surge(at, &spec.vehicle_type, plan).await,
                None => Surge::NONE,
            };
            let price = self.price(plan, spec.form_factor, surge);
            prices.push(VehiclePriceView { vehicle_id: id.clone(), price });
        }
        Ok(PricesView { prices, as_of: self.now() })
    }

    /// Free vehicles near one that is gone: what a rider who lost a race is offered.
    pub(crate) async fn alternatives(&self, lost: &VehicleId) -> Vec<VehicleView> {
        let Ok(Some(vehicle)) = self.ports.store.vehicle(lost).await else { return Vec::new() };
        let Ok(Some(telemetry)) = self.ports.store.telemetry(lost).await else { return Vec::new() };
        let Some(position) = telemetry.position else { return Vec::new() };
        let query = SearchQuery {
            lat: position.lat(),
            lon: position.lon(),
            vehicle_type: Some(vehicle.state.spec.vehicle_type.to_string()),
            limit: Some(6),
            ..SearchQuery::default()
        };
        let mut found = self.search(&query).await.map(|view| view.vehicles).unwrap_or_default();
        found.retain(|other| other.vehicle_id != *lost);
        found.truncate(5);
        found
    }

    /// What is ridden in that time, at the usual speed of the form factor: the distance that an estimate counts with.
    pub(crate) fn estimated_usage(&self, form_factor: FormFactor, ride: Span) -> Usage {
        let policy = &self.settings.policy;
        let speed = if form_factor == FormFactor::Car {
            policy.estimate_car_speed_m_per_s
        } else {
            policy.estimate_speed_m_per_s
        };
        let seconds = u64::try_from(ride.as_seconds()).unwrap_or(0);
        Usage { ride, distance_m: seconds.saturating_mul(u64::from(speed)), reserved: Span::ZERO }
    }

    pub(crate) async fn surge(&self, at: Point, vehicle_type: &VehicleTypeId, plan: &PricingPlan) -> Surge {
        if !plan.surge_pricing() {
            return Surge::NONE;
        }
        // A model that can't answer must not raise a price.
        self.ports.demand.surge(at, vehicle_type, self.now()).await.unwrap_or(Surge::NONE)
    }

    fn price(&self, plan: &PricingPlan, form_factor: FormFactor, surge: Surge) -> PriceView {
        let usage = self.estimated_usage(form_factor, self.settings.policy.default_duration);
        let currency = plan.currency();
        PriceView {
            plan_id: plan.plan_id().clone(),
            unlock: RateView::new(plan.unlock(), currency),
            per_minute: RateView::new(plan.per_minute(), currency),
            per_km: RateView::new(plan.per_km(), currency),
            surge: surge.factor().normalize().to_string(),
            estimate: fare(plan, &usage, surge).ok().map(|fare| fare.total),
        }
    }

    async fn find(&self, query: &SearchQuery) -> Result<Nearby, AppError> {
        let nearest = self.nearest(query)?;
        Ok(self.ports.availability.nearest(&nearest, self.now()).await?)
    }

    fn nearest(&self, query: &SearchQuery) -> Result<Nearest, AppError> {
        let policy = &self.settings.policy;
        let center = point("lat", query.lat, query.lon)?;
        let radius_m = query.radius_m.unwrap_or_else(|| f64::from(policy.search_radius_m));
        let radius_max = f64::from(policy.search_radius_max_m);
        if !(radius_m > 0.0 && radius_m <= radius_max) {
            let text = format!("radius_m {radius_m} is out of range: more than 0, at most {radius_max}");
            return Err(AppError::Invalid(text));
        }
        let limit = query.limit.unwrap_or(policy.search_limit);
        if limit == 0 || limit > policy.search_limit_max {
            let text = format!("limit {limit} is out of range: 1 to {}", policy.search_limit_max);
            return Err(AppError::Invalid(text));
        }
        let vehicle_type = match &query.vehicle_type {
            Some(text) => {
                Some(VehicleTypeId::new(text).map_err(|error| AppError::Invalid(format!("type: {error}")))?)
            }
            None => None,
        };
        let min_charge = match query.min_battery {
            Some(value) => Some(
                Charge::from_fraction(value)
                    .map_err(|error| AppError::Invalid(format!("min_battery: {error}")))?,
            ),
            None => None,
        };
        let limit = limit as usize;
        Ok(Nearest { center, radius_m, limit, vehicle_type, min_charge, min_range_m: query.min_range_m })
    }
}

pub(crate) fn point(field: &str, lat: f64, lon: f64) -> Result<Point, AppError> {
    Point::new(lat, lon).map_err(|error| AppError::Invalid(format!("{field}, lon: {error}")))
}

fn vehicle(listing: Listing, distance_m: f64, price: Option<PriceView>) -> VehicleView {
    VehicleView {
        vehicle_id: listing.vehicle_id,
        vehicle_type: listing.vehicle_type,
        form_factor: listing.form_factor,
        propulsion_type: listing.propulsion_type,
        lat: listing.position.lat(),
        lon: listing.position.lon(),
        distance_m: (distance_m * 10.0).round() / 10.0,
        current_fuel_percent: listing.charge,
        current_range_meters: listing.range_m,
        last_reported: listing.last_reported,
        status: "available",
        price,
    }
}
