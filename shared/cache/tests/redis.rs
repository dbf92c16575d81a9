//! The script and the connection, against a real Redis.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use bytes::Bytes;
use cache::{Cache, Content, Entry};
use catalog::ProductId;
use events::{Epoch, Position};
use testkit::{holds, redis};
use xtask::process::Process;
use xtask::scratch::Scratch;

const HOUR: Duration = Duration::from_hours(1);

fn id(number: i64) -> ProductId {
    number.try_into().unwrap()
}

fn entry(epoch: u64, version: i64, read_at: u64) -> Entry {
    let body = Bytes::from(format!("{{\"version\":{version},\"read_at\":{read_at}}}"));
    Entry {
        epoch: Epoch(epoch),
        version: version.try_into().unwrap(),
        read_at: Position(read_at),
        content: Content::Product(body),
    }
}

/// Whether each of `entries`, put one after the other under one id, was written; and what is held in the end.
async fn put_all(cache: &Cache, entries: &[Entry]) -> (Vec<usize>, Option<Entry>) {
    let mut written = Vec::new();
    for entry in entries {
        written.push(cache.fill(&[(id(1), entry.clone())]).await.unwrap());
    }
    (written, cache.get(&[id(1)]).await.unwrap().remove(0))
}

#[tokio::test]
async fn an_older_version_never_overwrites_a_newer_one() {
    let server = redis();
    let cache = Cache::new(server.url(), HOUR).unwrap();

    let (written, held) = put_all(&cache, &[entry(5, 5, 10), entry(5, 3, 99), entry(5, 6, 1)]).await;

    assert_eq!(written, [1, 0, 1]);
    assert_eq!(held, Some(entry(5, 6, 1)));
}

#[tokio::test]
async fn a_higher_epoch_overwrites_and_a_lower_one_does_not_whatever_their_versions() {
    let server = redis();
    let cache = Cache::new(server.url(), HOUR).unwrap();

    let (written, held) = put_all(&cache, &[entry(5, 9, 90), entry(6, 1, 1), entry(5, 99, 99)]).await;

    assert_eq!(written, [1, 1, 0]);
    assert_eq!(held, Some(entry(6, 1, 1)));
}

#[tokio::test]
async fn an_equal_version_keeps_the_larger_position_and_renews_nothing_else() {
    let server = redis();
    let cache = Cache::new(server.url(), HOUR).unwrap();

    let (written, held) = put_all(&cache, &[entry(5, 5, 10), entry(5, 5, 9), entry(5, 5, 10), entry(5, 5, 11)]).await;

    assert_eq!(written, [1, 0, 0, 1]);
    assert_eq!(held, Some(entry(5, 5, 11)));
}

/// Under a locale whose order of characters is not that of bytes, Lua's `<` on strings is `strcoll`.
#[tokio::test]
async fn numbers_are_compared_as_numbers_whatever_the_locale() {
    let folder = Scratch::new("redis").unwrap();
    let port = xtask::ports::free(1)[0];
    let mut launch = xtask::servers::redis("redis", &folder.path().join("data"), port).unwrap();
    launch.env = xtask::servers::american_english(&folder.path().join("locales")).unwrap();
    let mut process = Process::start(launch).unwrap();
    let url = format!("redis://127.0.0.1:{port}");
    let sorts_as_text = command(&url, &["EVAL", "return ('a' < 'B') and 1 or 0", "0"]).await;
    assert_eq!(sorts_as_text, 1, "under this locale, unlike in bytes, a small letter comes before a capital one");
    let cache = Cache::new(&url, HOUR).unwrap();
    // Neighbours in number whose bytes (a NUL, letters of either case, a sign bit) sort otherwise as text.
    let steps: [(u64, i64, u64); 8] = [
        (5, 9, 9),
        (5, 10, 1),
        (5, 0x41, 1),
        (5, 0x61, 1),
        (5, 0xFF, 1),
        (5, 0x100, 1),
        (0xFF, 1, 0x7FFF_FFFF),
        (0x100, 1, 0x8000_0000),
    ];
    for pair in steps.windows(2) {
        let [(epoch, version, read_at), (next_epoch, next_version, next_read_at)] = *pair else { unreachable!() };
        let (older, newer) = (entry(epoch, version, read_at), entry(next_epoch, next_version, next_read_at));
        let (written, held) = put_all(&cache, &[newer.clone(), older.clone()]).await;
        assert_eq!((written, held), (vec![1, 0], Some(newer)), "{older:?}");
    }
    // The largest numbers that a double holds exactly.
    let most = (1_u64 << 53) - 1;
    let version = i64::try_from(most).unwrap();
    let (written, _) =
        put_all(&cache, &[entry(most - 1, 1, 1), entry(most, version - 1, 1), entry(most, version, most - 1)]).await;
    assert_eq!(written, [1, 1, 1]);
    let (written, _) = put_all(&cache, &[entry(most, version, most), entry(most, version, most - 1)]).await;
    assert_eq!(written, [1, 0]);
    process.kill9();
}

