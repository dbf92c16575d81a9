//! `freshet revert`: earlier prices of a product, or of all that an import or bulk patch changed, as ordinary patches.
//!
//! Each patch names the version that was decided of, so that it is refused, and the product looked at again, if somebody else
//! was faster.

mod decide;
mod report;

use std::cell::Cell;
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use client::Client;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::json;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::args::{Revert, Target};
use crate::failure::{REFUSED, Refused, accepted};
use crate::history::{Change, Pages};
use decide::{BulkChange, Current, Moment, Offer, Rules, Verdict};
use report::{Line, Outcome, Report};

/// Products worked on at a time: each takes three requests, one after the other.
const AT_A_TIME: usize = 8;

/// How often a product is looked at that others change meanwhile.
const ATTEMPTS_MAX: u32 = 3;

/// What is undone.
enum Undone {
    Since(Moment),
    Bulk(BulkChange),
}

struct Reverter<'a> {
    client: &'a Client,
    rules: Rules,
    is_dry_run: bool,
}

pub(crate) async fn run(revert: &Revert, target: &Target) -> anyhow::Result<ExitCode> {
    let client = target.client()?;
    let rules = Rules { with_stock: revert.stock, is_forced: revert.force };
    let reverter = Reverter { client: &client, rules, is_dry_run: revert.dry_run };
    let mut report = Report::new(revert.dry_run);
    let done = match (revert.product, revert.to_version, revert.before, revert.bulk) {
        (Some(id), Some(version), ..) => reverter.product(id, Moment::Version(version), &mut report).await,
        (Some(id), _, Some(moment), _) => reverter.product(id, Moment::Before(moment), &mut report).await,
        (.., Some(bulk_id)) => reverter.bulk(bulk_id, &mut report).await,
        _ => bail!("name a product and a version or a time, or a bulk"),
    };
    if !report.is_empty() {
        report.print(target.json)?;
    }
    done?;
    if report.is_empty() {
        eprintln!("freshet: no price or stock is known that this bulk has changed");
        return Ok(ExitCode::from(REFUSED));
    }
    Ok(report.exit_code())
}

