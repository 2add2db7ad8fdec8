//! Breadth first over every state, each once, so that the first counterexample is a shortest one.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::defects::Defect;
use crate::print::{BuildFold, Print};
use crate::rig::Rig;
use crate::rules::{self, Rule};
use crate::scope::Scope;
use crate::world::{Action, World};

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
    let first = World::new(&rig);
    let mut scratch = Print::default();
    let mut seen: HashSet<u128, BuildFold> = HashSet::from_iter([first.print(&mut scratch)]);
    let mut trail: Trail = vec![(0, None)];
    let mut frontier = vec![(0_u32, first)];
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
        broken.map(|(at, rule)| Counterexample { rule, steps: retell(&rig, &way(&trail, at)) });
    Report { states: trail.len(), transitions, at_rest, depth, took: started.elapsed(), counterexample }
}

fn way(trail: &Trail, mut at: u32) -> Vec<Action> {
    let mut actions = Vec::new();
    while let Some((from, Some(action))) = trail.get(at as usize).copied() {
        actions.push(action);
        at = from;
    }
    actions.reverse();
    actions
}

/// The steps in words: the way is gone once more.
fn retell(rig: &Rig, way: &[Action]) -> Vec<String> {
    let mut world = World::new(rig);
    let mut lines = Vec::new();
    for action in way {
        let line = world.tell(*action);
        let Some((_, after)) = world.steps(rig).into_iter().find(|(other, _)| other == action) else { break };
        lines.push(format!("{line:<72} {}", after.summary()));
        world = after;
    }
    lines
}
