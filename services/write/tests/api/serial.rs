//! Whatever writes meet, the outcome is that of some serial order of them.
//!
//! Goal: no interleaving of patches, deltas, lines of a bulk, deletes, repeats and crashes loses a write, does one twice, skips a
//! version or tells a history that does not add up. Method: in each round clients send random changes of a few products to two
//! instances at once, most under keys, some twice at a time, some hung up on; meanwhile database sessions are ended. Each change
//! has a reason of its own, by which its history row is found again. In the end the events of each product are its serial order:
//! every one must follow from the one before, and every answer from the event that it names.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use events::Change;
use freshet_write::database;
use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::PgPool;
use testkit::holds;
use tokio::time::timeout;

use crate::shop::{Answer, Shop, results};

const ROUNDS: u64 = 6;
const PRODUCTS: usize = 3;
const CLIENTS: u64 = 8;
const CHANGES_EACH: u64 = 12;
/// Of how often a change without a clear answer is repeated.
const REPEATS_MAX: u32 = 50;

/// What was sent, and what came back of it if anything did.
struct Sent {
    reason: String,
    body: Value,
    is_delete: bool,
    /// Status and version of the last answer; none that says "perhaps".
    answer: Option<(u16, Option<i64>)>,
}

/// `SplitMix64` (Steele, Lea, Flood 2014).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn any_interleaving_of_writes_gives_what_some_serial_order_of_them_gives(db: PgPool) {
    for round in 0..ROUNDS {
        let shops = [0, 1].map(|_| Shop::new(database::pool(&db.connect_options(), 4)));
        // The same for both, as if one client used both; ended sessions must not be in its way.
        let key = Shop::new(db.clone()).key().await.to_owned();
        let shops = shops.map(|shop| shop.with_key(&key));
        let mut ids = Vec::new();
        for number in 0..PRODUCTS {
            let lamp = format!(r#"{{"sku":"LAMP-{round}-{number}","name":"Lamp","price":"10.00","stock":20}}"#);
            ids.push(shops[0].post(&lamp).await.json()["id"].as_i64().unwrap());
        }
        let clients = (0..CLIENTS).map(|client| {
            let (shops, ids) = (&shops, &ids);
            async move {
                let mut dice = Dice(round << 32 | client);
                let mut sent = Vec::new();
                for number in 0..CHANGES_EACH {
                    let reason = format!("{round}-{client}-{number}");
                    sent.extend(change(shops, ids, &mut dice, &reason).await);
                }
                sent
            }
        });
        let (sent, ()) = tokio::join!(join_all(clients), end_sessions(&db, round));
        drop(shops);
        // What was hung up on may still be on its way.
        holds(async || {
            let at_work = "select not exists (select from pg_stat_activity
                           where datname = current_database() and application_name = 'freshet-write')";
            sqlx::query_scalar(at_work).fetch_one(&db).await.unwrap()
        })
        .await;
        check(&db, &ids, &sent.into_iter().flatten().collect::<Vec<_>>()).await;
    }
}

/// One random change, repeated until it is answered for good.
async fn change(shops: &[Shop; 2], ids: &[i64], dice: &mut Dice, reason: &str) -> Vec<Sent> {
    let id = ids[usize::try_from(dice.roll(ids.len() as u64)).unwrap()];
    if dice.roll(6) == 0 {
        return bulk(shops, ids, dice, reason).await;
    }
    let is_delete = dice.roll(60) == 0;
    let mut body = random_patch(dice);
    body["reason"] = reason.into();
    let (method, text) = if is_delete { (Method::DELETE, String::new()) } else { (Method::PATCH, body.to_string()) };
    let version = format!("\"{}\"", dice.roll(20));
    let mut headers = vec![("idempotency-key", reason)];
    if dice.roll(4) == 0 {
        headers.push(("if-match", &version));
    }
    let send = |at: usize| shops[at % 2].change(method.clone(), id, &headers, &text);
    let mut last: Option<Answer> = None;
    for attempt in 0..REPEATS_MAX {
        let at = usize::try_from(dice.roll(2)).unwrap();
        let answer = match dice.roll(8) {
            // Both at once, of which both get the one answer.
            0 => Some(tokio::join!(send(at), send(at + 1)).0),
            // Hung up on.
            1 if attempt == 0 => timeout(Duration::from_micros(dice.roll(3_000)), send(at)).await.ok(),
            _ => Some(send(at).await),
        };
        if let Some(answer) = answer.filter(|answer| !is_perhaps(answer.status, &answer.body)) {
            last = Some(answer);
            break;
        }
    }
    let answer = last.map(|answer| {
        let version = (answer.status == StatusCode::OK).then(|| answer.json()["version"].as_i64()).flatten();
        (answer.status.as_u16(), version)
    });
    vec![Sent { reason: reason.to_owned(), body, is_delete, answer }]
}

