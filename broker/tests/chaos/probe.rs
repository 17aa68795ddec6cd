//! One record after the other into single partitions: how long does a fault keep each waiting?

use std::time::Duration;

use synod_broker::demo::clients::{Ack, Load, Partitions};
use synod_broker::demo::workload::Workload;
use synod_client::history::Guarantee;
use synod_client::producer::ProducerConfig;
use tokio::time::Instant;

use crate::cluster::TestCluster;
use crate::figures::Figures;

/// Time from one probe to the next, per partition.
pub(crate) const PROBE_PACE: Duration = Duration::from_millis(10);

/// An idempotent producer for each partition, and a reader.
#[derive(Debug)]
pub(crate) struct Probes {
    workload: Workload,
}

impl Probes {
    /// Begins to send into each of the first `count` partitions.
    pub(crate) async fn start(
        cluster: &TestCluster,
        partitions: &Partitions,
        count: u32,
    ) -> Probes {
        let mut workload = cluster.workload(partitions);
        for target in 0..count {
            let load = Load {
                targets: vec![target],
                value_size: 100,
                in_flight: 5,
                pace: Some(PROBE_PACE),
            };
            let config = ProducerConfig::default().delivery_timeout(Duration::from_secs(120));
            workload.add_sender(Guarantee::Exact, config, load).await.expect("a sender");
        }
        workload.add_reader().await.expect("a reader");
        Probes { workload }
    }

    /// Ends the probes, judges them and returns what was acknowledged when, by partition.
    pub(crate) async fn judge(self, cluster: &TestCluster) -> Vec<Vec<Ack>> {
        cluster.judge(self.workload).await.acks
    }
}

/// The time from handing over to acknowledgement of what was handed over in these times.
pub(crate) fn latencies(
    acks: &[Vec<Ack>],
    times: impl IntoIterator<Item = (Instant, Instant)>,
) -> Figures {
    let mut figures = Figures::default();
    for (from, to) in times {
        let inside = |ack: &&Ack| ack.invoked >= from && ack.invoked < to;
        figures.extend(acks.iter().flatten().filter(inside).map(|ack| ack.settled - ack.invoked));
    }
    figures
}
