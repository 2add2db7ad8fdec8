//! The HTTP contract over axum
