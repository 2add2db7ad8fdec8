//! Riders: people with phones. They book, pay, ride, tap twice, walk away and come back.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use rideplane_app::view::BookingView;
use rideplane_app::{App, AppError, CreateBooking, EndTrip, SearchQuery, Sent};
use rideplane_core::booking::Status;
use rideplane_core::ids::{BookingId, PaymentIntentId, PaymentMethodId, UserId, VehicleId};
use rideplane_core::payment::PaymentStatus;
use rideplane_ports::IdempotencyKey;

use crate::coverage::Task;
use crate::defects::Defect;
use crate::faults::Fault;
use crate::net::{Owner, Part, Slot};
use crate::oracle::Told;
use crate::ports::provider::{CHALLENGED, GOOD, POOR, STOLEN};
use crate::rng::Rng;
use crate::trace::{Line, name};
use crate::world::Shared;

const S: i64 = 1_000_000;
/// How long a phone waits for an answer.
const PATIENCE: i64 = 30 * S;
/// How often a phone repeats a call that found nobody.
const TRIES: usize = 6;

type Answered<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A person on the way to one ride.
pub(crate) struct Rider {
    pub(crate) world: Arc<Shared>,
    pub(crate) user: UserId,
    pub(crate) number: u64,
    pub(crate) rng: Rng,
}

/// What a rider has booked.
#[derive(Clone)]
struct Held {
    booking: BookingId,
    vehicle: VehicleId,
}

impl Rider {
    /// One journey, as far as it goes; false when it did not begin.
    pub(crate) async fn journey(mut self) -> bool {
        let Some(held) = self.book().await else { return false };
        self.go_on(held).await;
        true
    }

    async fn go_on(mut self, held: Held) {
        if self.walks_away().await {
            return;
        }
        if self.rng.chance(60) {
            return self.cancel(&held).await;
        }
        if !self.pay(&held).await {
            return;
        }
        if self.walks_away().await {
            return;
        }
        if self.rng.chance(80) {
            return self.cancel(&held).await;
        }
        let walk = self.rng.between(5 * S, 240 * S);
        self.wait(walk).await;
        if !self.unlock(&held).await || self.walks_away().await {
            return;
        }
        let ride = self.rng.between(30 * S, 900 * S);
        self.wait(ride).await;
        self.world.fleet.ride(&held.vehicle, (ride / S) as u64 * 4);
        self.end(&held).await;
    }

    async fn wait(&self, micros: i64) {
        self.world.net.sleep(micros).await;
    }

    /// True when they are gone for good; some come back much later.
    async fn walks_away(&mut self) -> bool {
        if !self.world.net.strikes(Fault::Abandon) {
            return false;
        }
        if self.rng.chance(400) {
            let long = self.rng.between(60 * S, 1_500 * S);
            self.wait(long).await;
            return false;
        }
        true
    }

    fn tell(&self, told: Told) {
        self.world
            .net
            .note(|| Line::between("Server", name(Part::Riders), format!("{} hears {told:?}", self.user)));
        self.world.oracle.lock().tell(&self.user, &told, self.world.net.now());
    }

