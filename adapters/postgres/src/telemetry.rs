//! What vehicles say, written in batches apart from the vehicles' rows.

use std::collections::HashSet;
use std::sync::Arc;

use rideplane_core::charge::Charge;
use rideplane_ports::Telemetry;

use crate::database::Database;
use crate::gather::Tray;
use crate::rows::{Result, arguments};
use crate::sql;

pub(crate) const OPERATION: &str = "store.record_telemetry";

/// The most calls whose reports share a statement.
const MAX_CALLS: usize = 512;
/// The most reports of one statement.
const MAX_ROWS: usize = 4_096;

/// The task that writes reports.
pub(crate) struct Reports {
    pub(crate) database: Arc<Database>,
    pub(crate) tray: Tray<Vec<Telemetry>, Result<()>>,
}

impl Reports {
    /// Works until everybody who could ask has gone.
    pub(crate) async fn run(self) {
        loop {
            let ops = self.tray.take(MAX_CALLS).await;
            if ops.is_empty() {
                return;
            }
            let together = self.write(ops.iter().flat_map(|op| &op.work).collect()).await;
            // What stopped them all may be one report only: then each call learns its own end. Repeats change nothing.
            let alone = together.is_err() && ops.len() > 1;
            for op in ops {
                let answer = match (&together, alone) {
                    (Ok(()), _) => Ok(()),
                    (Err(_), true) => self.write(op.work.iter().collect()).await,
                    (Err(_), false) => {
                        drop(op.answer.send(together));
                        break;
                    }
                };
                drop(op.answer.send(answer));
            }
        }
    }

    /// A statement can't write a row twice, and of two reports of a vehicle the later must see what the earlier left: each
    /// vehicle's reports go in rounds.
    async fn write(&self, mut reports: Vec<&Telemetry>) -> Result<()> {
        while !reports.is_empty() {
            let mut seen = HashSet::new();
            let (round, later): (Vec<_>, Vec<_>) = reports
                .into_iter()
                .partition(|report| seen.len() < MAX_ROWS && seen.insert(&report.vehicle_id));
            self.statement(&round).await?;
            reports = later;
        }
        Ok(())
    }

    async fn statement(&self, reports: &[&Telemetry]) -> Result<()> {
        let each =
            |of: fn(&Telemetry) -> Option<f64>| reports.iter().map(|report| of(report)).collect::<Vec<_>>();
        let arguments = arguments!(
            OPERATION,
            reports.iter().map(|report| report.vehicle_id.as_str()).collect::<Vec<_>>(),
            reports.iter().map(|report| report.last_reported.as_micros()).collect::<Vec<_>>(),
            each(|report| report.position.map(|at| at.lat())),
            each(|report| report.position.map(|at| at.lon())),
            reports.iter().map(|report| report.charge.map(basis_points)).collect::<Vec<_>>(),
            reports.iter().map(|report| report.range_m.map(i64::from)).collect::<Vec<_>>(),
        );
        let written = self.database.fetch(sql::RECORD_TELEMETRY, arguments).await;
        written.map(drop).map_err(|failure| failure.of_write(OPERATION))
    }
}

pub(crate) fn basis_points(charge: Charge) -> i32 {
    i32::from(charge.as_basis_points())
}
