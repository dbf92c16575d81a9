//! Pages that are kept, and what is heard meanwhile.

use catalog::{Currency, ListFields, Product, ProductId, Version};
use events::{Change, Epoch, ProductEvent, Stamp};
use time::OffsetDateTime;
use uuid::Uuid;

use super::*;
use crate::pages::{Counts, Found, Glance, Listing, PageQuery, Tally};

const KEY: PageKey = [7; 16];

fn lamp(version: i64, price: &str) -> Product {
    let json = format!(
        r#"{{"id":7,"sku":"LAMP-1","name":"Lamp","description":null,"brand":null,"category":null,"image_url":null,
        "price":"{price}","currency":"USD","stock":4,"version":{version},"created_at":"2026-01-02T03:04:05Z",
        "updated_at":"2026-01-02T03:04:05Z"}}"#
    );
    serde_json::from_str(&json).expect("a product")
}

/// The products of up to 5 USD.
fn cheap(found: Vec<Product>) -> Page {
    let query = PageQuery::list(vec![("max_price".to_owned(), "5".to_owned())], Currency::default());
    let found = found.into_iter().map(|product| Found { product, rank: 0.0 }).collect();
    Page::new(
        Epoch(1),
        Arc::new(query.expect("valid")),
        Listing { stage: None, found, is_whole: true, tally: Tally::default(), read_by: Position(5) },
    )
}

/// A tail that has heard of these, each at the position of its version.
fn tail(changes: &[(Product, Product)]) -> Tail<Passed> {
    let mut tail = Tail::new(1 << 20);
    for (before, after) in changes {
        hear(&mut tail, before, after);
    }
    tail
}

fn body(pages: &KeptPages, tail: &Tail<Passed>) -> Option<bytes::Bytes> {
    match pages.get(KEY, tail) {
        Lookup::Stands(page) => Some(page.body.clone()),
        Lookup::Unsettled | Lookup::Moved | Lookup::Missing => None,
    }
}

fn beat(tail: &mut Tail<Passed>, h: u64) {
    tail.push(0, Some(Position(h)), Passed::Heartbeat(Position(h)), 10);
}

fn hear(tail: &mut Tail<Passed>, before: &Product, after: &Product) {
    hear_as(tail, before, after, false);
}

fn hear_outdated(tail: &mut Tail<Passed>, before: &Product, after: &Product) {
    hear_as(tail, before, after, true);
}

fn hear_as(tail: &mut Tail<Passed>, before: &Product, after: &Product, is_outdated: bool) {
    let position = Position(after.version.get().unsigned_abs() * 10);
    let stamp = Stamp { epoch: Epoch(1), position, previous: None };
    let change = Change {
        id: after.id,
        version: after.version,
        before: Some(ListFields::from(before)),
        after: Some(after.clone()),
        words: None,
    };
    let event = ProductEvent { event_id: Uuid::nil(), time: OffsetDateTime::UNIX_EPOCH, stamp, change };
    tail.push(
        0,
        Some(position),
        Passed::Change { glance: Glance::of(&event.change), event: Arc::new(event), is_outdated },
        100,
    );
}

fn admitted(page: Page, read_at: u64, tail: &Tail<Passed>) -> Result<Slot, Rejection> {
    Slot::admitted(page, (Position(read_at), Position(read_at)), tail.end(), tail)
}

#[test]
fn what_a_lagging_database_gives_is_refused_if_it_lacks_what_moves_the_list() {
    let tail = tail(&[(lamp(1, "9.00"), lamp(2, "3.00"))]);
    assert_eq!(admitted(cheap(vec![]), 20, &tail).err(), Some(Rejection::Overtaken));
    assert_eq!(admitted(cheap(vec![lamp(1, "3.00")]), 21, &tail).map(|slot| slot.page.body.len() > 50), Ok(true));
    assert!(admitted(cheap(vec![lamp(2, "3.00")]), 20, &tail).is_ok(), "it shows the change itself");
}

