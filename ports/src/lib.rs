//! What the booking core needs from the world: ports, their contracts and conformance suites
