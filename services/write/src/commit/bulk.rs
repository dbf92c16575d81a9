//! Patches many products, each line for itself, in transactions that hold their rows for milliseconds.

use std::collections::{BTreeMap, HashMap, HashSet};

use catalog::{PatchLine, ProductId, ProductName, Sku};

use super::command::{Action, Author, Command, Once, Outcome, no_product};
use super::together::{Outcomes, decided, ids, in_halves, in_time, outcomes, store, store_locked};
use crate::app::Primary;
use crate::counts;
use crate::error::WriteError;
use crate::store::fault::Fault;
use crate::store::products;

/// Tries to pass by whoever holds a product or changes it meanwhile, before it is waited for: mostly that takes him no
/// longer than the first try takes.
const TRIES: usize = 2;

/// A line, and under which key it is done once.
#[derive(Clone, Debug)]
pub(crate) struct BulkLine {
    pub(crate) line: PatchLine,
    pub(crate) once: Option<Once>,
}

/// Does the lines, those of one product in their order, and returns what came of each. With `is_rehearsal` nothing is
/// written: each outcome is what it would be, for all that is known before it is tried.
pub(crate) async fn patch_all(
    primary: &Primary,
    lines: Vec<BulkLine>,
    author: &Author,
    is_rehearsal: bool,
) -> Vec<Outcome> {
    let count = lines.len();
    let commands = match commands(primary, lines, author).await {
        Ok(commands) => commands,
        Err(error) => return vec![Err(error); count],
    };
    if is_rehearsal {
        return in_time(rehearse(primary, &commands)).await.unwrap_or_else(|error| vec![Err(error); count]);
    }
    let mut batch = Batch { primary, outcomes: vec![Err(WriteError::Held); count] };
    let mut waiting: Waiting = commands.into_iter().zip(0..).collect();
    for _ in 0..TRIES {
        waiting = batch.pass_over(waiting).await;
    }
    let stuck = batch.wait_for(waiting).await;
    batch.pass_over(stuck).await;
    batch.outcomes
}

/// Commands that have no outcome yet, each with its place.
type Waiting = Vec<(Command, usize)>;

struct Batch<'a> {
    primary: &'a Primary,
    outcomes: Vec<Outcome>,
}

impl Batch<'_> {
    /// Does what nobody stands in the way of, in one transaction, and returns the rest.
    async fn pass_over(&mut self, waiting: Waiting) -> Waiting {
        let primary = self.primary;
        let store = |commands| in_time(store_passing_over(primary.clone(), commands));
        self.run(waiting, store).await
    }

    /// Waits for one product after the other, so that none is held meanwhile; and for nobody any more once one was waited
    /// for in vain. Returns what is left then.
    async fn wait_for(&mut self, waiting: Waiting) -> Waiting {
        let primary = self.primary;
        let mut stuck = Vec::new();
        for product in by_product(waiting) {
            if stuck.is_empty() {
                counts::held(product.len());
                let store = |commands| in_time(store_waiting(primary.clone(), commands));
                stuck.extend(self.run(product, store).await);
            } else {
                stuck.extend(product);
            }
        }
        stuck
    }

    async fn run<F>(&mut self, waiting: Waiting, store: impl Fn(Vec<Command>) -> F) -> Waiting
    where
        F: Future<Output = Result<Outcomes, WriteError>> + Send + 'static,
    {
        let mut passed_over = Vec::new();
        in_halves(waiting, store, |command, place, outcome| match outcome {
            Some(outcome) => self.outcomes[place] = outcome,
            None => passed_over.push((command, place)),
        })
        .await;
        passed_over
    }
}

async fn store_passing_over(primary: Primary, commands: Vec<Command>) -> Result<Outcomes, WriteError> {
    let mut connection = primary.pool.acquire().await?;
    store(&primary, &mut connection, &commands).await
}

/// Passes over what was waited for in vain.
async fn store_waiting(primary: Primary, commands: Vec<Command>) -> Result<Outcomes, WriteError> {
    match store_locked(&primary, &commands).await {
        Err(WriteError::Database(error)) if Fault::of(&error) == Fault::Conflict => Ok(vec![None; commands.len()]),
        outcomes => outcomes,
    }
}

async fn rehearse(primary: &Primary, commands: &[Command]) -> Result<Vec<Outcome>, WriteError> {
    let mut connection = primary.pool.acquire().await?;
    let found = products::find(&mut connection, &ids(commands)).await?;
    let (fold, ..) = decided(&mut connection, commands, found).await?;
    let moment = crate::store::moment(&mut connection).await?;
    Ok(outcomes(commands, fold, &HashSet::new(), moment).into_iter().flatten().collect())
}

/// Each line as a command on the product that it names.
async fn commands(primary: &Primary, lines: Vec<BulkLine>, author: &Author) -> Result<Vec<Command>, WriteError> {
    let skus: Vec<&str> = lines.iter().filter_map(sku).map(Sku::as_str).collect();
    let mut known = HashMap::new();
    if !skus.is_empty() {
        let mut connection = primary.pool.acquire().await?;
        known = products::ids_by_sku(&mut connection, &skus).await?;
    }
    Ok(lines.into_iter().map(|line| command(line, &known, author)).collect())
}

fn sku(BulkLine { line, .. }: &BulkLine) -> Option<&Sku> {
    match &line.product {
        ProductName::Id(_) => None,
        ProductName::Sku(sku) => Some(sku),
    }
}

fn command(BulkLine { line, once }: BulkLine, known: &HashMap<String, ProductId>, author: &Author) -> Command {
    let PatchLine { product, if_match, patch } = line;
    let (id, action) = match product {
        ProductName::Id(id) => (id, Action::Patch(patch)),
        ProductName::Sku(sku) => match known.get(sku.as_str()) {
            Some(id) => (*id, Action::Patch(patch)),
            None => (no_product(), Action::Unknown(sku)),
        },
    };
    Command { id, action, if_match, author: author.clone(), once }
}

/// In the order of ids.
fn by_product(waiting: Waiting) -> impl Iterator<Item = Waiting> {
    let mut products: BTreeMap<ProductId, Waiting> = BTreeMap::new();
    for (command, place) in waiting {
        products.entry(command.id).or_default().push((command, place));
    }
    products.into_values()
}
