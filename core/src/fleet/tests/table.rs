//! Every kind of state meets every kind of command.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::*;

fn relative(at: Timestamp) -> String {
    format!("{:+}s", at.since(NOW).as_seconds())
}

fn until(quarantined_until: Option<Timestamp>) -> String {
    quarantined_until.map(|at| format!(" until {}", relative(at))).unwrap_or_default()
}

fn shown(event: &Event) -> String {
    let name = event.name();
    match event {
        Event::VehicleReserved { booking_id, user_id, epoch, at } => {
            assert_eq!(*at, NOW);
            format!("{name} by {} {user_id} epoch {}", booking_id.as_uuid().as_u128(), epoch.0)
        }
        Event::VehicleLocked { epoch, at, quarantined_until, booking_id }
        | Event::VehicleReleased { epoch, at, quarantined_until, booking_id } => {
            assert_eq!((*at, *booking_id), (NOW, booking(1)));
            format!("{name} epoch {}{}", epoch.0, until(*quarantined_until))
        }
        Event::VehicleUnlocked { booking_id, at } => {
            assert_eq!((*at, *booking_id), (NOW, booking(1)));
            name.to_owned()
        }
        Event::VehicleRegistered { at, .. }
        | Event::VehicleQuarantineEnded { at }
        | Event::VehicleCameOnline { at } => {
            assert_eq!(*at, NOW);
            name.to_owned()
        }
        Event::VehicleWentOffline { since } => format!("{name} since {}", relative(*since)),
        Event::VehicleMaintenanceStarted { reason } => format!("{name} {reason:?}"),
        Event::VehicleUpdated { .. } | Event::VehicleReturnedToService | Event::VehicleRetired => {
            name.to_owned()
        }
    }
}

fn why(rejection: &Rejection) -> String {
    match rejection {
        Rejection::NotRegistered => "not registered".into(),
        Rejection::OtherVehicle { .. } => "other vehicle".into(),
        Rejection::Retired { .. } => "retired".into(),
        Rejection::Unavailable { why, .. } => match why {
            Unavailability::Quarantined { until } => {
                format!("unavailable, quarantined until {}", relative(*until))
            }
            Unavailability::Offline { since } => format!("unavailable, offline since {}", relative(*since)),
            Unavailability::Reserved => "unavailable, reserved".into(),
            Unavailability::InUse => "unavailable, in use".into(),
            Unavailability::Maintenance => "unavailable, maintenance".into(),
            Unavailability::Retired => "unavailable, retired".into(),
        },
        Rejection::NotHolder { .. } => "not holder".into(),
        Rejection::InUse { .. } => "in use".into(),
        Rejection::NotInUse { .. } => "not in use".into(),
        Rejection::Held { .. } => "held".into(),
    }
}

/// Commands with events have a line each; the others are gathered by outcome.
fn block(title: &str, state: &Option<Vehicle>) -> String {
    let mut text = format!("{title}\n");
    let mut gathered: Vec<(String, Vec<&str>)> = Vec::new();
    for (name, command) in commands() {
        let outcome = match decide_at(state, &command, NOW) {
            Ok(events) if !events.is_empty() => {
                let events: Vec<String> = events.iter().map(shown).collect();
                writeln!(text, "  {name:<20} -> {}", events.join(", ")).unwrap();
                continue;
            }
            Ok(_) => "nothing to do".to_owned(),
            Err(rejection) => format!("refused ({})", why(&rejection)),
        };
        match gathered.iter_mut().find(|(known, _)| *known == outcome) {
            Some((_, names)) => names.push(name),
            None => gathered.push((outcome, vec![name])),
        }
    }
    gathered.sort();
    for (outcome, names) in gathered {
        writeln!(text, "  {outcome}: {}", names.join("; ")).unwrap();
    }
    text
}

#[test]
fn every_state_answers_every_command() {
    let table: Vec<String> = states().iter().map(|(title, state)| block(title, state)).collect();
    insta::assert_snapshot!(table.join("\n"));
}

#[test]
fn a_repeat_of_what_was_accepted_is_accepted_without_an_event() {
    for (title, state) in states() {
        for (name, command) in commands() {
            let Ok(events) = decide_at(&state, &command, NOW) else { continue };
            let after = fold(state.clone(), &events);
            assert_eq!(decide_at(&after, &command, NOW), Ok(vec![]), "{title}: {name}, twice");
        }
    }
}

#[test]
fn every_decided_event_changes_the_state() {
    for (title, state) in states() {
        for (name, command) in commands() {
            let mut before = state.clone();
            for event in decide_at(&state, &command, NOW).unwrap_or_default() {
                let after = Vehicle::evolve(before.clone(), &event);
                assert_ne!(after, before, "{title}: {name} decided {event:?}");
                before = after;
            }
        }
    }
}

#[test]
fn a_command_and_an_event_survive_the_store() {
    for (_, state) in states() {
        let json = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<Option<Vehicle>>(&json).unwrap(), state, "{json}");
        for (_, command) in commands() {
            let json = serde_json::to_string(&command).unwrap();
            assert_eq!(serde_json::from_str::<Command>(&json).unwrap(), command, "{json}");
            match decide_at(&state, &command, NOW) {
                Ok(events) => {
                    let json = serde_json::to_string(&events).unwrap();
                    assert_eq!(serde_json::from_str::<Vec<Event>>(&json).unwrap(), events, "{json}");
                }
                Err(rejection) => {
                    let json = serde_json::to_string(&rejection).unwrap();
                    assert_eq!(serde_json::from_str::<Rejection>(&json).unwrap(), rejection, "{json}");
                }
            }
        }
    }
}

