//! The order of the faults: every kind once in each round, in a random order, now and then two at a time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use xtask::interrupt;

use super::faults::{Cure, Fault};
use super::random::Random;
use super::shop::Shop;
use crate::TestStack;

/// Of a hundred faults, those during which the next one begins.
const OVERLAP_PERCENT: usize = 35;
/// Between two faults at most: long enough that the stack is sometimes whole again, and sometimes not.
const GAP_MILLIS_MAX: usize = 1_500;
/// Between two looks for Ctrl-C.
const LOOK: Duration = Duration::from_millis(200);

pub(super) struct Script<'s> {
    pub(super) stack: &'s mut TestStack,
    pub(super) shop: &'s Shop,
    pub(super) random: Random,
    pub(super) inflicted: BTreeMap<Fault, u32>,
}

/// A fault that lasts.
struct Lasting {
    fault: Fault,
    cure: Cure,
    until: Instant,
}

impl Script<'_> {
    /// One round at least, and more until the time is over. At the end nothing lasts.
    pub(super) async fn run(&mut self, duration: Duration) -> Result<()> {
        let end = Instant::now() + duration;
        let mut lasting: Option<Lasting> = None;
        loop {
            let mut round = Fault::ALL;
            self.random.shuffle(&mut round);
            for fault in round {
                let is_enough = self.inflicted.len() == Fault::ALL.len() && Instant::now() > end;
                if is_enough {
                    return self.heal(lasting).await;
                }
                if lasting.as_ref().is_some_and(|before| before.fault.role() == fault.role()) {
                    self.heal(lasting.take()).await?;
                }
                let inflicted = self.inflict(fault).await.with_context(|| fault.name())?;
                // What is begun without NATS may need it, so nothing else begins while it is away.
                let may_overlap = lasting.is_none() && fault != Fault::KillNats;
                if may_overlap && self.random.chance(OVERLAP_PERCENT) {
                    lasting = Some(inflicted);
                } else {
                    self.heal(Some(inflicted)).await?;
                    self.heal(lasting.take()).await?;
                }
                let gap = self.random.below(GAP_MILLIS_MAX);
                wait_until(Instant::now() + Duration::from_millis(u64::try_from(gap)?)).await?;
            }
        }
    }

    async fn inflict(&mut self, fault: Fault) -> Result<Lasting> {
        let duration = fault.duration(&mut self.random);
        let (cure, what) = fault.inflict(self.stack, self.shop, &mut self.random).await?;
        println!("{}  {} ({what}) for {:.1} s", self.shop.now(), fault.name(), duration.as_secs_f64());
        *self.inflicted.entry(fault).or_default() += 1;
        Ok(Lasting { fault, cure, until: Instant::now() + duration })
    }

    async fn heal(&mut self, lasting: Option<Lasting>) -> Result<()> {
        let Some(Lasting { fault, cure, until }) = lasting else { return Ok(()) };
        wait_until(until).await?;
        cure.apply(self.stack).await.with_context(|| format!("{} is not healed", fault.name()))?;
        println!("{}  {} is over", self.shop.now(), fault.name());
        Ok(())
    }
}

async fn wait_until(moment: Instant) -> Result<()> {
    loop {
        ensure!(!interrupt::is_pending(), "interrupted");
        let left = moment.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        tokio::time::sleep(left.min(LOOK)).await;
    }
}
