//! The faults: each is done to a real server or service, and undone after a while.

use std::time::Duration;

use anyhow::{Context, Result};
use async_nats::jetstream::{self, stream};
use client::Client;
use sqlx::PgPool;
use tokio::task::block_in_place;
use tokio::time::timeout;
use xtask::stack::Role;

use super::random::Random;
use super::shop::Shop;
use crate::TestStack;

/// How far back read nodes remember, in the setting of a run.
pub(super) const HORIZON: Duration = Duration::from_secs(5);
/// The relay has a leader again within seconds of whatever happened to the last one.
const LEADER_WAIT_MAX: Duration = Duration::from_secs(30);
/// Longest answer of a service's metrics; one that is stopped gives none.
const METRICS_MAX: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(50);

/// What can be done to a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    PauseReplica,
    FlushRedis,
    KillProjector,
    KillReadNode,
    KillNats,
    KillLeader,
    StopLeader,
    StopReadNode,
    ShrinkStream,
}

/// How a fault is undone.
#[derive(Debug)]
pub(super) enum Cure {
    Nothing,
    ResumeReplay { url: String },
    StartAgain { member: String },
    Continue { member: String },
    RestoreStream { config: Box<stream::Config> },
}

impl Fault {
    pub const ALL: [Self; 9] = [
        Self::PauseReplica,
        Self::FlushRedis,
        Self::KillProjector,
        Self::KillReadNode,
        Self::KillNats,
        Self::KillLeader,
        Self::StopLeader,
        Self::StopReadNode,
        Self::ShrinkStream,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::PauseReplica => "pause_replica",
            Self::FlushRedis => "flush_redis",
            Self::KillProjector => "kill_projector",
            Self::KillReadNode => "kill_read_node",
            Self::KillNats => "kill_nats",
            Self::KillLeader => "kill_leader",
            Self::StopLeader => "stop_leader",
            Self::StopReadNode => "stop_read_node",
            Self::ShrinkStream => "shrink_stream",
        }
    }

    /// What it is done to. Two faults that overlap are done to different things.
    pub(super) const fn role(self) -> Role {
        match self {
            Self::PauseReplica => Role::Replica,
            Self::FlushRedis => Role::Redis,
            Self::KillProjector => Role::Projector,
            Self::KillReadNode | Self::StopReadNode => Role::Read,
            Self::KillNats | Self::ShrinkStream => Role::Nats,
            Self::KillLeader | Self::StopLeader => Role::Write,
        }
    }

    /// How long it lasts.
    pub(super) fn duration(self, random: &mut Random) -> Duration {
        let milliseconds = |from: u64, to: usize| Duration::from_millis(from) + Duration::from_millis(1) * small(to);
        let mut some = |to: usize| random.below(to);
        match self {
            Self::FlushRedis => Duration::ZERO,
            Self::KillProjector | Self::KillReadNode | Self::KillNats | Self::KillLeader => {
                milliseconds(100, some(2_000))
            }
            // Longer than the horizon, and than the silence after which another relay takes over.
            Self::StopLeader | Self::StopReadNode => HORIZON + milliseconds(500, some(1_500)),
            // Now within the lag that is tolerated, now beyond.
            Self::PauseReplica => milliseconds(1_000, some(6_000)),
            Self::ShrinkStream => milliseconds(2_000, some(3_000)),
        }
    }

    /// Does it; returns how it is undone, and to what it was done.
    pub(super) async fn inflict(
        self,
        stack: &mut TestStack,
        shop: &Shop,
        random: &mut Random,
    ) -> Result<(Cure, String)> {
        let options = stack.stack.options().clone();
        match self {
            Self::PauseReplica => {
                let number = random.below(options.replicas) + 1;
                let url = stack.stack.urls().replicas[number - 1].clone();
                ask(&url, "select pg_wal_replay_pause()").await?;
                Ok((Cure::ResumeReplay { url }, Role::Replica.name(number)))
            }
            Self::FlushRedis => {
                let redis = redis::Client::open(stack.stack.urls().redis)?;
                let mut connection = redis.get_multiplexed_async_connection().await?;
                redis::cmd("FLUSHALL").exec_async(&mut connection).await?;
                Ok((Cure::Nothing, "redis".to_owned()))
            }
            Self::KillProjector => kill(stack, Role::Projector.name(random.below(options.projectors) + 1)),
            Self::KillReadNode => {
                let number = random.below(options.read_nodes) + 1;
                shop.begin_life(number);
                kill(stack, Role::Read.name(number))
            }
            Self::KillNats => kill(stack, Role::Nats.name(1)),
            Self::KillLeader => {
                let leader = leader(stack).await?;
                kill(stack, leader)
            }
            Self::StopLeader => {
                let leader = leader(stack).await?;
                stop(stack, leader)
            }
            Self::StopReadNode => stop(stack, Role::Read.name(random.below(options.read_nodes) + 1)),
            Self::ShrinkStream => shrink(&stack.stack.urls().nats, random).await,
        }
    }
}

