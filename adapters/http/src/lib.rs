//! The HTTP contract over axum

pub mod auth;
