//! The query string, from what clients send to what is asked for, and back into links.

use proptest::prelude::*;

use super::*;

fn pairs(query: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

fn list(query: &str) -> Result<PageQuery, QueryFault> {
    PageQuery::list(pairs(query), Currency::default())
}

fn search(query: &str) -> Result<PageQuery, QueryFault> {
    PageQuery::search(pairs(query), Currency::default())
}

fn detail(fault: Result<PageQuery, QueryFault>) -> String {
    match fault.expect_err("a fault") {
        QueryFault::Malformed(detail) => detail,
        QueryFault::Invalid(faults) => {
            faults.into_iter().map(|fault| format!("{} {}", fault.pointer, fault.detail)).collect::<Vec<_>>().join("; ")
        }
    }
}

/// Queries that are valid, with values that need escaping.
fn valid_query() -> impl Strategy<Value = (bool, Vec<(String, String)>)> {
    let text = || "[^\\p{Cc}\\s\\u{FEFF}]{1,40}";
    let amount = || (0_u32.., 0_u32..100).prop_map(|(whole, cents)| format!("{whole}.{cents:02}"));
    let optional = (
        proptest::option::of(text().prop_map(|text| ("brand", text))),
        proptest::option::of(
            "[^\\p{Cc}\\s\\u{FEFF}/]{1,9}(/[^\\p{Cc}\\s\\u{FEFF}/]{1,9}){0,2}".prop_map(|text| ("category", text)),
        ),
        proptest::option::of(any::<bool>().prop_map(|is| ("in_stock", is.to_string()))),
        proptest::option::of(amount().prop_map(|amount| ("min_price", amount))),
        proptest::option::of(amount().prop_map(|amount| ("max_price", amount))),
        proptest::option::of(Just(("currency", "EUR".to_owned()))),
        proptest::option::of((1..=LIMIT_MAX).prop_map(|limit| ("limit", limit.to_string()))),
        proptest::option::of((0..Sort::LISTED.len()).prop_map(|at| ("sort", Sort::LISTED[at].word().to_owned()))),
        proptest::option::of(text().prop_map(|text| ("q", text))),
    );
    optional.prop_map(|(a, b, c, d, e, f, g, h, words)| {
        let is_search = words.is_some();
        let some = [a, b, c, d, e, f, g, h, words].into_iter().flatten();
        (is_search, some.map(|(name, value)| (name.to_owned(), value)).collect())
    })
}

proptest! {
    #[test]
    fn the_next_link_asks_for_the_same_list_after_the_last_row((is_search, pairs) in valid_query(), id in 1_i64..) {
        let parse = |pairs| {
            if is_search { PageQuery::search(pairs, Currency::default()) } else { PageQuery::list(pairs, Currency::default()) }
        };
        let query = parse(pairs).expect("valid");
        let last = LastSeen { key: some_key(query.sort), id: id.try_into().expect("positive") };
        let link = query.link("next", ("cursor", &query.cursor_after(&last)), None);
        prop_assert!(link.is_ascii() && link.ends_with(">; rel=\"next\""), "{}", link);
        let address = &link[..link.rfind('>').expect("a target")];
        let followed = parse(self::pairs(address.split_once('?').expect("a query").1)).expect("valid");
        prop_assert_eq!(followed, PageQuery { begin: Begin::After(last), ..query });
    }

    #[test]
    fn any_query_string_is_read_or_refused(query in "((q|brand|sort|limit|page|cursor|min_price|x)=\\PC{0,12}&){0,4}") {
        drop((list(&query), search(&query)));
    }
}

fn some_key(sort: Sort) -> cursor::SortKey {
    use cursor::SortKey;
    match sort {
        Sort::Relevance => SortKey::Rank(0.25),
        Sort::Id => SortKey::Id,
        Sort::Name => SortKey::Name("Lamp".parse().expect("a name")),
        Sort::Price | Sort::PriceDescending => SortKey::Price(1_999),
        Sort::NewestFirst => SortKey::CreatedAt(time::OffsetDateTime::UNIX_EPOCH),
    }
}

#[test]
fn a_list_is_by_id_and_a_search_by_relevance_unless_another_order_is_asked_for() {
    let query = list("").expect("valid");
    assert_eq!((query.sort, query.limit, query.begin), (Sort::Id, LIMIT_DEFAULT, Begin::AtPage(1)));
    assert_eq!(search("q=lamp").expect("valid").sort, Sort::Relevance);
    assert_eq!(search("q=lamp&sort=-price").expect("valid").sort, Sort::PriceDescending);
    assert_eq!(
        detail(list("sort=relevance")),
        "#/sort query parameter sort must be one of id, name, price, -price, -created_at"
    );
}

#[test]
fn the_default_currency_holds_only_where_prices_are_compared() {
    let currency = |query| list(query).expect("valid").filters.currency.map(|currency| currency.to_string());
    assert_eq!(currency("brand=HP"), None);
    assert_eq!(currency("currency=EUR"), Some("EUR".to_owned()));
    for query in ["sort=price", "sort=-price", "min_price=1", "max_price=1"] {
        assert_eq!(currency(query), Some("USD".to_owned()), "{query}");
    }
}

#[test]
fn every_invalid_value_is_named_at_once_with_what_is_allowed() {
    assert_eq!(
        detail(list("min_price=1.999&max_price=x&in_stock=1&limit=101&brand=%00")),
        "#/brand query parameter brand must not contain control characters; \
         #/in_stock query parameter in_stock must be true or false; \
         #/min_price query parameter min_price must have at most 2 decimals in USD; \
         #/max_price query parameter max_price must be a decimal amount that is not negative, such as \"19.99\"; \
         #/limit query parameter limit must be an integer between 1 and 100"
    );
    assert!(list("min_price=1.999&currency=KWD").is_ok());
    assert!(detail(list("min_price=1.999&currency=usd")).starts_with("#/currency"), "and nothing about decimals");
    for limit in ["", "0", "-1", "+5", "05", "1.0", "99999999999999999999"] {
        assert!(detail(list(&format!("limit={limit}"))).starts_with("#/limit"), "{limit}");
    }
    for words in ["", "q=", "q=+%20", "q=a%00b"] {
        assert!(detail(search(words)).starts_with("#/q query parameter q "), "{words}");
    }
    assert!(detail(search(&format!("q={}", "x".repeat(201)))).ends_with("has 201"));
}

#[test]
fn unknown_repeated_and_contradicting_parameters_are_malformed() {
    assert!(detail(list("colour=red")).starts_with("there is no query parameter \"colour\" here; allowed are brand, "));
    assert!(detail(list("q=lamp")).starts_with("there is no query parameter \"q\" here"));
    assert!(detail(list(&format!("{}=1", "x".repeat(9_000)))).len() < 300);
    assert_eq!(detail(list("brand=A&brand=B")), "query parameter brand must stand only once");
    let cursor = list("")
        .expect("valid")
        .cursor_after(&LastSeen { key: cursor::SortKey::Id, id: 1.try_into().expect("positive") });
    assert!(list(&format!("cursor={cursor}&limit=7")).is_ok(), "the limit may change");
    assert_eq!(detail(list(&format!("cursor={cursor}&page=2"))), "query parameters page and cursor exclude each other");
    for other in ["sort=name", "brand=A", "currency=USD", "in_stock=true"] {
        assert!(detail(list(&format!("cursor={cursor}&{other}"))).contains("belongs to another query"), "{other}");
    }
    assert!(detail(search(&format!("q=a&sort=id&cursor={cursor}"))).contains("belongs to another query"));
    assert!(detail(list("cursor=")).starts_with("query parameter cursor is not one that was given out here"));
}

#[test]
fn what_binds_a_cursor_to_its_list_is_frozen() {
    let last = LastSeen { key: cursor::SortKey::Id, id: 1.try_into().expect("positive") };
    let query =
        search("q=+hp++ink&brand=HP&category=a/b&in_stock=true&min_price=5&max_price=9&sort=id").expect("valid");
    assert_eq!(query.cursor_after(&last), "AWEtBPSFEjxGAAAAAAAAAAE");
}

#[test]
fn pages_are_counted_to_a_stated_depth_only() {
    assert_eq!(list("page=500").expect("valid").begin, Begin::AtPage(500));
    assert!(list("page=100&limit=100").is_ok());
    assert_eq!(
        detail(list("page=101&limit=100")),
        "query parameter page reaches the first 10000 products, so with a limit of 100 it must be at most 100; \
         use cursor to go further"
    );
}

#[test]
fn a_floor_above_the_ceiling_contradicts_itself() {
    let contradicts = |query| list(query).expect("valid").filters.are_contradictory();
    assert!(contradicts("min_price=2&max_price=1.99"));
    assert!(!contradicts("min_price=2&max_price=2.00"));
    assert!(!contradicts("min_price=2"));
}
