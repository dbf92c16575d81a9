//! `freshet history` against a stand-in.

use serde_json::{Value, json};

use crate::shop::{BULK, Shop};
use crate::{run, text};

#[tokio::test]
async fn the_changes_of_a_product_are_printed_the_newest_first_up_to_a_limit() {
    let shop = Shop::default();
    shop.create(7, "19.99", 0, None);
    shop.change(7, &json!({"price": "17.99", "reason": "spring sale"}), Some(BULK));
    for stock in 1..=150 {
        shop.change(7, &json!({"stock": stock}), None);
    }
    let url = shop.url().await;

    let table = text(&run(&["history", "7", "--limit", "150"], &url).await.stdout);
    assert_eq!(table.lines().count(), 151);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[1].contains("149 → 150") && lines[1].contains("17.99"), "{}", lines[1]);
    let whole = text(&run(&["history", "7", "-n", "1000"], &url).await.stdout);
    let sale = whole.lines().nth(151).unwrap();
    assert!(["19.99 → 17.99", "ann", "spring sale", BULK].iter().all(|part| sale.contains(part)), "{sale}");
    assert!(whole.lines().last().unwrap().contains("none → 19.99"), "{whole}");

    let json = text(&run(&["history", "7", "--json"], &url).await.stdout);
    let changes: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((changes.len(), &changes[0]["version"]), (20, &json!(152)));
    assert_eq!(changes[0]["stock"], json!({"from": 149, "to": 150}));
}

#[tokio::test]
async fn a_product_that_never_was_is_a_refusal() {
    let output = run(&["history", "8"], &Shop::default().url().await).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("there never was such a product"), "{}", text(&output.stderr));
}
