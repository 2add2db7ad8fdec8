//! The booking and its vehicle: every state against every command, the journeys by name, and random histories against
//! small models of the provider and of the lock.

mod gateway;
mod journeys;
mod lock;
mod model;
mod table;
mod world;
