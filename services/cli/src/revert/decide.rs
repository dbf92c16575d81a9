//! What is put back: pure decisions from histories and products as they are.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::history::Change;

/// What a product is sold at, and how many there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Offer {
    pub(super) price: String,
    pub(super) currency: String,
    pub(super) stock: i64,
}

/// A product as it is.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Current {
    pub(super) version: i64,
    #[serde(flatten)]
    pub(super) offer: Offer,
}

/// The moment that a product is taken back to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Moment {
    Version(i64),
    Before(OffsetDateTime),
}

/// What an import or a bulk patch did to one product.
#[derive(Clone, Debug)]
pub(super) struct BulkChange {
    pub(super) bulk_id: Uuid,
    pub(super) product_id: i64,
    /// The first version that it made.
    pub(super) first: i64,
    before: Option<Offer>,
    after: Option<Offer>,
}

/// What may be done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    pub(super) with_stock: bool,
    pub(super) is_forced: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    PutBack(Offer),
    /// It is already as it was.
    Unchanged,
    Skip(String),
}

impl Moment {
    /// Whether a change had been made by then.
    pub(super) fn includes(self, change: &Change) -> bool {
        match self {
            Self::Version(version) => change.version <= version,
            // What is no time is of no use to compare with; the server writes none.
            Self::Before(moment) => OffsetDateTime::parse(&change.changed_at, &Rfc3339).is_ok_and(|at| at < moment),
        }
    }
}

/// Of a product that is taken back; `changes` are its last ones, the newest first, up to one that the moment includes.
pub(super) fn of_product(moment: Moment, current: &Current, changes: &[Change], rules: Rules) -> Verdict {
    if let Moment::Version(version) = moment
        && version > current.version
    {
        return Verdict::Skip(format!("it is at version {}", current.version));
    }
    let wanted = match changes.iter().find(|change| moment.includes(change)) {
        Some(change) => Offer::after(change),
        None => match changes.last() {
            Some(oldest) if Offer::before(oldest).is_none() => {
                return Verdict::Skip(format!("it was created later, at {}", oldest.changed_at));
            }
            // What was there right before the first change that is kept.
            Some(oldest) if matches!(moment, Moment::Version(version) if version == oldest.version - 1) => {
                Offer::before(oldest)
            }
            Some(oldest) => {
                let (version, at) = (oldest.version, &oldest.changed_at);
                return Verdict::Skip(format!(
                    "its history reaches back to version {version}, made at {at}: the furthest is --to-version {}",
                    version - 1
                ));
            }
            None => return Verdict::Skip("nothing is kept of its history".to_owned()),
        },
    };
    match wanted {
        Some(offer) => put_back(offer, &current.offer, rules),
        None => Verdict::Skip("it was deleted then".to_owned()),
    }
}

/// Of a product that a bulk has changed; `since` are its changes from the first of the bulk on.
pub(super) fn of_bulk(bulk: &BulkChange, current: &Current, since: &[Change], rules: Rules) -> Verdict {
    let (Some(before), Some(after)) = (&bulk.before, &bulk.after) else {
        return Verdict::Skip("it was created by this bulk: there is no earlier price".to_owned());
    };
    if before.is_as(after, rules) {
        return Verdict::Unchanged;
    }
    let verdict = put_back(before.clone(), &current.offer, rules);
    let bulk_id = bulk.bulk_id.to_string();
    let mut others = since.iter().filter(|change| change.bulk_id.as_deref() != Some(&bulk_id));
    match others.find(|change| !rules.is_forced && has_changed(change, rules)) {
        Some(other) if verdict != Verdict::Unchanged => {
            Verdict::Skip(format!("it was changed again at version {} by {}", other.version, other.actor))
        }
        _ => verdict,
    }
}

fn has_changed(change: &Change, rules: Rules) -> bool {
    match (Offer::before(change), Offer::after(change)) {
        (Some(before), Some(after)) => !before.is_as(&after, rules),
        _ => true,
    }
}

fn put_back(wanted: Offer, current: &Offer, rules: Rules) -> Verdict {
    if current.is_as(&wanted, rules) {
        return Verdict::Unchanged;
    }
    let stock = if rules.with_stock { wanted.stock } else { current.stock };
    Verdict::PutBack(Offer { stock, ..wanted })
}

