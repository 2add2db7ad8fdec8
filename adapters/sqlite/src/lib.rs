//! The Store port on an embedded SQLite file
