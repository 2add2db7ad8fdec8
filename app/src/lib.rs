//! The use cases of the booking data plane: load, decide, commit, carry out effects