impl Offer {
    fn before(change: &Change) -> Option<Self> {
        Some(Self {
            price: change.price.from.clone()?,
            currency: change.currency.from.clone()?,
            stock: change.stock.from?,
        })
    }

    fn after(change: &Change) -> Option<Self> {
        Some(Self { price: change.price.to.clone()?, currency: change.currency.to.clone()?, stock: change.stock.to? })
    }

    /// In what is put back.
    fn is_as(&self, other: &Self, rules: Rules) -> bool {
        let is_same_price = (&self.price, &self.currency) == (&other.price, &other.currency);
        is_same_price && (self.stock == other.stock || !rules.with_stock)
    }
}

impl Current {
    /// The product as its last known change has left it, if a read node does not know of that yet; nothing if that deleted it.
    pub(super) fn or_as_left_by(self, last: Option<&Change>) -> Option<Self> {
        match last.filter(|change| change.version > self.version) {
            Some(change) => Some(Self { version: change.version, offer: Offer::after(change)? }),
            None => Some(self),
        }
    }
}

impl BulkChange {
    pub(super) fn new(bulk_id: Uuid, change: &Change) -> Self {
        Self {
            bulk_id,
            product_id: change.product_id,
            first: change.version,
            before: Offer::before(change),
            after: Offer::after(change),
        }
    }