    /// One call to any server: lost on the way there or back, twice, or answered.
    async fn ask<T: Send + 'static>(
        &mut self,
        task: Task,
        about: Option<BookingId>,
        call: impl Fn(App) -> Answered<T>,
    ) -> Option<T> {
        let world = Arc::clone(&self.world);
        let server = self.rng.below(world.servers() as u64) as usize;
        let net = &world.net;
        let way = self.rng.between(5_000, 150_000);
        net.sleep(way).await;
        if !net.is_alive(server) || net.apart(Part::Riders, Part::Server(server)) {
            return None;
        }
        net.note(|| {
            Line::between(
                name(Part::Riders),
                name(Part::Server(server)),
                format!("{} {}", self.user, task.as_str()),
            )
        });
        if net.strikes(Fault::LostRequest) {
            self.wait(PATIENCE / 3).await;
            return None;
        }
        let status = about.and_then(|booking| world.oracle.lock().status_of(booking));
        let slot = Slot::new();
        let times = if net.strikes(Fault::DoubleTap) { 2 } else { 1 };
        for _ in 0..times {
            let (answer, app) = (Arc::clone(&slot), world.app(server));
            let running = call(app);
            let run = Box::pin(async move { answer.fill(running.await) });
            net.spawn(Owner::Server(server), task, status, run);
        }
        let answer = slot.wait(net, PATIENCE).await;
        if net.strikes(Fault::LostRequest) {
            self.wait(PATIENCE / 3).await;
            return None;
        }
        net.sleep(way).await;
        answer
    }

    async fn back_off(&mut self, attempt: usize) {
        let wait = self.rng.between(S / 2, S << attempt.min(4));
        self.wait(wait).await;
    }

    /// Finds a vehicle, by search or by the code on it.
    async fn choose(&mut self) -> VehicleId {
        if self.rng.chance(500) {
            let query = SearchQuery { lat: 50.11, lon: 8.68, limit: Some(3), ..SearchQuery::default() };
            let found = self
                .ask(Task::Search, None, move |app| {
                    let query = query.clone();
                    Box::pin(async move { app.search(&query).await })
                })
                .await;
            if let Some(Ok(found)) = found
                && let Some(first) = found.vehicles.first()
            {
                return first.vehicle_id.clone();
            }
        }
        let count = self.world.fleet.ids.len() as u64;
        self.world.fleet.ids[self.rng.below(count) as usize].clone()
    }

    async fn book(&mut self) -> Option<Held> {
        let vehicle = self.choose().await;
        let text = format!("{}-{}", self.user, self.number);
        let key = IdempotencyKey::new(text.clone()).unwrap();
        let body = CreateBooking {
            vehicle_id: vehicle.clone(),
            start_time: None,
            estimated_duration: Some(self.rng.between(300, 1_200)),
        };
        let hash = [self.number as u8; 32];
        for attempt in 0..TRIES {
            let (user, key, body) = (self.user.clone(), key.clone(), body.clone());
            let answer = self
                .ask(Task::Create, None, move |app| {
                    let (user, key, body) = (user.clone(), key.clone(), body.clone());
                    Box::pin(async move { app.create_booking(&user, key, hash, &body, None).await })
                })
                .await;
            let hasty = self.world.defect == Some(Defect::UnknownToldAsFailure);
            match answer {
                Some(Ok(answer)) if answer.status == 200 => {
                    let booking = answer.booking_id.or_else(|| booking_in(&answer.body))?;
                    self.tell(Told::Booked { key: text, booking });
                    return Some(Held { booking, vehicle });
                }
                Some(Ok(_)) | Some(Err(AppError::RateLimited { .. } | AppError::VehicleOffline(_))) => {
                    self.tell(Told::NotBooked { key: text });
                    return None;
                }
                Some(Err(AppError::Unavailable { .. })) if hasty => {
                    self.tell(Told::NotBooked { key: text });
                    return None;
                }
                Some(Err(_)) | None => self.back_off(attempt).await,
            }
        }
        None
    }

    fn method(&mut self) -> PaymentMethodId {
        let net = &self.world.net;
        let card = if net.strikes(Fault::Decline) {
            if self.rng.chance(200) { STOLEN } else { POOR }
        } else if net.strikes(Fault::Challenge) {
            CHALLENGED
        } else {
            GOOD
        };
        PaymentMethodId::new(card).unwrap()
    }

    /// Pays until it is done, declined for good, or too tiresome.
    async fn pay(&mut self, held: &Held) -> bool {
        let mut method = self.method();
        let booking = held.booking;
        for attempt in 0..TRIES {
            let (user, with) = (self.user.clone(), method.clone());
            let answer = self
                .ask(Task::Pay, Some(booking), move |app| {
                    let (user, with) = (user.clone(), with.clone());
                    Box::pin(async move { app.confirm_payment(&user, booking, Some(with)).await })
                })
                .await;
            match answer {
                Some(Ok(paid)) if paid.0.status == Status::PendingPayment => {
                    self.authenticate(paid.0.payment.payment_intent_id.clone()).await;
                }
                Some(Ok(paid)) if paid.0.payment.status == PaymentStatus::RequiresAction => {}
                Some(Ok(_)) => {
                    self.tell(Told::Confirmed { booking });
                    return true;
                }
                Some(Err(AppError::PaymentFailed { retryable, .. })) => {
                    self.tell(Told::Declined { booking });
                    if !retryable || self.rng.chance(400) {
                        return false;
                    }
                    method = PaymentMethodId::new(GOOD).unwrap();
                }
                Some(Err(
                    AppError::WrongState(_)
                    | AppError::NotFound
                    | AppError::VehicleUnavailable { .. }
                    | AppError::VehicleOffline(_),
                )) => return false,
                Some(Err(_)) | None => {}
            }
            self.back_off(attempt).await;
        }
        false
    }

    async fn authenticate(&mut self, intent: Option<PaymentIntentId>) {
        let Some(intent) = intent else { return };
        let think = self.rng.between(2 * S, 60 * S);
        self.wait(think).await;
        if self.rng.chance(900) {
            let success = self.rng.chance(850);
            self.world.provider.authenticate(&intent, success);
        }
    }

    async fn cancel(&mut self, held: &Held) {
        let booking = held.booking;
        for attempt in 0..TRIES {
            let user = self.user.clone();
            let answer = self
                .ask(Task::Cancel, Some(booking), move |app| {
                    let user = user.clone();
                    Box::pin(async move { app.cancel(&user, booking).await })
                })
                .await;
            match answer {
                Some(Ok(_)) => return self.tell(Told::Cancelled { booking }),
                Some(Err(AppError::NotFound)) => return,
                Some(Err(_)) | None => self.back_off(attempt).await,
            }
        }
    }

    async fn unlock(&mut self, held: &Held) -> bool {
        for attempt in 0..TRIES {
            let (user, vehicle, world) = (self.user.clone(), held.vehicle.clone(), Arc::clone(&self.world));
            let answer = self
                .ask(Task::Unlock, Some(held.booking), move |app| {
                    let (user, vehicle, world) = (user.clone(), vehicle.clone(), Arc::clone(&world));
                    Box::pin(async move { unlocked(&world, &app, &user, &vehicle).await })
                })
                .await;
            match answer {
                Some(Unlocked::Open(booking)) => {
                    self.tell(Told::Riding { booking });
                    return true;
                }
                Some(Unlocked::Shut(command)) => self.tell(Told::NotOpened { command }),
                Some(Unlocked::Gone) => return false,
                Some(Unlocked::Waiting) | None if self.rng.chance(100) => self.complain(held),
                Some(Unlocked::Waiting) | None => {}
            }
            self.back_off(attempt).await;
        }
        false
    }

    /// Calls the operator about a vehicle that does not open, who withdraws it, has a look, and brings it back at once.
    fn complain(&mut self, held: &Held) {
        let (world, id) = (Arc::clone(&self.world), held.vehicle.clone());
        let server = self.rng.below(world.servers() as u64) as usize;
        let looks = self.rng.between(S, 20 * S);
        if !world.net.is_alive(server) {
            return;
        }
        let app = world.app(server);
        let status = world.oracle.lock().status_of(held.booking);
        let net = Arc::clone(&self.world.net);
        let run = async move {
            if app.enter_maintenance(&id).await.is_ok() {
                world.net.sleep(looks).await;
                if let Some(n) = world.fleet.number(&id) {
                    world.fleet.lock_by_hand(n);
                }
                drop(app.enter_service(&id).await);
            }
        };
        net.spawn(Owner::Server(server), Task::Operator, status, Box::pin(run));
    }

    async fn end(&mut self, held: &Held) {
        let booking = held.booking;
        for attempt in 0..TRIES {
            let (user, world) = (self.user.clone(), Arc::clone(&self.world));
            let answer = self
                .ask(Task::EndTrip, Some(booking), move |app| {
                    let (user, world) = (user.clone(), Arc::clone(&world));
                    Box::pin(async move { ended(&world, &app, &user, booking).await })
                })
                .await;
            match answer {
                Some(Ok(view)) if view.status == Status::Ended || view.status == Status::Completed => {
                    return self.tell(Told::Arrived { booking });
                }
                Some(Err(AppError::WrongState(_) | AppError::NotFound)) => return,
                Some(Ok(_) | Err(_)) | None => self.back_off(attempt).await,
            }
        }
    }

    /// Somebody tries the vehicle that another has, and looks at the other's booking.
    pub(crate) async fn trespass(mut self) {
        let vehicle = {
            let count = self.world.fleet.ids.len() as u64;
            self.world.fleet.ids[self.rng.below(count) as usize].clone()
        };
        let Some((booking, owner)) = self.world.holder(&vehicle).filter(|(_, owner)| *owner != self.user)
        else {
            return;
        };
        let asks =
            if self.world.defect == Some(Defect::UnlockForAnybody) { owner } else { self.user.clone() };
        let (user, at) = (asks, vehicle.clone());
        let opened = self
            .ask(Task::Unlock, None, move |app| {
                let (user, at) = (user.clone(), at.clone());
                Box::pin(async move { app.unlock(&user, &at).await.is_ok() })
            })
            .await;
        let user = self.user.clone();
        let seen = self
            .ask(Task::View, Some(booking), move |app| {
                let user = user.clone();
                Box::pin(async move { app.booking(&user, booking).await.is_ok() })
            })
            .await;
        let now = self.world.net.now();
        let mut oracle = self.world.oracle.lock();
        // The rider may have booked it themselves in between.
        let mine = oracle
            .model
            .bookings
            .values()
            .any(|booked| booked.user == self.user && booked.vehicle == vehicle);
        oracle.trespass(&self.user, "open the vehicle", opened == Some(true) && !mine, now);
        oracle.trespass(&self.user, "see the booking", seen == Some(true), now);
    }
}