/// Several lines, repeated as a whole until each is answered for good.
async fn bulk(shops: &[Shop; 2], ids: &[i64], dice: &mut Dice, reason: &str) -> Vec<Sent> {
    let lines: Vec<Value> = (0..=dice.roll(6))
        .map(|number| {
            let mut line = random_patch(dice);
            line["id"] = ids[usize::try_from(dice.roll(ids.len() as u64)).unwrap()].into();
            line["reason"] = format!("{reason}-{number}").into();
            line
        })
        .collect();
    let text = lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let mut answers: Vec<Option<(u16, Option<i64>)>> = vec![None; lines.len()];
    for attempt in 0..REPEATS_MAX {
        let shop = &shops[usize::try_from(dice.roll(2)).unwrap()];
        let sent = async { Answer::read(shop.stream(Method::PATCH, "/products", reason, text.clone()).await).await };
        let answer = match dice.roll(4) {
            0 if attempt == 0 => timeout(Duration::from_micros(dice.roll(4_000)), sent).await.ok(),
            _ => Some(sent.await),
        };
        let Some(answer) = answer.filter(|answer| answer.status == StatusCode::OK) else { continue };
        for (kept, result) in answers.iter_mut().zip(results(&answer.body)) {
            // A bulk that ends early has its last line sooner.
            let Some(status) = result["status"].as_u64() else { break };
            let status = u16::try_from(status).unwrap();
            if status < 500 && result["problem"]["type"] != "/problems/key-in-use" {
                *kept = Some((status, result["version"].as_i64()));
            }
        }
        if answers.iter().all(Option::is_some) {
            break;
        }
    }
    lines
        .into_iter()
        .zip(answers)
        .map(|(body, answer)| {
            let reason = body["reason"].as_str().unwrap().to_owned();
            Sent { reason, body, is_delete: false, answer }
        })
        .collect()
}

fn random_patch(dice: &mut Dice) -> Value {
    match dice.roll(5) {
        0 => json!({"price": format!("{}.{:02}", dice.roll(100), dice.roll(100))}),
        1 => json!({"stock": dice.roll(40)}),
        2 => json!({"name": format!("Lamp {}", dice.roll(10)), "stock_delta": 1}),
        _ => json!({"stock_delta": i64::try_from(dice.roll(15)).unwrap() - 8}),
    }
}

/// Whether the change may or may not have been made, or is being made.
fn is_perhaps(status: StatusCode, body: &[u8]) -> bool {
    status.is_server_error() || String::from_utf8_lossy(body).contains("/problems/key-in-use")
}

/// The servers of sessions die now and then while clients write.
async fn end_sessions(db: &PgPool, round: u64) {
    for _ in 0..3 + round {
        let ended = "select count(pg_terminate_backend(pid)) from (
                         select pid from pg_stat_activity
                         where datname = current_database() and application_name = 'freshet-write' and state = 'active'
                         limit 1
                     ) as one";
        holds(async || sqlx::query_scalar::<_, i64>(ended).fetch_one(db).await.unwrap() > 0).await;
    }
}

#[derive(sqlx::FromRow)]
struct HistoryRow {
    product_id: i64,
    version: i64,
    reason: Option<String>,
    stock_from: Option<i32>,
    stock_to: Option<i32>,
    price_from: Option<i64>,
    price_to: Option<i64>,
}

