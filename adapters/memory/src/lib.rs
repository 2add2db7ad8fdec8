//! Every port in memory: store, bus, vehicle agents, test payment gateway, log notifier
