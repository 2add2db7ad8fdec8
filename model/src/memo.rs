//! What was asked before, and the answer. The core's deciders and the vehicle's agent are functions of what they are
//! given, and a question comes up again in every history that differs in something else.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash;

use rideplane_core::payment::Fact;

use crate::lock::Heard;
use crate::print::{BuildFold, Printed};
use crate::provider::Provider;
use crate::server::{CallsFor, Decision};

/// Answers by their questions.
pub(crate) struct Answers<Q, A>(RefCell<HashMap<Q, A, BuildFold>>);

impl<Q, A> Default for Answers<Q, A> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<Q: Eq + Hash, A: Clone> Answers<Q, A> {
    /// The answer as it was given, or given now.
    pub(crate) fn ask(&self, question: Q, answer: impl FnOnce() -> A) -> A {
        if let Some(known) = self.0.borrow().get(&question) {
            return known.clone();
        }
        let answer = answer();
        self.0.borrow_mut().insert(question, answer.clone());
        answer
    }
}

/// All that is a function of the prints of what goes into it, and of the time in microseconds.
#[derive(Default)]
pub(crate) struct Memo {
    /// By what a server is asked, the vehicle, the booking, and the time.
    pub(crate) decisions: Answers<(u128, u128, u128, i64), Decision>,
    /// By a booking and the time.
    pub(crate) effects: Answers<(u128, i64), CallsFor>,
    /// By a call and the provider's book: the answer, and the book after it.
    pub(crate) calls: Answers<(u128, u128), (Printed<Fact>, Printed<Provider>)>,
    /// By the lock, a command, and the time.
    pub(crate) heard: Answers<(u128, u128, i64), Heard>,
}
