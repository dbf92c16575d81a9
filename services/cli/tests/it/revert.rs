//! `freshet revert` against a stand-in that keeps products and their history as the services do.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::shop::{BULK, Shop};
use crate::{run, text};

/// An import made all of them cost 2.00; before, the first ten cost 1.00 and the last one did not exist.
fn imported() -> Shop {
    let shop = Shop::default();
    for id in 1..=10 {
        shop.create(id, "1.00", 5, None);
    }
    for id in 1..=10 {
        shop.change(id, &json!({"price": "2.00", "stock": 9}), Some(BULK));
    }
    shop.create(11, "2.00", 9, Some(BULK));
    shop
}

fn json_of(output: &std::process::Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn a_bulk_is_undone_except_where_others_have_changed_the_price_since() {
    let shop = imported();
    shop.change(2, &json!({"price": "3.00"}), None);
    shop.change(3, &json!({"stock": 1}), None);
    shop.change(4, &json!({"name": "Renamed"}), None);
    shop.change(5, &json!({"price": "1.00"}), None);
    shop.delete(6);
    let url = shop.url().await;

    let output = run(&["revert", "--bulk", BULK], &url).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    assert!(table.ends_with("7 put back, 1 already so, 3 skipped\n"), "{table}");
    let line = |id: i64| table.lines().find(|line| line.trim_start().starts_with(&format!("{id} "))).unwrap();
    assert!(line(1).contains("2.00 USD, stock 9") && line(1).contains("1.00 USD, stock 9"), "{table}");
    assert!(line(2).contains("skipped: it was changed again at version 3 by ann"), "{table}");
    assert!(line(6).contains("there is no such product"), "{table}");
    assert!(line(11).contains("created by this bulk"), "{table}");
    assert_eq!([1, 2, 3, 5, 11].map(|id| shop.offer(id).0), ["1.00", "3.00", "1.00", "1.00", "2.00"]);
    // What was sold or delivered since stays so.
    assert_eq!([1, 3].map(|id| shop.offer(id).1), [9, 1]);
    let patches = shop.patches();
    let (_, if_match, body) = patches.iter().find(|(id, ..)| *id == 4).unwrap();
    let expected = json!({"price": "1.00", "currency": "USD", "reason": format!("revert of bulk {BULK}")});
    assert_eq!((if_match.as_str(), body), ("\"3\"", &expected));

    // Again there is nothing more to do, but what was skipped is skipped; by force it is put back too.
    let again = json_of(&run(&["revert", "--bulk", BULK, "--json"], &url).await);
    assert_eq!((&again["put_back"], &again["unchanged"], &again["skipped"]), (&json!(0), &json!(8), &json!(3)));
    let forced = json_of(&run(&["revert", "--bulk", BULK, "--json", "--force"], &url).await);
    assert_eq!((&forced["put_back"], &forced["skipped"]), (&json!(1), &json!(2)));
    assert_eq!(forced["products"][0]["to"], json!({"price": "1.00", "currency": "USD", "stock": 9}));
    assert_eq!(shop.offer(2).0, "1.00");
}

#[tokio::test]
async fn a_dry_run_shows_what_would_be_put_back_and_changes_nothing() {
    let shop = imported();
    let url = shop.url().await;
    let output = run(&["revert", "--bulk", BULK, "--dry-run", "--stock"], &url).await;
    let table = text(&output.stdout);
    assert!(table.contains("would be put back") && table.contains("1.00 USD, stock 5"), "{table}");
    assert!(table.ends_with("10 to be put back, 0 already so, 1 skipped\n"), "{table}");
    assert!(shop.patches().is_empty());
}

#[tokio::test]
async fn a_large_bulk_is_undone_page_by_page() {
    let shop = Shop::default();
    for id in 1..=333 {
        shop.create(id, "1.00", 5, None);
        shop.change(id, &json!({"price": "2.00"}), Some(BULK));
        shop.change(id, &json!({"price": "3.00"}), Some(BULK));
    }
    let output = run(&["revert", "--bulk", BULK, "--json"], &shop.url().await).await;
    assert_eq!((output.status.code(), &json_of(&output)["put_back"]), (Some(0), &json!(333)));
    assert!((1..=333).all(|id| shop.offer(id).0 == "1.00"));
    assert_eq!(shop.patches().len(), 333);
}

#[tokio::test]
async fn whoever_is_faster_is_not_overwritten() {
    let shop = imported();
    shop.race(1, json!({"name": "Renamed"}));
    shop.race(2, json!({"price": "7.00"}));
    let output = run(&["revert", "--bulk", BULK, "--json"], &shop.url().await).await;
    let report = json_of(&output);
    assert_eq!((&report["put_back"], &report["skipped"]), (&json!(9), &json!(2)));
    assert_eq!(report["skipped_products"][0]["reason"], "it was changed again at version 3 by ann");
    assert_eq!([1, 2].map(|id| shop.offer(id).0), ["1.00", "7.00"]);
    let versions: Vec<String> =
        shop.patches().into_iter().filter(|(id, ..)| *id == 1).map(|(_, if_match, _)| if_match).collect();
    assert_eq!(versions, ["\"2\"", "\"3\""]);
}

#[tokio::test]
async fn a_read_node_that_does_not_know_of_the_bulk_yet_misleads_nobody() {
    let shop = Shop::default();
    for id in 1..=2 {
        shop.create(id, "1.00", 5, None);
        shop.show_as_now(id);
        shop.change(id, &json!({"price": "2.00"}), Some(BULK));
    }
    shop.change(2, &json!({"name": "Renamed"}), None);
    let output = run(&["revert", "--bulk", BULK, "--json"], &shop.url().await).await;
    assert_eq!((output.status.code(), &json_of(&output)["put_back"]), (Some(0), &json!(2)));
    assert_eq!([1, 2].map(|id| shop.offer(id).0), ["1.00", "1.00"]);
}

#[tokio::test]
async fn a_product_is_taken_back_to_a_version_or_before_a_time() {
    let shop = Shop::default();
    shop.create(7, "1.00", 5, None);
    shop.change(7, &json!({"price": "2.00"}), None);
    shop.change(7, &json!({"stock": 3}), None);
    shop.change(7, &json!({"price": "3.00"}), None);
    let url = shop.url().await;

    let output = run(&["revert", "--product", "7", "--to-version", "3"], &url).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(
        (shop.offer(7), shop.patches()[0].2["reason"].clone()),
        (("2.00".to_owned(), 3), json!("revert of version 4"))
    );

    let before = ["revert", "--product", "7", "--before", "2026-01-02T11:00:00Z", "--stock"];
    assert_eq!(run(&before, &url).await.status.code(), Some(0));
    assert_eq!(shop.offer(7), ("1.00".to_owned(), 5));
    let (_, if_match, body) = shop.patches()[1].clone();
    let reason = "revert of what came since 2026-01-02T11:00:00Z";
    assert_eq!(
        (if_match.as_str(), body),
        ("\"5\"", json!({"price": "1.00", "currency": "USD", "stock": 5, "reason": reason}))
    );

    let again = run(&before, &url).await;
    assert_eq!(
        (again.status.code(), text(&again.stdout)),
        (Some(0), "0 put back, 1 already so, 0 skipped\n".to_owned())
    );
    let too_far = run(&["revert", "--product", "7", "--to-version", "99"], &url).await;
    assert_eq!(too_far.status.code(), Some(1));
    assert!(text(&too_far.stdout).contains("it is at version 6"), "{}", text(&too_far.stdout));
}

#[tokio::test]
async fn a_refusal_is_one_products_and_a_failure_ends_the_revert() {
    let shop = imported();
    shop.refuse(3, StatusCode::UNPROCESSABLE_ENTITY);
    let url = shop.url().await;
    let output = run(&["revert", "--bulk", BULK, "--json"], &url).await;
    let report = json_of(&output);
    assert_eq!((output.status.code(), &report["put_back"], &report["skipped"]), (Some(1), &json!(9), &json!(2)));
    assert!(report["skipped_products"][0]["reason"].as_str().unwrap().contains("not now"), "{report}");

    for status in [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS] {
        let shop = imported();
        shop.refuse(3, status);
        let failed = run(&["revert", "--bulk", BULK], &shop.url().await).await;
        assert_eq!(failed.status.code(), Some(2));
        let said = text(&failed.stderr);
        assert!(said.contains("incomplete: product 3") && said.contains("not now"), "{said}");
        // What was under way is told too.
        let put_back = (1..=10).filter(|id| shop.offer(*id).0 == "1.00").count();
        assert!((2..10).contains(&put_back), "{put_back}");
        let told: usize = text(&failed.stdout)
            .lines()
            .last()
            .unwrap()
            .split(", ")
            .take(2)
            .map(|part| part.split(' ').next().unwrap().parse::<usize>().unwrap())
            .sum();
        assert_eq!(told, put_back);
    }
}

#[tokio::test]
async fn a_bulk_of_which_nothing_is_known_is_a_refusal() {
    let output = run(&["revert", "--bulk", BULK], &Shop::default().url().await).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no price or stock is known"), "{}", text(&output.stderr));
}
