//! The words of GBFS 3.1 `vehicle_types.json` that a fleet file may use.

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* } $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            pub(super) const RULE: &'static str = $rule;

            /// The GBFS word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }

            /// The one that GBFS calls `word`.
            #[must_use]
            pub fn named(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == word)
            }
        }
    };
}

words! {
    /// GBFS `form_factor`: the general form of a vehicle.
    FormFactor {
        /// A bicycle.
        Bicycle = "bicycle",
        /// A bicycle for loads.
        CargoBicycle = "cargo_bicycle",
        /// A car.
        Car = "car",
        /// A seated two-wheeler with a motor.
        Moped = "moped",
        /// A kick scooter that is ridden standing.
        ScooterStanding = "scooter_standing",
        /// A kick scooter with a seat.
        ScooterSeated = "scooter_seated",
        /// Something else.
        Other = "other",
    }
    "a GBFS form_factor: bicycle, cargo_bicycle, car, moped, scooter_standing, scooter_seated or other"
}

words! {
    /// GBFS `propulsion_type`: what moves a vehicle.
    PropulsionType {
        /// Pedals or a foot.
        Human = "human",
        /// A motor that helps only while one pedals.
        ElectricAssist = "electric_assist",
        /// A battery and a throttle.
        Electric = "electric",
        /// A gasoline engine.
        Combustion = "combustion",
        /// A diesel engine.
        CombustionDiesel = "combustion_diesel",
        /// An engine and a motor.
        Hybrid = "hybrid",
        /// An engine and a motor with a plug.
        PlugInHybrid = "plug_in_hybrid",
        /// Hydrogen through a fuel cell.
        HydrogenFuelCell = "hydrogen_fuel_cell",
    }
    "a GBFS propulsion_type: human, electric_assist, electric, combustion, combustion_diesel, hybrid, plug_in_hybrid or hydrogen_fuel_cell"
}