impl Reverter<'_> {
    async fn product(&self, id: i64, moment: Moment, report: &mut Report) -> anyhow::Result<()> {
        report.add(self.one(id, &Undone::Since(moment)).await?);
        Ok(())
    }

    async fn bulk(&self, bulk_id: Uuid, report: &mut Report) -> anyhow::Result<()> {
        let mut pages = Pages::of_bulk(self.client, bulk_id);
        let mut found: Vec<BulkChange> = Vec::new();
        while let Some(page) = pages.next().await? {
            for change in page {
                match found.last_mut() {
                    Some(last) if last.product_id == change.product_id => last.add(&change),
                    _ => found.push(BulkChange::new(bulk_id, &change)),
                }
            }
            // The last product may go on in the next page.
            let last = found.pop();
            self.all(std::mem::take(&mut found), report).await?;
            found.extend(last);
        }
        self.all(found, report).await
    }

    /// After a failure no more are begun; those under way are done, and told.
    async fn all(&self, changes: Vec<BulkChange>, report: &mut Report) -> anyhow::Result<()> {
        let has_failed = Cell::new(false);
        let outcomes = changes.into_iter().map(async |change| {
            if has_failed.get() {
                return Ok(None);
            }
            let outcome = self.one(change.product_id, &Undone::Bulk(change)).await;
            has_failed.set(has_failed.get() || outcome.is_err());
            outcome.map(Some)
        });
        let outcomes: Vec<_> = stream::iter(outcomes).buffered(AT_A_TIME).collect().await;
        let mut first_failure = Ok(());
        for outcome in outcomes {
            match outcome {
                Ok(outcome) => outcome.into_iter().for_each(|outcome| report.add(outcome)),
                Err(error) => first_failure = first_failure.and(Err(error)),
            }
        }
        first_failure
    }

    async fn one(&self, id: i64, undone: &Undone) -> anyhow::Result<Outcome> {
        let skipped = |from: Option<Offer>, reason: String| {
            Ok(Outcome::Skipped(Line { product_id: id, from, to: None, reason: Some(reason) }))
        };
        for attempt in 1..=ATTEMPTS_MAX {
            let Some((current, changes)) = self.look(id, undone, attempt > 1).await.with_context(|| unfinished(id))?
            else {
                return skipped(None, "there is no such product, or no longer".to_owned());
            };
            let from = current.offer.clone();
            let to = match undone.verdict(&current, changes, self.rules) {
                Verdict::PutBack(to) => to,
                Verdict::Unchanged => return Ok(Outcome::Unchanged),
                Verdict::Skip(reason) => return skipped(Some(from), reason),
            };
            let line = Line { product_id: id, from: Some(from), to: Some(to.clone()), reason: None };
            if self.is_dry_run {
                return Ok(Outcome::PutBack(line));
            }
            match self.patch(id, current.version, &to, &undone.reason(current.version)?).await {
                Ok(true) => return Ok(Outcome::PutBack(line)),
                Ok(false) => {}
                Err(error) => match error.downcast::<Refused>() {
                    Ok(Refused(problem)) => return skipped(line.from, problem.to_string()),
                    Err(failed) => return Err(failed.context(unfinished(id))),
                },
            }
        }
        skipped(None, "others change it all the time".to_owned())
    }

    /// The product and its last changes, as far back as need be; nothing if it is not there.
    async fn look(&self, id: i64, undone: &Undone, is_fresh: bool) -> anyhow::Result<Option<(Current, Vec<Change>)>> {
        // In this order the history includes all that led to this version.
        let Some(current) = self.current(id, is_fresh).await? else { return Ok(None) };
        let mut pages = Pages::of_product(self.client, id);
        let mut changes: Vec<Change> = Vec::new();
        while let Some(page) = pages.next().await? {
            changes.extend(page);
            if changes.last().is_some_and(|oldest| undone.reaches(oldest)) {
                break;
            }
        }
        Ok(current.or_as_left_by(changes.first()).map(|current| (current, changes)))
    }

    /// The product as any read node shows it, or as the primary does: to be `fresh` costs more.
    async fn current(&self, id: i64, is_fresh: bool) -> anyhow::Result<Option<Current>> {
        let no_cache = (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let headers = HeaderMap::from_iter(is_fresh.then_some(no_cache));
        let answer = self.client.request(Method::GET, &format!("/products/{id}"), headers, Vec::new()).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        Ok(Some(accepted(answer)?.json()?))
    }

    /// Whether the product still was at this version.
    async fn patch(&self, id: i64, version: i64, to: &Offer, reason: &str) -> anyhow::Result<bool> {
        let mut body = json!({"price": to.price, "currency": to.currency, "reason": reason});
        if self.rules.with_stock {
            body["stock"] = to.stock.into();
        }
        let headers = HeaderMap::from_iter([
            (header::CONTENT_TYPE, HeaderValue::from_static("application/merge-patch+json")),
            (header::IF_MATCH, HeaderValue::try_from(format!("\"{version}\""))?),
        ]);
        let answer = self.client.request(Method::PATCH, &format!("/products/{id}"), headers, body.to_string()).await?;
        if answer.status == StatusCode::PRECONDITION_FAILED {
            return Ok(false);
        }
        let is_too_fast = answer.status == StatusCode::TOO_MANY_REQUESTS;
        ensure!(!is_too_fast, "the server takes no more patches for now: {}", answer.problem());
        accepted(answer)?;
        Ok(true)
    }
}

impl Undone {
    fn verdict(&self, current: &Current, mut changes: Vec<Change>, rules: Rules) -> Verdict {
        match self {
            Self::Since(moment) => decide::of_product(*moment, current, &changes, rules),
            Self::Bulk(bulk) => {
                changes.retain(|change| change.version >= bulk.first);
                decide::of_bulk(bulk, current, &changes, rules)
            }
        }
    }

    /// Whether no change older than this one has to be looked at.
    fn reaches(&self, change: &Change) -> bool {
        match self {
            Self::Since(moment) => moment.includes(change),
            Self::Bulk(bulk) => change.version <= bulk.first,
        }
    }

    /// What the patch says in the history.
    fn reason(&self, current: i64) -> anyhow::Result<String> {
        Ok(match self {
            Self::Since(Moment::Version(version)) if version + 1 == current => format!("revert of version {current}"),
            Self::Since(Moment::Version(version)) => format!("revert of versions {} to {current}", version + 1),
            Self::Since(Moment::Before(moment)) => format!("revert of what came since {}", moment.format(&Rfc3339)?),
            Self::Bulk(bulk) => format!("revert of bulk {}", bulk.bulk_id),
        })
    }
}

fn unfinished(id: i64) -> String {
    format!("the revert is incomplete: product {id} may not be put back; to do the same again is safe")
}
