//! A stack whose replica can be cut off and promoted while the old primary is left running.

use std::collections::BTreeMap;

use async_nats::jetstream;
use events::Message;
use testkit::{Options, Switch, TestStack, eventually, holds};
use xtask::process::{Launch, Process, Stop};
use xtask::servers::Probe;

use crate::shop::{connect, epoch, open};

/// A stack whose services know the primary by an address that moves.
pub(crate) struct Failover {
    pub(crate) shop: TestStack,
    switch: Switch,
    pub(crate) old: String,
    /// The replica that will be promoted; the services have it as replica, too, also afterwards.
    pub(crate) new: String,
    new_port: u16,
}

impl Failover {
    pub(crate) async fn open(options: Options) -> Self {
        let [old_port, new_port] = xtask::ports::free(2)[..] else { unreachable!("as many as were asked for") };
        let switch = Switch::to(old_port).await;
        let ports = BTreeMap::from([("primary".to_owned(), old_port), ("replica-1".to_owned(), new_port)]);
        let address = xtask::servers::postgres::url(switch.port());
        let shop = open(Options { ports, ..options }, &[("FRESHET_DATABASE_URL", &address)]);
        let urls = shop.stack.urls();
        let new = urls.replicas[0].clone();
        assert!(urls.database.contains(&old_port.to_string()) && new.contains(&new_port.to_string()));
        Self { old: urls.database, new, new_port, switch, shop }
    }

    /// The replica to be promoted gets no more of the primary's log: its sender ends, and what it resumes from is gone.
    pub(crate) async fn cut_off_replica(&self) {
        let mut old = connect(&self.old).await;
        holds(async || {
            sqlx::query(
                "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = 'replica_1'",
            )
            .execute(&mut old)
            .await
            .unwrap();
            sqlx::query("select pg_drop_replication_slot('replica_1')").execute(&mut old).await.is_ok()
        })
        .await;
    }

    /// Lets the replica follow again.
    pub(crate) async fn let_replica_follow(&self) {
        sqlx::query("select pg_create_physical_replication_slot('replica_1', true)")
            .execute(&mut connect(&self.old).await)
            .await
            .unwrap();
    }

    /// Waits until the replica has replayed all that the primary has written, and knows that the relay has settled it.
    pub(crate) async fn is_replicated(&self) {
        let written: i64 = sqlx::query_scalar("select (pg_current_wal_insert_lsn() - '0/0')::bigint")
            .fetch_one(&mut connect(&self.old).await)
            .await
            .unwrap();
        let mut replica = connect(&self.new).await;
        holds(async || {
            sqlx::query_scalar("select settled_to >= $1 from mark").bind(written).fetch_one(&mut replica).await.unwrap()
        })
        .await;
    }

    /// Promotes the replica and moves the address to it; sessions that the old primary sees at `kept` stay with it.
    pub(crate) async fn promote(&self, kept: &[u16]) {
        let is_promoted: bool =
            sqlx::query_scalar("select pg_promote()").fetch_one(&mut connect(&self.new).await).await.unwrap();
        assert!(is_promoted);
        self.switch.move_to(self.new_port, kept);
    }

    /// The port at which the old primary sees the relay that leads on it.
    pub(crate) async fn port_of_old_relay(&self) -> u16 {
        let mut old = connect(&self.old).await;
        eventually(async || {
            let port: Option<i32> = sqlx::query_scalar(
                "select client_port from pg_locks join pg_stat_activity using (pid)
                 where locktype = 'advisory' and granted and application_name = 'freshet-relay'",
            )
            .fetch_optional(&mut old)
            .await
            .unwrap();
            port.map(|port| u16::try_from(port).unwrap())
        })
        .await
    }

    /// Waits until the promoted server has made an epoch of its own, and returns it.
    pub(crate) async fn new_epoch(&self, before: i64) -> i64 {
        eventually(async || Some(epoch(&self.new).await).filter(|now| *now > before)).await
    }

    /// The epoch of the stream's last message.
    pub(crate) async fn epoch_of_stream(&self) -> i64 {
        let nats = jetstream::new(async_nats::connect(self.shop.stack.urls().nats).await.unwrap());
        let stream = nats.get_stream(events::STREAM).await.unwrap();
        let last = stream.cached_info().state.last_sequence;
        let last = Message::decode(&stream.get_raw_message(last).await.unwrap().payload).unwrap();
        i64::try_from(last.stamp().epoch.0).unwrap()
    }
}

/// A write node whose own address of the primary does not move.
pub(crate) struct Isolated {
    pub(crate) process: Process,
    pub(crate) url: String,
    pub(crate) ops_url: String,
}

impl Drop for Isolated {
    fn drop(&mut self) {
        tokio::task::block_in_place(|| self.process.kill9());
    }
}

pub(crate) fn isolated_write_node(stage: &Failover) -> Isolated {
    let [port, ops_port] = xtask::ports::free(2)[..] else { unreachable!("as many as were asked for") };
    let env = [
        ("FRESHET_DATABASE_URL", stage.old.clone()),
        ("FRESHET_NATS_URL", stage.shop.stack.urls().nats),
        ("FRESHET_LISTEN", format!("127.0.0.1:{port}")),
        ("FRESHET_OPS_LISTEN", format!("127.0.0.1:{ops_port}")),
    ];
    let launch = Launch {
        name: "isolated".to_owned(),
        program: testkit::programs().join("freshet-write"),
        args: Vec::new(),
        env: env.map(|(name, value)| (name.to_owned(), value)).into(),
        log: stage.shop.file("logs/isolated.log"),
        stop: Stop::Term,
        ready: Probe::Ready { port: ops_port },
    };
    let process = tokio::task::block_in_place(|| Process::start(launch)).unwrap();
    Isolated { process, url: format!("http://127.0.0.1:{port}"), ops_url: format!("http://127.0.0.1:{ops_port}") }
}
