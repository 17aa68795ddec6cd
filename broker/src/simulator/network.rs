//! The network between brokers: per directed link delay, loss, repetition, reordering, clogs, cuts.

use super::agenda::Micros;
use super::random::Random;

/// How bad the links are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Weather {
    /// Least and greatest delay.
    pub(crate) delay: (Micros, Micros),
    pub(crate) loss_percent: u64,
    /// How often a packet arrives again, and how much later at most.
    pub(crate) replay_percent: u64,
    pub(crate) replay_delay: Micros,
    /// Packets overtake each other.
    pub(crate) reorders: bool,
}

impl Weather {
    /// What a healthy local network does.
    pub(crate) const FAIR: Weather = Weather {
        delay: (100, 400),
        loss_percent: 0,
        replay_percent: 0,
        replay_delay: 0,
        reorders: false,
    };
}

/// What a spoiled link loses.
const SPOILED_LOSS_PERCENT: u64 = 50;

#[derive(Clone, Debug, Default)]
struct Link {
    /// How many faults cut it at the moment.
    cuts: u32,
    /// Nothing arrives before.
    clogged_until: Micros,
    /// When the packet sent last arrives.
    last_arrival: Micros,
    /// Loses about every second packet until then.
    spoiled_until: Micros,
}

/// All directed links of a cluster.
#[derive(Debug)]
pub(crate) struct Network {
    count: usize,
    links: Vec<Link>,
    weather: Weather,
}

impl Network {
    pub(crate) fn new(count: usize, weather: Weather) -> Network {
        Network { count, links: vec![Link::default(); count * count], weather }
    }

    fn link(&mut self, from: usize, to: usize) -> &mut Link {
        &mut self.links[from * self.count + to]
    }

    /// When a packet sent now arrives: not at all, once, or more often.
    pub(crate) fn arrivals(
        &mut self,
        from: usize,
        to: usize,
        now: Micros,
        random: &mut Random,
    ) -> [Option<Micros>; 2] {
        let Weather { delay, loss_percent, replay_percent, replay_delay, reorders } = self.weather;
        let spoiled = now < self.link(from, to).spoiled_until;
        let loss_percent = if spoiled { SPOILED_LOSS_PERCENT } else { loss_percent };
        if self.is_cut(from, to) || random.chance(loss_percent) {
            return [None, None];
        }
        let sent = now + random.range(delay.0, delay.1);
        let link = self.link(from, to);
        let mut at = sent.max(link.clogged_until);
        if !reorders {
            at = at.max(link.last_arrival);
            link.last_arrival = at;
        }
        let again = random.chance(replay_percent).then(|| at + random.range(0, replay_delay));
        [Some(at), again]
    }

    pub(crate) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.links[from * self.count + to].cuts > 0
    }

    /// Whether packets pass both ways.
    pub(crate) fn connects(&self, one: usize, other: usize) -> bool {
        one == other || !self.is_cut(one, other) && !self.is_cut(other, one)
    }

    pub(crate) fn cut(&mut self, links: &[(usize, usize)]) {
        for (from, to) in links {
            self.link(*from, *to).cuts += 1;
        }
    }

    pub(crate) fn mend(&mut self, links: &[(usize, usize)]) {
        for (from, to) in links {
            let link = self.link(*from, *to);
            link.cuts = link.cuts.saturating_sub(1);
        }
    }

    pub(crate) fn clog(&mut self, links: &[(usize, usize)], until: Micros) {
        for (from, to) in links {
            let link = self.link(*from, *to);
            link.clogged_until = link.clogged_until.max(until);
        }
    }

    pub(crate) fn spoil(&mut self, links: &[(usize, usize)], until: Micros) {
        for (from, to) in links {
            self.link(*from, *to).spoiled_until = until;
        }
    }

    /// No more faults.
    pub(crate) fn heal(&mut self, now: Micros) {
        self.weather = Weather::FAIR;
        for link in &mut self.links {
            link.cuts = 0;
            link.clogged_until = link.clogged_until.min(now);
            link.spoiled_until = 0;
            link.last_arrival = link.last_arrival.min(now);
        }
    }
}