async fn check(db: &PgPool, ids: &[i64], sent: &[Sent]) {
    let data: Vec<String> = sqlx::query_scalar("select data from outbox where product_id = any($1) order by id")
        .bind(ids)
        .fetch_all(db)
        .await
        .unwrap();
    let mut by_product: BTreeMap<i64, Vec<Change>> = BTreeMap::new();
    for data in &data {
        let change: Change = serde_json::from_str(data).unwrap();
        by_product.entry(change.id.get()).or_default().push(change);
    }
    let history: Vec<HistoryRow> = sqlx::query_as(
        "select product_id, version, reason, stock_from, stock_to, price_from, price_to
         from product_history
         where product_id = any($1)
         order by product_id, version",
    )
    .bind(ids)
    .fetch_all(db)
    .await
    .unwrap();
    for (id, changes) in &by_product {
        let rows: HashMap<i64, &HistoryRow> =
            history.iter().filter(|row| row.product_id == *id).map(|row| (row.version, row)).collect();
        check_one(db, *id, changes, &rows).await;
    }
    let mut by_reason: HashMap<&str, &HistoryRow> = HashMap::new();
    for row in &history {
        if let Some(reason) = &row.reason {
            assert!(by_reason.insert(reason, row).is_none(), "{reason} was applied twice");
        }
    }
    for Sent { reason, body, is_delete, answer } in sent {
        let row = by_reason.get(reason.as_str());
        match answer {
            Some((200, version)) => {
                if let Some(row) = row {
                    assert_eq!(Some(row.version), *version, "{reason}: the answer names another version");
                    check_effect(row, body, reason);
                } else {
                    let does_nothing =
                        body.get("stock").is_some() || body.get("price").is_some() || body["stock_delta"] == 0;
                    assert!(does_nothing, "{reason} was acknowledged and is lost");
                }
            }
            Some((204, _)) => assert!(*is_delete, "{reason}"),
            Some((404 | 409 | 412 | 422, _)) => assert!(row.is_none(), "{reason} was refused and applied"),
            Some((status, _)) => panic!("{reason}: {status}"),
            None => panic!("{reason} was never answered"),
        }
    }
}

/// Each event follows from the one before, each change of price or stock has its row, and the last one is the product.
async fn check_one(db: &PgPool, id: i64, changes: &[Change], rows: &HashMap<i64, &HistoryRow>) {
    for (place, change) in changes.iter().enumerate() {
        assert_eq!(change.version.get(), i64::try_from(place).unwrap() + 1, "versions of {id} have a gap");
        let (before, row) = (change.before.as_ref(), rows.get(&change.version.get()));
        if let Some(last) = place.checked_sub(1).map(|last| &changes[last]) {
            let expected = last.after.as_ref().map(catalog::ListFields::from);
            assert_eq!(before, expected.as_ref(), "version {} of {id} was made of another", change.version);
        }
        let offer = |price: i64, stock: i32| (Some(price), Some(stock));
        let from = before.map_or((None, None), |before| offer(before.price.minor(), before.stock.get()));
        let to = change.after.as_ref().map_or((None, None), |after| offer(after.price.minor(), after.stock.get()));
        let told = row.map(|row| ((row.price_from, row.stock_from), (row.price_to, row.stock_to)));
        assert_eq!(told, (from != to).then_some((from, to)), "the history of version {} of {id}", change.version);
    }
    let (version, stock, is_deleted): (i64, i32, bool) =
        sqlx::query_as("select version, stock, deleted_at is not null from products where id = $1")
            .bind(id)
            .fetch_one(db)
            .await
            .unwrap();
    let last = changes.last().unwrap();
    assert_eq!((last.version.get(), last.after.is_none()), (version, is_deleted));
    assert!(last.after.as_ref().is_none_or(|after| after.stock.get() == stock));
}

fn check_effect(row: &HistoryRow, body: &Value, reason: &str) {
    if let Some(delta) = body["stock_delta"].as_i64() {
        let made = i64::from(row.stock_to.unwrap()) - i64::from(row.stock_from.unwrap());
        assert_eq!(made, delta, "{reason}");
    }
    if let Some(stock) = body["stock"].as_i64() {
        assert_eq!(row.stock_to.map(i64::from), Some(stock), "{reason}");
    }
    if let Some(price) = body["price"].as_str() {
        assert_eq!(row.price_to, price.replace('.', "").parse().ok(), "{reason}");
    }
}
