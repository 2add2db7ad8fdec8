//! The ports of the simulation: what is behind them is exact, what is between is not.

pub(crate) mod bus;
pub(crate) mod database;
pub(crate) mod faulty;
pub(crate) mod host;
pub(crate) mod provider;
pub(crate) mod search;