#[test]
fn the_stored_form_stays_readable() {
    let (_, state) = states().swap_remove(2);
    insta::assert_snapshot!(serde_json::to_string_pretty(&state).unwrap());
}

/// The claim that a search relies on: what it lists can be reserved, and nothing else can.
#[test]
fn listable_is_exactly_what_a_stranger_may_reserve() {
    let stranger = Command::Reserve { booking_id: booking(9), user_id: rider(9) };
    let mut listed = Vec::new();
    for (title, state) in states() {
        let accepted = decide_at(&state, &stranger, NOW).is_ok();
        let Some(vehicle) = state else { continue };
        assert_eq!(vehicle.is_claimable(NOW), accepted, "{title}");
        assert_eq!(vehicle.is_listable(NOW), accepted, "{title}");
        assert_eq!(vehicle.status(NOW) == WireStatus::Available, accepted, "{title}");
        if accepted {
            listed.push(title);
        }
    }
    assert_eq!(listed, ["available / online / in service", "quarantined until now / online / in service"]);
}

#[test]
fn silence_is_news_of_what_is_online_and_only_some_events_change_that() {
    let (mut moved, mut named) = (BTreeSet::new(), BTreeSet::new());
    for (name, state) in states() {
        let before = state.as_ref().map(Vehicle::is_watched);
        if let Some(watched) = before {
            assert_eq!(watched, name.contains("online") && !name.contains("retired"), "{name}");
        }
        for (_, command) in commands() {
            for event in decide_at(&state, &command, NOW).unwrap_or_default() {
                let after = Vehicle::evolve(state.clone(), &event).map(|vehicle| vehicle.is_watched());
                moved.extend((before != after).then(|| event.name()));
                named.extend(event.moves_watch().then(|| event.name()));
            }
        }
    }
    assert_eq!(moved, named);
}

#[test]
fn only_a_quarantine_has_a_deadline() {
    for (title, state) in states() {
        let expected = if title.starts_with("quarantined until +30s") {
            Some((seconds(30), DeadlineReason::QuarantineEnds))
        } else if title.starts_with("quarantined until now") {
            Some((NOW, DeadlineReason::QuarantineEnds))
        } else {
            None
        };
        assert_eq!(Vehicle::next_deadline(&state), expected, "{title}");
    }
}

/// A `Tick` at the deadline must remove it, or the worker would send it for ever.
#[test]
fn a_tick_at_the_deadline_settles_it_and_one_before_does_not() {
    for (title, state) in states() {
        let Some((at, _)) = Vehicle::next_deadline(&state) else { continue };
        let early = at.minus(Span::from_micros(1));
        assert_eq!(decide_at(&state, &Command::Tick, early), Ok(vec![]), "{title}");
        let events = decide_at(&state, &Command::Tick, at).unwrap();
        assert_eq!(Vehicle::next_deadline(&fold(state, &events)), None, "{title}");
    }
}

#[test]
fn a_foreign_event_leaves_the_state_as_it_is() {
    let strangers = [
        Event::VehicleUnlocked { booking_id: booking(2), at: NOW },
        Event::VehicleLocked { booking_id: booking(2), epoch: Epoch(9), at: NOW, quarantined_until: None },
        Event::VehicleReleased { booking_id: booking(2), epoch: Epoch(9), at: NOW, quarantined_until: None },
        Event::VehicleRegistered { id: VehicleId::new("sc-2").unwrap(), spec: spec(1), at: NOW },
    ];
    for (title, state) in states().into_iter().skip(1) {
        for event in &strangers {
            assert_eq!(Vehicle::evolve(state.clone(), event), state, "{title}: {event:?}");
        }
    }
    assert_eq!(fold(None, &strangers[..3]), None);
    let back = [
        Event::VehicleReturnedToService,
        Event::VehicleMaintenanceStarted { reason: MaintenanceReason::Damage },
    ];
    for (title, state) in states().into_iter().filter(|(title, _)| title.ends_with("retired")) {
        assert_eq!(fold(state.clone(), &back), state, "{title}: retired is for good");
    }
}

#[test]
fn a_refusal_says_what_to_do_and_never_names_another_rider() {
    let mut texts: Vec<String> = Vec::new();
    for (_, state) in states() {
        for (_, command) in commands() {
            if let Err(rejection) = decide_at(&state, &command, NOW) {
                let text = rejection.to_string();
                assert!(!text.contains("rider"), "{text}");
                texts.push(text);
            }
        }
    }
    texts.sort();
    texts.dedup();
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn a_rider_has_the_vehicle_since_it_opened() {
    let reserved =
        states().into_iter().find_map(|(_, state)| state.filter(|v| v.holder().is_some())).unwrap();
    let opened = seconds(7);
    let event = Event::VehicleUnlocked { booking_id: booking(1), at: opened };
    let ridden = Vehicle::evolve(Some(reserved), &event).unwrap();
    assert_eq!(ridden.holder().unwrap().since, opened);
}
