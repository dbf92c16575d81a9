//! `GET /products/{id}/history` and `GET /bulks/{id}/history`, and that every change leaves its row.

use axum::http::StatusCode;
use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::PgPool;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::shop::Shop;

fn numbers(changes: &[Value], name: &str) -> Vec<i64> {
    changes.iter().map(|change| change[name].as_i64().unwrap()).collect()
}

/// What a change did, as `price currency stock` before and after.
fn moved(change: &Value) -> [Value; 2] {
    ["from", "to"].map(|side| json!([change["price"][side], change["currency"][side], change["stock"][side]]))
}

async fn bulk_ids(db: &PgPool) -> Vec<String> {
    let ids = "select bulk_id::text from product_history where bulk_id is not null group by bulk_id order by bulk_id";
    sqlx::query_scalar(ids).fetch_all(db).await.unwrap()
}

#[sqlx::test(migrations = "../../migrations")]
async fn every_way_of_change_leaves_who_made_it_why_and_as_part_of_what(db: PgPool) {
    let shop = Shop::new(db.clone());
    let id = shop.lamp().await;
    shop.patch(id, r#"{"price":"17.99","reason":"spring sale"}"#).await;
    shop.patch(id, r#"{"stock_delta":-3,"reason":"sold"}"#).await;
    shop.patch(id, r#"{"price":"1800","currency":"JPY"}"#).await;
    shop.import_all("{\"sku\":\"LAMP-1\",\"name\":\"Lamp\",\"price\":\"21.00\",\"stock\":9}\n").await;
    shop.delete(id).await;

    let answer = shop.get(&format!("/products/{id}/history")).await;
    assert_eq!((answer.status, answer.header("cache-control")), (StatusCode::OK, "no-store"));
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.json()["next_cursor"], Value::Null);
    let mut changes = answer.json()["items"].as_array().unwrap().clone();
    changes.reverse();
    assert_eq!(numbers(&changes, "version"), [1, 2, 3, 4, 5, 6]);
    assert_eq!(numbers(&changes, "product_id"), [id; 6]);
    let states = [
        json!([null, null, null]),
        json!(["19.99", "USD", 4]),
        json!(["17.99", "USD", 4]),
        json!(["17.99", "USD", 1]),
        json!(["1800", "JPY", 1]),
        json!(["21.00", "USD", 9]),
        json!([null, null, null]),
    ];
    for (change, state) in changes.iter().zip(states.windows(2)) {
        assert_eq!(moved(change), [state[0].clone(), state[1].clone()], "{change}");
    }
    let reasons: Vec<&Value> = changes.iter().map(|change| &change["reason"]).collect();
    assert_eq!(json!(reasons), json!([null, "spring sale", "sold", null, null, null]));
    let bulks: Vec<&Value> = changes.iter().map(|change| &change["bulk_id"]).collect();
    assert_eq!(json!(bulks), json!([null, null, null, null, bulk_ids(&db).await[0], null]));
    let events: Vec<(String, OffsetDateTime)> =
        sqlx::query_as("select actor, created_at from outbox order by id").fetch_all(&db).await.unwrap();
    for (change, (actor, at)) in changes.iter().zip(events) {
        assert!(!actor.is_empty());
        assert_eq!(change["actor"], actor);
        assert_eq!(OffsetDateTime::parse(change["changed_at"].as_str().unwrap(), &Rfc3339), Ok(at));
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_changes_neither_price_nor_stock_leaves_no_row(db: PgPool) {
    let shop = Shop::new(db);
    let id = shop.lamp().await;
    for patch in [
        r#"{"name":"Desk lamp","reason":"typo"}"#,
        r#"{"brand":null}"#,
        r#"{"stock":4,"price":"19.99"}"#,
        r#"{"stock_delta":0,"image_url":"/lamp.png"}"#,
    ] {
        assert_eq!(shop.patch(id, patch).await.status, StatusCode::OK);
    }
    assert_eq!(shop.patch(id, r#"{"stock_delta":-5}"#).await.status, StatusCode::CONFLICT);
    assert_eq!(numbers(&shop.history(&format!("/products/{id}/history")).await, "version"), [1]);
    assert_eq!(shop.stored(id).await.unwrap().version.get(), 4);
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_history_adds_up_whichever_instance_takes_which_patch(db: PgPool) {
    let shops = Shop::two(&db).await;
    let ids = [shops[0].lamp().await, {
        let fan = r#"{"sku":"FAN-1","name":"Fan","price":"30","stock":100}"#;
        shops[1].post(fan).await.json()["id"].as_i64().unwrap()
    }];
    let patches: Vec<(usize, i64, String)> = (0_usize..160)
        .map(|at| {
            let patch = match at % 4 {
                0 => format!(r#"{{"price":"{at}.50"}}"#),
                1 => format!(r#"{{"name":"Number {at}"}}"#),
                2 => r#"{"stock_delta":1}"#.to_owned(),
                _ => format!(r#"{{"stock_delta":-1,"price":"{at}.00"}}"#),
            };
            (at / 4 % 2, ids[at / 8 % 2], patch)
        })
        .collect();
    let answers = join_all(patches.iter().map(|(shop, id, patch)| shops[*shop].patch(*id, patch))).await;
    let accepted = answers.iter().filter(|answer| answer.status == StatusCode::OK).count();
    let renamed = patches.iter().filter(|(_, _, patch)| patch.contains("name")).count();

    let mut rows = 0;
    for id in ids {
        let mut changes = shops[0].history(&format!("/products/{id}/history")).await;
        changes.reverse();
        rows += changes.len();
        for pair in changes.windows(2) {
            assert_eq!(moved(&pair[0])[1], moved(&pair[1])[0], "{pair:?}");
            assert!(pair[0]["version"].as_i64() < pair[1]["version"].as_i64());
        }
        assert_eq!(moved(&changes[0])[0], json!([null, null, null]));
        let now = shops[0].stored(id).await.unwrap();
        let now = json!([now.price.to_string(), now.currency.code(), now.stock.get()]);
        assert_eq!(moved(changes.last().unwrap())[1], now);
    }
    assert!(accepted > 100, "{accepted}");
    assert_eq!(rows, 2 + accepted - renamed);
}

#[sqlx::test(migrations = "../../migrations")]
async fn pages_hold_each_change_once_while_the_product_goes_on_changing(db: PgPool) {
    let shop = Shop::new(db);
    let id = shop.lamp().await;
    for stock in 10..20 {
        shop.patch(id, &format!(r#"{{"stock":{stock}}}"#)).await;
    }
    let path = format!("/products/{id}/history?limit=3");
    let mut next = path.clone();
    let mut seen = Vec::new();
    for stock in 30.. {
        let page = shop.get(&next).await.json();
        seen.extend(numbers(page["items"].as_array().unwrap(), "version"));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        next = format!("{path}&cursor={cursor}");
        assert_eq!(shop.patch(id, &format!(r#"{{"stock":{stock}}}"#)).await.status, StatusCode::OK);
    }
    assert_eq!(seen, (1..=11).rev().collect::<Vec<_>>());

    let whole = shop.get(&format!("/products/{id}/history")).await.json();
    assert_eq!((whole["items"].as_array().unwrap().len(), &whole["next_cursor"]), (14, &Value::Null));
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_deleted_product_keeps_its_history_and_one_that_never_was_has_none(db: PgPool) {
    let shop = Shop::new(db);
    let id = shop.lamp().await;
    shop.delete(id).await;
    assert_eq!(numbers(&shop.history(&format!("/products/{id}/history")).await, "version"), [2, 1]);

    let unknown = shop.get(&format!("/products/{}/history", id + 1)).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert!(unknown.pointers().is_empty());
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_cursor_of_another_history_and_a_limit_out_of_range_are_refused(db: PgPool) {
    let shop = Shop::new(db.clone());
    let id = shop.lamp().await;
    shop.patch(id, r#"{"stock":1}"#).await;
    shop.import_all("{\"sku\":\"A\",\"name\":\"A\",\"price\":\"1\"}\n{\"sku\":\"B\",\"name\":\"B\",\"price\":\"1\"}\n")
        .await;
    let bulk = bulk_ids(&db).await.remove(0);
    let cursor = async |path: String| shop.get(&path).await.json()["next_cursor"].as_str().unwrap().to_owned();
    let of_product = cursor(format!("/products/{id}/history?limit=1")).await;
    let of_bulk = cursor(format!("/bulks/{bulk}/history?limit=1")).await;

    for (path, said) in [
        (format!("/products/{}/history?cursor={of_product}", id + 1), "belongs to another history"),
        (format!("/products/{id}/history?cursor={of_bulk}"), "belongs to another history"),
        (format!("/bulks/{bulk}/history?cursor={of_product}"), "belongs to another history"),
        (format!("/products/{id}/history?cursor={}", &of_product[..9]), "was given out here"),
        (format!("/products/{id}/history?cursor="), "was given out here"),
        (format!("/products/{id}/history?limit=0"), "must be 1 to 100"),
        (format!("/products/{id}/history?limit=101"), "must be 1 to 100"),
        (format!("/bulks/{bulk}/history?limit=x"), "limit"),
        (format!("/bulks/{bulk}/history?page=2"), "unknown field `page`"),
        ("/products/0/history".to_owned(), "must be an integer"),
        ("/bulks/7/history".to_owned(), "path"),
    ] {
        let answer = shop.get(&path).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
        assert!(answer.pointers().is_empty());
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(said), "{path}: {detail}");
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_history_of_a_bulk_has_all_of_its_changes_and_no_others(db: PgPool) {
    let shop = Shop::new(db.clone());
    let line = |sku: &str, price: u32| format!("{{\"sku\":\"{sku}\",\"name\":\"Lamp\",\"price\":\"{price}\"}}\n");
    let first = shop.import_all((0..5).map(|at| line(&format!("S-{at}"), 1)).collect::<String>()).await;
    shop.patch(first[2]["id"].as_i64().unwrap(), r#"{"price":"5"}"#).await;
    // One price stays, one changes twice.
    let second = line("S-3", 3) + &line("S-0", 1) + &line("S-1", 2) + &line("S-3", 4);
    shop.import_all(second).await;
    let bulks = bulk_ids(&db).await;
    assert_eq!(bulks.len(), 2);

    let of_first = shop.history(&format!("/bulks/{}/history", bulks[0])).await;
    assert_eq!(numbers(&of_first, "product_id"), numbers(&first, "id"));
    assert_eq!(numbers(&of_first, "version"), [1; 5]);

    let path = format!("/bulks/{}/history?limit=2", bulks[1]);
    let page = shop.get(&path).await.json();
    let rest = shop.get(&format!("{path}&cursor={}", page["next_cursor"].as_str().unwrap())).await.json();
    assert_eq!(rest["next_cursor"], Value::Null);
    let changes = [page["items"].as_array().unwrap().as_slice(), rest["items"].as_array().unwrap()].concat();
    let (one, three) = (first[1]["id"].as_i64().unwrap(), first[3]["id"].as_i64().unwrap());
    assert_eq!(
        (numbers(&changes, "product_id"), numbers(&changes, "version")),
        (vec![one, three, three], vec![2, 2, 3])
    );
    assert!(changes.iter().all(|change| change["bulk_id"] == *bulks[1]));
    assert_eq!(changes[2]["price"], json!({"from": "3.00", "to": "4.00"}));

    let nothing = shop.get("/bulks/01890a5d-ac96-774b-bcce-b302099a8057/history").await;
    assert_eq!((nothing.status, nothing.json()), (StatusCode::OK, json!({"items": [], "next_cursor": null})));
    assert_eq!(nothing.header("cache-control"), "no-store");
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_database_that_is_away_is_told_as_such(db: PgPool) {
    let shop = Shop::new(db.clone());
    let id = shop.lamp().await;
    db.close().await;
    let answer = shop.get(&format!("/products/{id}/history")).await;
    assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "1"));
    assert_eq!(answer.json()["detail"], "the database is away or busy");
}

/// The events of changed texts are made with the function, before the column is written.
#[sqlx::test(migrations = "../../migrations")]
async fn the_function_of_the_search_words_gives_what_the_column_holds(db: PgPool) {
    let shop = Shop::new(db.clone());
    let texts = [
        json!({"name": "Lamp"}),
        json!({"name": "The and of a", "description": "to be or not to be", "brand": "The The"}),
        json!({"name": "Łódź Straße İstanbul ﬁne 東京 ランプ 🔦", "brand": "Ærø", "category": "möbel/lampen/größe"}),
        json!({"name": "<b>Bold</b> &amp; <script>alert(1)</script>", "description": "<p class=\"x\">Running lamps</p>\n<!-- no -->"}),
        json!({"name": "a/b-c+d@e.f 'quoted' \"double\" \\back :* & | ! (x)", "brand": "O'Neil"}),
        json!({"name": "-000001 1e5 3.14 10:30 2026-01-02 v1.2.3", "category": "a/b/c"}),
        json!({"name": "user@example.com https://example.com/a/b?c=d#e", "description": "/usr/local/bin C:\\temp"}),
        json!({"name": "e\u{301}clair \u{200B}zero\u{AD}width \u{202E}rtl", "description": "tab\tand\r\nnew line"}),
        json!({"name": "x".repeat(500), "description": "running runs ran ".repeat(500).trim_end()}),
    ];
    for (at, text) in texts.into_iter().enumerate() {
        let mut product = text.clone();
        product["sku"] = format!("SKU-{at}/x_y.z").into();
        product["price"] = "1".into();
        let created = shop.post(&product.to_string()).await;
        assert_eq!(created.status, StatusCode::CREATED, "{text}");
        // The same texts as a change of others.
        let other = shop.post(&format!(r#"{{"sku":"OTHER-{at}","name":"Other","price":"1"}}"#)).await;
        let patched = shop.patch(other.json()["id"].as_i64().unwrap(), &text.to_string()).await;
        assert_eq!(patched.status, StatusCode::OK, "{text}");
    }
    let differing: Vec<String> = sqlx::query_scalar(
        "select name
         from products
         where search is distinct from product_search(name, sku, brand, category, description)",
    )
    .fetch_all(&db)
    .await
    .unwrap();
    assert_eq!(differing, Vec::<String>::new());

    // And so do the events: the words after a change are those that are stored.
    let stored: Vec<(i64, String)> =
        sqlx::query_as("select id, array_to_string(tsvector_to_array(search), ' ') from products")
            .fetch_all(&db)
            .await
            .unwrap();
    for event in shop.events().await.iter().filter(|event| event.kind == "updated") {
        let words = &stored.iter().find(|(id, _)| *id == event.change.id.get()).unwrap().1;
        assert_eq!(event.change.words.as_ref().unwrap().after.as_ref(), Some(words));
    }
}
