//! Breadth first over every state, each once, so that the first counterexample is a shortest one.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::action::Action;
use crate::defects::Defect;
use crate::print::{BuildFold, Print};
use crate::rig::Rig;
use crate::rules::{self, Rule};
use crate::scope::Scope;
use crate::world::World;

/// What a search found.
#[derive(Clone, Debug)]
pub struct Report {
    /// Distinct states.
    pub states: usize,
    /// Steps from one state to another.
    pub transitions: usize,
    /// States in which nothing happens any more by itself.
    pub at_rest: usize,
    /// Steps of the longest shortest way to a state.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// The shortest way to a state that breaks a rule; `None` when there is none within the scope.
    pub counterexample: Option<Counterexample>,
}

/// A way to a state that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// The rule.
    pub rule: Rule,
    /// The steps, one line each.
    pub steps: Vec<String>,
}

/// Where a state was reached from, and how. A number of 32 bits is enough: before it isn't, memory is at its end.
type Trail = Vec<(u32, Option<Action>)>;

/// Tries everything within the scope, with a planted defect if one is given, up to the first broken rule.
#[must_use]
pub fn search(scope: Scope, defect: Option<Defect>) -> Report {
    let started = Instant::now();
    let rig = Rig::new(scope, defect);
    let mut scratch = Print::default();
    let mut seen: HashSet<u128, BuildFold> = HashSet::default();
    let mut trail = Trail::new();
    let mut frontier = Vec::new();
    for (number, world) in (0_u32..).zip(World::beginnings(&rig)) {
        seen.insert(world.print(&mut scratch));
        trail.push((number, None));
        frontier.push((number, world));
    }
    let (mut transitions, mut at_rest, mut depth) = (0, 0, 0);
    let mut broken = None;
    'levels: while !frontier.is_empty() {
        let mut next = Vec::new();
        for (from, world) in frontier {
            let steps = world.steps(&rig);
            if steps.iter().all(|(action, _)| action.is_voluntary()) {
                at_rest += 1;
                broken = rules::at_rest(&world).map(|rule| (from, rule));
            }
            for (action, after) in steps {
                if broken.is_some() {
                    break 'levels;
                }
                transitions += 1;
                if seen.insert(after.print(&mut scratch)) {
                    let number = u32::try_from(trail.len()).unwrap();
                    broken = after.broken.or_else(|| rules::always(&after)).map(|rule| (number, rule));
                    next.push((number, after));
                    trail.push((from, Some(action)));
                }
            }
            if broken.is_some() {
                break 'levels;
            }
        }
        depth += usize::from(!next.is_empty());
        frontier = next;
    }
    let counterexample =
        broken.map(|(at, rule)| Counterexample { rule, steps: retell(&rig, way(&trail, at)) });
    Report { states: trail.len(), transitions, at_rest, depth, took: started.elapsed(), counterexample }
}

/// With which beginning a way begins, and its steps.
fn way(trail: &Trail, mut at: u32) -> (u32, Vec<Action>) {
    let mut actions = Vec::new();
    while let Some((from, Some(action))) = trail.get(at as usize).copied() {
        actions.push(action);
        at = from;
    }
    actions.reverse();
    (at, actions)
}

/// The steps in words: the way is gone once more.
fn retell(rig: &Rig, (beginning, way): (u32, Vec<Action>)) -> Vec<String> {
    let Some(mut world) = World::beginnings(rig).into_iter().nth(beginning as usize) else {
        return Vec::new();
    };
    let mut lines: Vec<String> = world.wrong_clock().into_iter().collect();
    for action in way {
        let line = world.tell(action);
        let Some((_, after)) = world.steps(rig).into_iter().find(|(other, _)| *other == action) else {
            break;
        };
        lines.push(format!("{line:<72} {}", after.summary()));
        world = after;
    }
    lines
}