#[tokio::test]
async fn a_refresh_brings_held_entries_up_to_date_and_writes_nothing_for_others() {
    let server = redis();
    let cache = Cache::new(server.url(), HOUR).unwrap();
    cache.fill(&[(id(1), entry(5, 1, 1))]).await.unwrap();

    let written = cache.refresh(&[(id(1), entry(5, 2, 2)), (id(2), entry(5, 2, 2))]).await.unwrap();

    assert_eq!(written, 1);
    assert_eq!(cache.get(&[id(1), id(2)]).await.unwrap(), [Some(entry(5, 2, 2)), None]);
}

#[tokio::test]
async fn a_value_of_another_form_counts_as_not_held_and_is_replaced() {
    let server = redis();
    let cache = Cache::new(server.url(), HOUR).unwrap();
    for other in ["", "short", "as long as a header, but of another kind altogether"] {
        command(server.url(), &["SET", &Entry::key(id(1)), other]).await;
        assert_eq!(cache.get(&[id(1)]).await.unwrap(), [None], "{other}");
    }
    for other in [["SET", &Entry::key(id(1)), "short"], ["RPUSH", &Entry::key(id(2)), "a list"]] {
        command(server.url(), &other).await;
    }
    cache.fill(&[(id(3), entry(5, 1, 1))]).await.unwrap();
    assert_eq!(cache.get(&[id(1), id(2), id(3)]).await.unwrap(), [None, None, Some(entry(5, 1, 1))]);

    assert_eq!(cache.fill(&[(id(1), entry(5, 1, 1)), (id(2), entry(5, 1, 1))]).await.unwrap(), 2);
    assert_eq!(cache.get(&[id(1), id(2)]).await.unwrap(), [Some(entry(5, 1, 1)), Some(entry(5, 1, 1))]);
}

#[tokio::test]
async fn the_script_is_loaded_again_when_redis_has_forgotten_it() {
    let server = redis();
    let cache = Cache::new(server.url(), HOUR).unwrap();
    for version in 1..=3 {
        command(server.url(), &["SCRIPT", "FLUSH"]).await;
        let entries = [(id(1), entry(5, version, 1)), (id(2), entry(5, version, 1))];
        assert_eq!(cache.fill(&entries).await.unwrap(), 2);
    }
}

#[tokio::test]
async fn the_connection_comes_back_after_redis_was_away() {
    let mut server = redis();
    let cache = Cache::new(server.url(), HOUR).unwrap();
    cache.fill(&[(id(1), entry(5, 1, 1))]).await.unwrap();
    server.kill9();
    assert!(cache.get(&[id(1)]).await.is_err());

    server.start_again();

    holds(async || cache.get(&[id(1)]).await.is_ok_and(|held| held == [None])).await;
    assert_eq!(cache.fill(&[(id(1), entry(5, 1, 1))]).await.unwrap(), 1);
}

#[tokio::test]
async fn entries_live_up_to_a_tenth_less_than_the_time_to_live_by_id() {
    let server = redis();
    let cache = Cache::new(server.url(), HOUR).unwrap();
    let entries: Vec<_> = (1..=50).map(|number| (id(number), entry(5, 1, 1))).collect();
    cache.fill(&entries).await.unwrap();

    let mut lives = Vec::new();
    for (id, _) in &entries {
        lives.push(command(server.url(), &["PTTL", &Entry::key(*id)]).await);
    }

    assert!(lives.iter().all(|life| (3_180_000..=3_600_000).contains(life)), "{lives:?}");
    assert!(lives.iter().max().unwrap() - lives.iter().min().unwrap() > 180_000, "{lives:?}");
}

async fn command(url: &str, words: &[&str]) -> i64 {
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let answer: redis::Value = redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await.unwrap();
    if let redis::Value::Int(number) = answer { number } else { 0 }
}
