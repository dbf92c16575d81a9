//! What words find, and that no words make the database refuse them.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sqlx::PgConnection;
use testkit::{Databases, databases};

use super::{Stocked, ids, page, skus, walk};

async fn shop() -> (Databases, PgConnection) {
    let databases = databases().await;
    let mut connection = databases.primary().await;
    let products = [
        Stocked {
            sku: "DEMO-000001",
            name: "Desk Lamp",
            brand: Some("Lumo"),
            category: Some("lighting/lamps/desk"),
            description: Some("Bright light for reading. The cable is 1.5 m long."),
            price: 1_999,
            ..Stocked::default()
        },
        Stocked {
            sku: "DEMO-000002",
            name: "Ink cartridges HP 80/81 <cyan>",
            brand: Some("HP"),
            description: Some("For wi-fi printers"),
            price: 500,
            ..Stocked::default()
        },
        Stocked { sku: "1399", name: "Printer", brand: Some("HP"), stock: 0, ..Stocked::default() },
        Stocked { sku: "X.1/b_c-d", name: "Cable for printer 1399", price: 300, ..Stocked::default() },
        Stocked { sku: "EUR-1", name: "Lamellen", brand: Some("Müller"), currency: "EUR", ..Stocked::default() },
    ];
    for product in products {
        product.insert(&mut connection).await;
    }
    (databases, connection)
}

async fn found(connection: &mut PgConnection, words: &str) -> Vec<String> {
    let words: String = form_urlencoded::byte_serialize(words.as_bytes()).collect();
    let mut found: Vec<String> =
        page(connection, &format!("q={words}")).await.items.iter().map(|product| product.sku.to_string()).collect();
    found.sort();
    found
}

#[tokio::test]
async fn words_find_products_by_sku_name_brand_category_and_description() {
    let (_databases, mut connection) = shop().await;
    for (words, skus) in [
        ("DEMO-000001", vec!["DEMO-000001"]),
        ("demo 000001", vec!["DEMO-000001", "DEMO-000002"]),
        ("X.1/b_c-d", vec!["X.1/b_c-d"]),
        ("demo-0000", vec!["DEMO-000001", "DEMO-000002"]),
        ("Lumo", vec!["DEMO-000001"]),
        ("müller", vec!["EUR-1"]),
        ("HP", vec!["1399", "DEMO-000002"]),
        ("lamps", vec!["DEMO-000001"]),
        ("lam", vec!["DEMO-000001", "EUR-1"]),
        ("lamp desk", vec!["DEMO-000001"]),
        ("the lamp and a desk", vec!["DEMO-000001"]),
        ("cartridge hp", vec!["1399", "DEMO-000002"]),
        ("hp cartr", vec!["1399", "DEMO-000002"]),
        ("cartr hp", vec!["1399", "DEMO-000002"]),
        ("81", vec!["DEMO-000002"]),
        ("cyan", vec!["DEMO-000002"]),
        ("wi-fi printer", vec!["1399", "DEMO-000002", "X.1/b_c-d"]),
        ("1.5", vec!["DEMO-000001"]),
        ("reads", vec!["DEMO-000001"]),
        ("nothing", vec![]),
    ] {
        assert_eq!(found(&mut connection, words).await, skus, "{words}");
    }
}

#[tokio::test]
async fn the_product_whose_sku_was_typed_comes_first() {
    let (_databases, mut connection) = shop().await;
    assert_eq!(skus(&page(&mut connection, "q=1399").await.items), ["1399", "X.1/b_c-d"]);
}

#[tokio::test]
async fn who_has_more_of_the_words_comes_first_until_enough_have_all() {
    let (_databases, mut connection) = shop().await;
    assert_eq!(skus(&page(&mut connection, "q=blue+printer+cable").await.items)[0], "X.1/b_c-d");
    for at in 0..10 {
        Stocked { sku: &format!("B-{at}"), name: "Cable, blue", ..Stocked::default() }.insert(&mut connection).await;
    }
    assert_eq!(page(&mut connection, "q=blue+cable&limit=100").await.items.len(), 10, "and none of another colour");
    let in_stock = "q=blue+cable&limit=100&max_price=0.99";
    assert_eq!(page(&mut connection, in_stock).await.items.len(), 0, "as few as the filters let through");
    Stocked { sku: "B-10", name: "Blue cable", price: 150, ..Stocked::default() }.insert(&mut connection).await;
    let some = "q=blue+cable&limit=100&min_price=1.5";
    assert_eq!(page(&mut connection, some).await.items.len(), 1, "that there are enough is no matter of filters");
    assert_eq!(page(&mut connection, "q=blue+cable&limit=100&min_price=3").await.items.len(), 2, "rather than nothing");
}