/// How a request to unlock ended.
enum Unlocked {
    Open(BookingId),
    Shut(rideplane_core::ids::CommandId),
    /// Still open: nobody knows yet.
    Waiting,
    Gone,
}

/// What the HTTP adapter does with an unlock: it waits a little for the vehicle, and looks.
async fn unlocked(world: &Shared, app: &App, user: &UserId, vehicle: &VehicleId) -> Unlocked {
    let command = match app.unlock(user, vehicle).await {
        Ok(Sent::Already(view)) => return Unlocked::Open(view.booking_id),
        Ok(Sent::Pending(command)) => command,
        Err(AppError::NotFound | AppError::WrongState(_)) => return Unlocked::Gone,
        Err(_) => return Unlocked::Waiting,
    };
    for _ in 0..6 {
        world.net.sleep(S).await;
        match app.unlock_result(user, &command).await {
            Ok(Some(view)) => return Unlocked::Open(view.booking_id),
            Ok(None) => {}
            Err(AppError::UnlockFailed(why)) if !why.contains("may have") => {
                return Unlocked::Shut(command.command_id);
            }
            Err(_) => return Unlocked::Waiting,
        }
    }
    Unlocked::Waiting
}

async fn ended(world: &Shared, app: &App, user: &UserId, id: BookingId) -> Result<BookingView, AppError> {
    let at = EndTrip { lat: Some(50.11), lon: Some(8.68) };
    let command = match app.end_trip(user, id, &at).await? {
        Sent::Already(view) => return Ok(*view),
        Sent::Pending(command) => command,
    };
    let mut last = app.end_trip_result(user, &command).await;
    for _ in 0..6 {
        if last.is_ok() {
            break;
        }
        world.net.sleep(S).await;
        last = app.end_trip_result(user, &command).await;
    }
    last
}

/// The id in the body of an answer that was stored.
fn booking_in(body: &[u8]) -> Option<BookingId> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once("\"booking_id\":\"")?;
    rest.get(..36)?.parse().ok()
}