#[test]
fn what_it_lacks_of_bodies_alone_is_put_in() {
    let tail = tail(&[(lamp(1, "3.00"), lamp(2, "4.00"))]);
    let slot = admitted(cheap(vec![lamp(1, "3.00")]), 20, &tail).expect("it stands");
    assert!(String::from_utf8_lossy(&slot.page.body).contains(r#""price":"4.00""#));
    assert_eq!(slot.page.extent.rows[0].version, Version::try_from(2).expect("a version"));
}

#[test]
fn what_comes_in_is_believed_only_after_the_log_has_shown_all_that_the_page_may_hold() {
    let pages = KeptPages::new(1 << 20);
    let mut tail = tail(&[]);
    let page = Slot::admitted(cheap(vec![lamp(1, "3.00")]), (Position(5), Position(99)), tail.end(), &tail);
    pages.keep(KEY, &Arc::new(page.expect("it stands")));
    let first = body(&pages, &tail).expect("it stands");
    hear(&mut tail, &lamp(1, "3.00"), &lamp(2, "4.00"));
    let second = body(&pages, &tail).expect("it stands");
    assert!(first != second && second == body(&pages, &tail).expect("it still stands"));
    hear(&mut tail, &lamp(2, "4.00"), &lamp(3, "6.00"));
    beat(&mut tail, 35);
    let empty = body(&pages, &tail).expect("it is known to be empty");
    // The page may be of a moment after this: then it has gone again, and only the log does not say so yet.
    hear(&mut tail, &lamp(3, "6.00"), &lamp(4, "5.00"));
    assert!(matches!(pages.get(KEY, &tail), Lookup::Moved));
    assert!(matches!(pages.get(KEY, &tail), Lookup::Missing));

    pages.keep(KEY, &Arc::new(admitted(cheap(vec![]), 45, &tail).expect("it stands")));
    beat(&mut tail, 46);
    hear(&mut tail, &lamp(4, "6.00"), &lamp(5, "5.00"));
    beat(&mut tail, 55);
    assert_ne!(body(&pages, &tail).expect("it has come in"), empty);
}

#[test]
fn what_comes_or_goes_after_the_last_heartbeat_is_waited_for_and_bodies_are_not() {
    let pages = KeptPages::new(1 << 20);
    let mut tail = tail(&[]);
    pages.keep(KEY, &Arc::new(admitted(cheap(vec![lamp(1, "3.00")]), 5, &tail).expect("it stands")));
    beat(&mut tail, 15);
    hear(&mut tail, &lamp(1, "3.00"), &lamp(2, "4.00"));
    let changed = body(&pages, &tail).expect("it stands");
    hear(&mut tail, &lamp(2, "4.00"), &lamp(3, "6.00"));
    for _ in 0..2 {
        assert!(matches!(pages.get(KEY, &tail), Lookup::Unsettled));
    }
    beat(&mut tail, 35);
    assert_ne!(body(&pages, &tail).expect("it is known to be empty"), changed);
}

#[test]
fn a_product_does_not_come_in_as_it_was_before_this_node_answered_it() {
    let pages = KeptPages::new(1 << 20);
    let mut tail = tail(&[]);
    pages.keep(KEY, &Arc::new(admitted(cheap(vec![]), 5, &tail).expect("it stands")));
    beat(&mut tail, 15);
    hear_outdated(&mut tail, &lamp(1, "6.00"), &lamp(2, "4.00"));
    beat(&mut tail, 25);
    assert!(matches!(pages.get(KEY, &tail), Lookup::Moved));
}

#[test]
fn an_answer_ahead_of_the_log_ends_a_page_that_shows_the_product_older() {
    let mut tail = tail(&[]);
    let slot = admitted(cheap(vec![lamp(2, "3.00")]), 5, &tail).expect("it stands");
    let answered = |version: i64| {
        let version = Version::try_from(version).expect("a version");
        Passed::Answered(ProductId::try_from(7).expect("positive"), version)
    };
    tail.push(0, None, answered(2), 10);
    assert!(matches!(slot.test(&tail), Tested::Stands));
    tail.push(0, None, answered(3), 10);
    assert!(matches!(slot.test(&tail), Tested::Moved));
}

#[test]
fn pages_stay_within_their_bytes() {
    let pages = KeptPages::new(50_000);
    let tail = tail(&[]);
    for number in 0..100 {
        pages.keep([number; 16], &Arc::new(admitted(cheap(vec![lamp(1, "3.00")]), 5, &tail).expect("it stands")));
    }
    assert!(pages.bytes() <= 50_000 && pages.entries() > 10, "{} {}", pages.bytes(), pages.entries());
    assert!(!KeptPages::new(0).is_used());
}

#[test]
fn what_is_told_of_the_whole_list_is_as_of_the_last_heartbeat_and_its_products_are_newer() {
    let query = [("max_price", "5"), ("facets", "price")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let query = Arc::new(PageQuery::list(query.into(), Currency::default()).expect("valid"));
    let price = Some(Counts { of: [(100, 1)].into(), is_whole: true });
    let found = vec![Found { product: lamp(1, "1.50"), rank: 0.0 }];
    let listing = Listing {
        stage: None,
        found,
        is_whole: true,
        tally: Tally { price, ..Tally::default() },
        read_by: Position(5),
    };
    let (pages, mut tail) = (KeptPages::new(1 << 20), tail(&[]));
    beat(&mut tail, 9);
    let page = Page::new(Epoch(1), query, listing);
    let slot = Slot::admitted(page, (Position(5), Position(5)), tail.end(), &tail).expect("it stands");
    pages.keep(KEY, &Arc::new(slot));
    let shows = |tail: &Tail<Passed>, price: &str, band: &str| {
        let body = String::from_utf8(body(&pages, tail).expect("it stands").to_vec()).expect("text");
        assert!(body.contains(&format!(r#""price":"{price}""#)), "{body}");
        assert!(body.contains(&format!(r#"[{{"min_price":"{band}""#)), "{body}");
    };

    hear(&mut tail, &lamp(1, "1.50"), &lamp(2, "3.00"));
    shows(&tail, "3.00", "1.00");
    hear(&mut tail, &lamp(2, "3.00"), &lamp(3, "4.00"));
    shows(&tail, "4.00", "1.00");
    beat(&mut tail, 35);
    shows(&tail, "4.00", "2.00");
    shows(&tail, "4.00", "2.00");
    hear(&mut tail, &lamp(3, "4.00"), &lamp(4, "6.00"));
    assert!(
        matches!(pages.get(KEY, &tail), Lookup::Unsettled),
        "whether it stands there is followed from beat to beat"
    );
}