#[tokio::test]
async fn a_whole_word_counts_for_more_than_its_beginning_and_a_brand_for_more_than_its_mention() {
    let (_databases, mut connection) = shop().await;
    let mention = Stocked { sku: "C-1", name: "HP HP HP", description: Some("For HP"), ..Stocked::default() };
    mention.insert(&mut connection).await;
    Stocked { sku: "C-2", name: "Lam", ..Stocked::default() }.insert(&mut connection).await;
    assert_eq!(skus(&page(&mut connection, "q=lam&limit=1").await.items), ["C-2"]);
    assert_eq!(skus(&page(&mut connection, "q=hp").await.items).last(), Some(&"C-1"));
}

#[tokio::test]
async fn a_word_that_no_product_has_stands_for_its_neighbour() {
    let (_databases, mut connection) = shop().await;
    for (words, skus) in [
        ("printre", vec!["DEMO-000002", "1399", "X.1/b_c-d"]),
        ("desk lmap", vec!["DEMO-000001"]),
        ("mueller", vec![]),
        ("mülller", vec!["EUR-1"]),
        ("1398", vec![]),
        ("lum", vec!["DEMO-000001"]),
    ] {
        let mut skus = skus;
        skus.sort_unstable();
        assert_eq!(found(&mut connection, words).await, skus, "{words}");
    }
}

#[tokio::test]
async fn filters_and_other_orders_hold_in_a_search_too() {
    let (_databases, mut connection) = shop().await;
    assert_eq!(skus(&page(&mut connection, "q=hp&in_stock=true").await.items), ["DEMO-000002"]);
    assert_eq!(skus(&page(&mut connection, "q=demo&sort=price").await.items), ["DEMO-000002", "DEMO-000001"]);
    assert_eq!(skus(&page(&mut connection, "q=demo&sort=-price").await.items), ["DEMO-000001", "DEMO-000002"]);
    assert_eq!(skus(&page(&mut connection, "q=demo&max_price=5").await.items), ["DEMO-000002"]);
    assert_eq!(skus(&page(&mut connection, "q=lam&currency=EUR").await.items), ["EUR-1"]);
}

#[tokio::test]
async fn a_search_by_relevance_can_be_paged_through_ties_and_all() {
    let databases = databases().await;
    let mut connection = databases.primary().await;
    for at in 0..60 {
        let name = ["Lamp", "Lamp lamp", "Lamp for the desk"][at % 3];
        let description = (at % 4 == 0).then_some("A lamp");
        Stocked { sku: &format!("L-{at}"), name, description, ..Stocked::default() }.insert(&mut connection).await;
    }
    let whole = page(&mut connection, "q=lamp&limit=100").await.items;
    assert_eq!(whole.len(), 60);
    for query in ["q=lamp&limit=1", "q=lamp&limit=7", "q=lamp&limit=59"] {
        assert_eq!(ids(&walk(&mut connection, query).await), ids(&whole), "{query}");
    }
}

#[tokio::test]
async fn what_means_nothing_finds_nothing() {
    let (_databases, mut connection) = shop().await;
    for words in ["the", "the and of", "!?", "-", "'", "\\", "<>", "&", "😀", ":*", "()", "a"] {
        assert_eq!(found(&mut connection, words).await, Vec::<String>::new(), "{words}");
    }
}

#[tokio::test]
async fn hostile_words_are_only_words() {
    let (_databases, mut connection) = shop().await;
    for words in [
        "lamp & | ! <-> :* ( ) ' \" \\ \\' '' '; drop table products; --",
        "!lamp",
        "lamp:ABCD*",
        "'lamp':*",
        "\\'lamp",
        "lamp\\",
        "$1 $2 %s {}",
        "l😀mp 👩‍👩‍👧 مصباح 灯",
        &"x".repeat(200),
        &"x ".repeat(100),
        &"'".repeat(200),
        &"\\".repeat(199),
        &"a-".repeat(100),
    ] {
        found(&mut connection, words).await;
    }
    assert_eq!(found(&mut connection, "'lamp':*").await, ["DEMO-000001"]);
    let mut runner = TestRunner::deterministic();
    let any_words =
        "[\\PC]{1,40}|[a-z '\\\\:*&|!()<>-]{1,40}".prop_filter("not blank", |words| !words.trim().is_empty());
    for _ in 0..300 {
        let words = any_words.new_tree(&mut runner).expect("words").current();
        found(&mut connection, &words).await;
    }
}