    /// A later change of the same product by the same bulk.
    pub(super) fn add(&mut self, change: &Change) {
        self.after = Offer::after(change);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    const BULK: Uuid = Uuid::from_u128(7);
    const WITH_STOCK: Rules = Rules { with_stock: true, is_forced: false };

    fn change(version: i64, from: Option<(&str, i64)>, to: Option<(&str, i64)>) -> Change {
        let side = |pick: fn((&str, i64)) -> serde_json::Value| json!({"from": from.map(pick), "to": to.map(pick)});
        let change = json!({"product_id": 1, "version": version, "changed_at": format!("2026-01-{version:02}T00:00:00Z"),
            "actor": "ann", "reason": null, "bulk_id": null, "price": side(|(price, _)| json!(price)),
            "currency": side(|_| json!("USD")), "stock": side(|(_, stock)| json!(stock))});
        serde_json::from_value(change).expect("a change")
    }

    fn by_bulk(change: Change) -> Change {
        Change { bulk_id: Some(BULK.to_string()), ..change }
    }

    fn offer(price: &str, stock: i64) -> Offer {
        Offer { price: price.to_owned(), currency: "USD".to_owned(), stock }
    }

    fn current(version: i64, price: &str, stock: i64) -> Current {
        Current { version, offer: offer(price, stock) }
    }

    /// Created at 1, price at 3, stock at 5, price at 6; names in between.
    fn history() -> [Change; 4] {
        [
            change(6, Some(("2", 9)), Some(("3", 9))),
            change(5, Some(("2", 4)), Some(("2", 9))),
            change(3, Some(("1", 4)), Some(("2", 4))),
            change(1, None, Some(("1", 4))),
        ]
    }

    #[test]
    fn a_product_gets_the_price_that_it_had_at_a_version_or_before_a_moment() {
        let of = |moment, rules| of_product(moment, &current(7, "3", 8), &history(), rules);
        for (version, price) in [(1, "1"), (2, "1"), (3, "2"), (4, "2"), (5, "2")] {
            assert_eq!(of(Moment::Version(version), Rules::default()), Verdict::PutBack(offer(price, 8)), "{version}");
        }
        assert_eq!(of(Moment::Version(4), WITH_STOCK), Verdict::PutBack(offer("2", 4)));
        assert_eq!(of(Moment::Version(6), Rules::default()), Verdict::Unchanged);
        assert_eq!(of(Moment::Version(6), WITH_STOCK), Verdict::PutBack(offer("3", 9)));
        let before = |moment| of(Moment::Before(moment), Rules::default());
        assert_eq!(before(datetime!(2026-01-06 00:00 UTC)), Verdict::PutBack(offer("2", 8)));
        assert_eq!(before(datetime!(2026-01-06 00:00:01 UTC)), Verdict::Unchanged);
    }

    #[test]
    fn what_is_not_known_is_not_put_back() {
        let skipped = |verdict| match verdict {
            Verdict::Skip(reason) => reason,
            other => panic!("{other:?}"),
        };
        let of = |moment, changes: &[Change]| of_product(moment, &current(7, "3", 8), changes, Rules::default());
        let before = Moment::Before(datetime!(2025-12-31 00:00 UTC));
        assert_eq!(skipped(of(before, &history())), "it was created later, at 2026-01-01T00:00:00Z");
        assert_eq!(skipped(of(Moment::Version(8), &history())), "it is at version 7");
        assert_eq!(skipped(of(Moment::Version(2), &[])), "nothing is kept of its history");
        // The older ones are kept no longer.
        let rest = &history()[..2];
        assert!(skipped(of(before, rest)).contains("--to-version 4"));
        assert!(skipped(of(Moment::Version(3), rest)).contains("reaches back to version 5"));
        assert_eq!(of(Moment::Version(4), rest), Verdict::PutBack(offer("2", 8)));
    }

    fn bulk(first: &Change, last: &Change) -> BulkChange {
        let mut bulk = BulkChange::new(BULK, first);
        bulk.add(last);
        bulk
    }

    #[test]
    fn a_product_is_as_the_history_says_where_that_knows_more() {
        let seen =
            |current: Current, last: &Change| current.or_as_left_by(Some(last)).map(|now| (now.version, now.offer));
        let last = change(6, Some(("2", 9)), Some(("3", 9)));
        assert_eq!(seen(current(5, "2", 9), &last), Some((6, offer("3", 9))));
        assert_eq!(seen(current(7, "3", 9), &last), Some((7, offer("3", 9))));
        assert_eq!(seen(current(5, "2", 9), &change(6, Some(("2", 9)), None)), None);
        assert_eq!(current(5, "2", 9).or_as_left_by(None).map(|now| now.version), Some(5));
    }

    #[test]
    fn what_a_bulk_did_is_undone_unless_others_changed_the_price_since() {
        let first = by_bulk(change(3, Some(("1", 4)), Some(("2", 5))));
        let last = by_bulk(change(5, Some(("2", 4)), Some(("3", 6))));
        let sold = change(4, Some(("2", 5)), Some(("2", 4)));
        let priced = change(6, Some(("3", 6)), Some(("9", 6)));
        let of = |current: &Current, since: &[Change], rules| of_bulk(&bulk(&first, &last), current, since, rules);
        let since = [last.clone(), sold, first.clone()];

        let now = current(5, "3", 6);
        assert_eq!(of(&now, &since, Rules::default()), Verdict::PutBack(offer("1", 6)));
        // With the stock, what was sold in between stands in the way.
        let again = |version| Verdict::Skip(format!("it was changed again at version {version} by ann"));
        assert_eq!(of(&now, &since, WITH_STOCK), again(4));
        let forced = Rules { with_stock: true, is_forced: true };
        assert_eq!(of(&now, &since, forced), Verdict::PutBack(offer("1", 4)));

        let since = [&[priced][..], &since].concat();
        assert_eq!(of(&current(6, "9", 6), &since, Rules::default()), again(6));
        let forced = Rules { is_forced: true, ..Rules::default() };
        assert_eq!(of(&current(6, "9", 6), &since, forced), Verdict::PutBack(offer("1", 6)));
        // Whoever did it was here before.
        assert_eq!(of(&current(6, "1", 6), &since, Rules::default()), Verdict::Unchanged);
    }

    #[test]
    fn a_bulk_that_left_the_price_or_created_the_product_has_nothing_to_put_back() {
        let stocked = by_bulk(change(3, Some(("1", 4)), Some(("1", 5))));
        let of = |bulk: &BulkChange, rules| of_bulk(bulk, &current(3, "1", 5), &[], rules);
        assert_eq!(of(&bulk(&stocked, &stocked), Rules::default()), Verdict::Unchanged);
        assert_eq!(of(&bulk(&stocked, &stocked), WITH_STOCK), Verdict::PutBack(offer("1", 4)));
        let created = by_bulk(change(1, None, Some(("1", 5))));
        assert!(matches!(of(&bulk(&created, &created), Rules::default()), Verdict::Skip(_)));
    }
}