impl Cure {
    /// Undoes a fault; what was killed is ready again afterwards.
    pub(super) async fn apply(self, stack: &mut TestStack) -> Result<()> {
        match self {
            Self::Nothing => Ok(()),
            Self::ResumeReplay { url } => ask(&url, "select pg_wal_replay_resume()").await,
            Self::StartAgain { member } => block_in_place(|| stack.stack.start_again(&member)),
            Self::Continue { member } => {
                stack.stack.process(&member)?.resume();
                Ok(())
            }
            Self::RestoreStream { config } => {
                let nats = async_nats::connect(stack.stack.urls().nats).await?;
                jetstream::new(nats).update_stream(*config).await.context("the stream's limits are not restored")?;
                Ok(())
            }
        }
    }
}

fn kill(stack: &mut TestStack, member: String) -> Result<(Cure, String)> {
    block_in_place(|| stack.stack.process(&member).map(xtask::process::Process::kill9))?;
    Ok((Cure::StartAgain { member: member.clone() }, member))
}

fn stop(stack: &mut TestStack, member: String) -> Result<(Cure, String)> {
    stack.stack.process(&member)?.pause();
    Ok((Cure::Continue { member: member.clone() }, member))
}

/// Leaves room for a few messages only, by their number or by their bytes: what is older goes at once.
async fn shrink(nats_url: &str, random: &mut Random) -> Result<(Cure, String)> {
    let context = jetstream::new(async_nats::connect(nats_url).await?);
    let stream = context.get_stream(events::STREAM).await?;
    let before = stream.cached_info().config.clone();
    let mut small_one = before.clone();
    let what = if random.chance(50) {
        small_one.max_messages = i64::try_from(1 + random.below(100))?;
        format!("max_msgs {}", small_one.max_messages)
    } else {
        small_one.max_bytes = i64::try_from(2_000 + random.below(50_000))?;
        format!("max_bytes {}", small_one.max_bytes)
    };
    context.update_stream(small_one).await.context("the stream's limits are not changed")?;
    Ok((Cure::RestoreStream { config: Box::new(before) }, what))
}

/// The write service that says it leads the relay.
async fn leader(stack: &TestStack) -> Result<String> {
    let ops = stack.stack.urls().write_ops;
    let ask = async {
        loop {
            for (number, url) in (1..).zip(&ops) {
                if leads(&crate::client(url)).await {
                    return Role::Write.name(number);
                }
            }
            tokio::time::sleep(POLL).await;
        }
    };
    timeout(LEADER_WAIT_MAX, ask).await.context("no relay says that it leads")
}

async fn leads(ops: &Client) -> bool {
    let Ok(Ok(metrics)) = timeout(METRICS_MAX, ops.get("/metrics")).await else { return false };
    String::from_utf8_lossy(&metrics.body).lines().any(|line| line == "freshet_relay_is_leader 1")
}

async fn ask(url: &str, statement: &'static str) -> Result<()> {
    let server = PgPool::connect(url).await?;
    sqlx::query(statement).execute(&server).await?;
    server.close().await;
    Ok(())
}

fn small(number: usize) -> u32 {
    u32::try_from(number).expect("a few seconds")
}
