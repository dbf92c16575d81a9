//! Which months of the history there should be: pure, with the clock as an argument.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;

use time::{Date, OffsetDateTime, UtcOffset};

/// Partitions that are made before their month begins: two months in which somebody may see that none are made any more.
const MONTHS_AHEAD: i32 = 2;

const TABLE: &str = "product_history_";

/// A calendar month in UTC, counted from January of the year 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month(i32);

/// What is to be done, the oldest month first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) make: Vec<Month>,
    pub(super) drop: Vec<Month>,
}

/// The present month, those ahead and those of which rows are in the rest should have a partition; those that ended more than
/// `months_kept` months ago should have none.
pub(super) fn plan(
    now: OffsetDateTime,
    months_kept: u32,
    existing: &BTreeSet<Month>,
    in_rest: &BTreeSet<Month>,
) -> Plan {
    let kept = kept(now, months_kept);
    let ahead = (0..=MONTHS_AHEAD).map(|months| Month::of(now).plus(months));
    let wanted: BTreeSet<Month> = ahead.chain(in_rest.iter().copied().filter(|month| kept.contains(month))).collect();
    Plan {
        make: wanted.difference(existing).copied().collect(),
        drop: existing.iter().copied().filter(|month| month < kept.start()).collect(),
    }
}

/// The months whose rows are kept. One is left only when its last moment is `months_kept` months ago.
pub(super) fn kept(now: OffsetDateTime, months_kept: u32) -> RangeInclusive<Month> {
    let months_kept = i32::try_from(months_kept).unwrap_or(i32::MAX);
    let this = Month::of(now);
    Month(this.0.saturating_sub(months_kept).max(0))..=this.plus(MONTHS_AHEAD)
}

impl Month {
    pub(super) fn of(moment: OffsetDateTime) -> Self {
        let date = moment.to_offset(UtcOffset::UTC).date();
        Self(date.year() * 12 + i32::from(u8::from(date.month())) - 1)
    }

    /// Of a table named like `to_string` names it.
    pub(super) fn of_table(name: &str) -> Option<Self> {
        let (year, month) = name.strip_prefix(TABLE)?.split_once('_')?;
        let month = Self(year.parse::<i32>().ok()?.checked_mul(12)?.checked_add(month.parse::<i32>().ok()? - 1)?);
        (month.to_string() == name).then_some(month)
    }

    pub(super) fn first_day(self) -> Date {
        Date::from_calendar_date(self.year(), self.month(), 1).expect("every month of these years has a first day")
    }

    fn plus(self, months: i32) -> Self {
        Self(self.0 + months)
    }

    const fn year(self) -> i32 {
        self.0.div_euclid(12)
    }

    fn month(self) -> time::Month {
        let number = u8::try_from(self.0.rem_euclid(12) + 1).expect("1 to 12");
        number.try_into().expect("1 to 12")
    }
}

impl fmt::Display for Month {
    /// The name of its partition.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{TABLE}{:04}_{:02}", self.year(), u8::from(self.month()))
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn months(names: &[&str]) -> BTreeSet<Month> {
        names.iter().map(|name| Month::of_table(&format!("{TABLE}{name}")).expect("a month")).collect()
    }

    fn list(names: &[&str]) -> Vec<Month> {
        months(names).into_iter().collect()
    }

    #[test]
    fn this_month_and_the_next_two_are_made_across_the_turn_of_a_year() {
        let now = datetime!(2026-11-30 23:59:59 UTC);
        let none = BTreeSet::new();
        assert_eq!(plan(now, 24, &none, &none), Plan { make: list(&["2026_11", "2026_12", "2027_01"]), drop: vec![] });
        let there = months(&["2026_11", "2027_01"]);
        assert_eq!(plan(now, 24, &there, &none).make, list(&["2026_12"]));
        let all = months(&["2026_11", "2026_12", "2027_01"]);
        assert_eq!(plan(now, 24, &all, &none), Plan::default());
    }

    #[test]
    fn a_month_is_dropped_only_when_all_of_it_is_older_than_what_is_kept() {
        let there = months(&["2024_10", "2024_11", "2024_12", "2026_11", "2026_12", "2027_01", "2027_02"]);
        let none = BTreeSet::new();
        assert_eq!(plan(datetime!(2026-11-30 23:59:59 UTC), 24, &there, &none).drop, list(&["2024_10"]));
        assert_eq!(plan(datetime!(2026-12-01 00:00:00 UTC), 24, &there, &none).drop, list(&["2024_10", "2024_11"]));
        assert_eq!(plan(datetime!(2026-12-01 00:00:00 UTC), u32::MAX, &there, &none).drop, []);
    }

    #[test]
    fn a_month_whose_rows_are_in_the_rest_is_made_unless_it_is_too_old_or_has_not_come() {
        let there = months(&["2026_11", "2026_12", "2027_01"]);
        let in_rest = months(&["2019_05", "2026_08", "2026_11", "2041_01"]);
        let plan = plan(datetime!(2026-11-15 12:00 UTC), 6, &there, &in_rest);
        assert_eq!(plan, Plan { make: list(&["2026_08"]), drop: vec![] });
    }

    #[test]
    fn months_are_those_of_utc() {
        assert_eq!(Month::of(datetime!(2027-01-01 00:30 +02:00)), Month::of(datetime!(2026-12-31 12:00 UTC)));
    }

    #[test]
    fn only_a_table_that_has_a_months_name_is_one() {
        for other in [
            "product_history_rest",
            "product_history_2026_13",
            "product_history_2026_1",
            "products",
            "product_history_26_01",
        ] {
            assert_eq!(Month::of_table(other), None, "{other}");
        }
        let month = Month::of_table("product_history_2026_11").expect("a month");
        assert_eq!(
            (month.first_day(), month.to_string().as_str()),
            (time::macros::date!(2026 - 11 - 01), "product_history_2026_11")
        );
    }
}
