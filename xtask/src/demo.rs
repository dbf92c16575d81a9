//! Demo products: made up, but the same on every machine, so that a page of the docs can name one.

use std::collections::HashSet;
use std::io::Write;

use anyhow::Result;
use serde::Serialize;

/// The leaves of the category tree; the last part of the path is the thing itself.
const CATEGORIES: [&str; 61] = [
    "lighting/lamps/desk-lamp",
    "lighting/lamps/floor-lamp",
    "lighting/lamps/table-lamp",
    "lighting/lamps/bedside-lamp",
    "lighting/ceiling/pendant",
    "lighting/ceiling/spotlight",
    "lighting/ceiling/light-panel",
    "lighting/outdoor/lantern",
    "lighting/outdoor/path-light",
    "furniture/seating/chair",
    "furniture/seating/stool",
    "furniture/seating/bench",
    "furniture/seating/armchair",
    "furniture/tables/side-table",
    "furniture/tables/dining-table",
    "furniture/tables/folding-table",
    "furniture/storage/shelf",
    "furniture/storage/cabinet",
    "furniture/storage/chest",
    "kitchen/cookware/frying-pan",
    "kitchen/cookware/cooking-pot",
    "kitchen/cookware/wok",
    "kitchen/tableware/plate",
    "kitchen/tableware/bowl",
    "kitchen/tableware/mug",
    "kitchen/knives/paring-knife",
    "kitchen/knives/bread-knife",
    "kitchen/knives/carving-knife",
    "garden/tools/spade",
    "garden/tools/rake",
    "garden/tools/pruner",
    "garden/watering/watering-can",
    "garden/watering/hose",
    "garden/watering/sprinkler",
    "garden/planters/flower-pot",
    "garden/planters/trough",
    "office/paper/notebook",
    "office/paper/writing-pad",
    "office/paper/planner",
    "office/writing/fountain-pen",
    "office/writing/pencil",
    "office/writing/marker",
    "office/desk/letter-tray",
    "office/desk/organiser",
    "outdoor/camping/tent",
    "outdoor/camping/sleeping-mat",
    "outdoor/camping/stove",
    "outdoor/packs/daypack",
    "outdoor/packs/duffel",
    "outdoor/packs/pouch",
    "textiles/bed/duvet",
    "textiles/bed/pillow",
    "textiles/bed/sheet",
    "textiles/bath/towel",
    "textiles/bath/bathrobe",
    "textiles/window/curtain",
    "textiles/window/blind",
    "audio/speakers/bookshelf-speaker",
    "audio/speakers/portable-speaker",
    "audio/headphones/wired-headphones",
    "audio/headphones/wireless-headphones",
];

const BRANDS: [&str; 40] = [
    "Alder",
    "Anselm",
    "Arbour",
    "Aske",
    "Birk",
    "Brae",
    "Calder",
    "Carrow",
    "Cinder",
    "Corvid",
    "Dunmore",
    "Eider",
    "Elm & Ash",
    "Fenwick",
    "Fjell",
    "Gannet",
    "Glaze",
    "Hearth",
    "Holm",
    "Inkwell",
    "Juniper",
    "Kestrel",
    "Larch",
    "Linden",
    "Marram",
    "Moor",
    "Nettle",
    "Oakley",
    "Orrin",
    "Petrel",
    "Quarry",
    "Rill",
    "Rowan",
    "Sable",
    "Skerry",
    "Tarn",
    "Thistle",
    "Umber",
    "Wren",
    "Yarrow",
];

const SERIES: [&str; 12] =
    ["Aurora", "Borough", "Cove", "Delta", "Ember", "Fathom", "Grove", "Harbour", "Isle", "Jetty", "Keel", "Lantern"];

const COLOURS: [&str; 10] = ["white", "black", "sand", "moss", "slate", "amber", "navy", "cream", "plum", "teal"];

/// One line of the import.
#[derive(Debug, Serialize)]
struct DemoProduct {
    sku: String,
    name: String,
    description: String,
    brand: &'static str,
    category: &'static str,
    image_url: String,
    price: String,
    currency: &'static str,
    stock: u64,
}

/// Writes `count` products as NDJSON. A larger count only adds lines.
pub fn write(count: u32, mut to: impl Write) -> Result<()> {
    for number in 1..=count {
        serde_json::to_writer(&mut to, &product(number))?;
        to.write_all(b"\n")?;
    }
    Ok(to.flush()?)
}

fn product(number: u32) -> DemoProduct {
    let mut dice = Dice(u64::from(number));
    let category = *dice.pick(&CATEGORIES);
    let slug = slug(category);
    let thing = slug.replace('-', " ");
    let (brand, series, colour) = (*dice.pick(&BRANDS), dice.pick(&SERIES), dice.pick(&COLOURS));
    let model = dice.below(900) + 100;
    let cents = dice.below(300) * 100 + [0, 49, 50, 95, 99][usize::try_from(dice.below(5)).expect("below 5")] + 100;
    // Every eighth is sold out, so that `in_stock` has something to filter.
    let stock = if dice.below(8) == 0 { 0 } else { dice.below(400) + 1 };
    DemoProduct {
        sku: format!("DEMO-{number:06}"),
        name: format!("{brand} {series} {thing} {model}, {colour}"),
        description: format!(
            "A {thing} in {colour} from the series {series} by {brand}, made to be used daily and repaired."
        ),
        brand,
        category,
        image_url: format!("/media/demo/{slug}-{colour}.webp"),
        price: format!("{}.{:02}", cents / 100, cents % 100),
        currency: "USD",
        stock,
    }
}

/// Paths of a storefront over demo products, distinct and the same every time: of ten about five are lists of a category in
/// some order, three lists of a category within a range of prices, and two searches for names; of ten lists one is counted and one has facets.
pub fn storefront(count: usize) -> Vec<String> {
    distinct(storefront_path).take(count).collect()
}

fn storefront_path(dice: &mut Dice) -> String {
    let path = *dice.pick(&CATEGORIES);
    let thing = slug(path).replace('-', "+");
    let category = branch(path, dice);
    let in_stock = *dice.pick(&["", "&in_stock=true"]);
    let told = *dice.pick(&["", "", "", "", "", "", "", "", "&count=exact", "&facets=brand,price"]);
    match dice.below(10) {
        0..5 => {
            let sort = dice.pick(&["id", "name", "price", "-price", "-created_at"]);
            let page = dice.pick(&["", "", "", "&page=2"]);
            format!("/products?category={category}&sort={sort}{in_stock}{page}{told}")
        }
        5..8 => {
            let (from, width) = (dice.below(25) * 10, *dice.pick(&[10, 25, 50]));
            let sort = dice.pick(&["id", "price"]);
            let to = from + width;
            format!("/products?category={category}&min_price={from}&max_price={to}&sort={sort}{in_stock}{told}")
        }
        _ => {
            let first = match dice.below(3) {
                0 => dice.pick(&BRANDS).to_lowercase().replace(" & ", "+"),
                1 => dice.pick(&SERIES).to_lowercase(),
                _ => (*dice.pick(&COLOURS)).to_owned(),
            };
            format!("/products/search?q={first}+{thing}{in_stock}")
        }
    }
}

/// Pages over demo products that are asked for too seldom to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColdPage {
    /// A search for two words that some products have, within a range of prices.
    TwoWords,
    /// A list of a brand or a category that says how many products it holds.
    Counted,
    /// A search for one word.
    OneWord,
}

impl ColdPage {
    /// Distinct paths, the same every time: of searches for one word more than 3,000, of the others more than 100,000.
    pub fn paths(self) -> impl Iterator<Item = String> {
        distinct(move |dice| match self {
            Self::TwoWords => two_words_path(dice),
            Self::Counted => counted_path(dice),
            Self::OneWord => one_word_path(dice),
        })
    }
}

fn two_words_path(dice: &mut Dice) -> String {
    let words = match dice.below(4) {
        0 => {
            let things: Vec<&str> =
                CATEGORIES.iter().map(|path| slug(path)).filter(|thing| thing.contains('-')).collect();
            dice.pick(&things).replace('-', "+")
        }
        _ => format!("{}+{}", leading_word(dice), thing_word(dice)),
    };
    let range = price_range(dice);
    let sort = dice.pick(&["", "", "", "&sort=price", "&sort=-price"]);
    format!("/products/search?q={words}{range}{sort}")
}

fn counted_path(dice: &mut Dice) -> String {
    let filter = if dice.below(2) == 0 {
        format!("brand={}", dice.pick(&BRANDS).replace(' ', "+").replace('&', "%26"))
    } else {
        let path = *dice.pick(&CATEGORIES);
        format!("category={}", branch(path, dice))
    };
    let range = if dice.below(4) == 0 { String::new() } else { price_range(dice) };
    let in_stock = dice.pick(&["", "&in_stock=true", "&in_stock=false"]);
    let sort = dice.pick(&["id", "name", "price", "-price", "-created_at"]);
    format!("/products?count=exact&{filter}{range}{in_stock}&sort={sort}")
}

fn one_word_path(dice: &mut Dice) -> String {
    let word = if dice.below(4) == 0 { thing_word(dice) } else { leading_word(dice) };
    let in_stock = dice.pick(&["", "&in_stock=true", "&in_stock=false"]);
    let sort = dice.pick(&["", "", "&sort=price", "&sort=-price"]);
    let page = dice.pick(&["", "&page=2", "&page=3"]);
    format!("/products/search?q={word}{in_stock}{sort}{page}")
}

/// Of a brand, a series or a colour.
fn leading_word(dice: &mut Dice) -> String {
    let text = match dice.below(3) {
        0 => *dice.pick(&BRANDS),
        1 => *dice.pick(&SERIES),
        _ => *dice.pick(&COLOURS),
    };
    word_of(text, dice)
}

fn thing_word(dice: &mut Dice) -> String {
    let path = *dice.pick(&CATEGORIES);
    word_of(slug(path), dice)
}

fn word_of(text: &str, dice: &mut Dice) -> String {
    // English text search ignores "can".
    let words: Vec<&str> = text.split([' ', '&', '-']).filter(|word| !word.is_empty() && *word != "can").collect();
    dice.pick(&words).to_lowercase()
}

fn price_range(dice: &mut Dice) -> String {
    let (from, width) = (dice.below(30) * 10, dice.pick(&[10, 25, 50, 100]));
    format!("&min_price={from}&max_price={}", from + width)
}

/// The thing at the leaf of a category.
fn slug(category: &str) -> &str {
    category.rsplit('/').next().expect("rsplit gives at least one part")
}

/// The category itself or one of those above it.
fn branch(category: &str, dice: &mut Dice) -> String {
    let depth = usize::try_from(dice.below(3)).expect("below 3") + 1;
    category.split('/').take(depth).collect::<Vec<_>>().join("/")
}

/// Dice that are thrown for paths: a kind that has no more of them ends, after about a second.
const THROWS_MAX: u64 = 1_000_000;

/// What dice make of 1, 2, 3, each path once.
fn distinct(path: impl Fn(&mut Dice) -> String) -> impl Iterator<Item = String> {
    let mut seen = HashSet::new();
    (1..=THROWS_MAX).map(move |number| path(&mut Dice(number))).filter(move |path| seen.insert(path.clone()))
}

/// `SplitMix64` (Steele, Lea, Flood 2014): any seed gives a good sequence, also 1, 2, 3.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let bound = u64::try_from(from.len()).expect("a slice is shorter than 2^64");
        &from[usize::try_from(self.below(bound)).expect("an index of a slice fits a usize")]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn products_are_the_same_every_time() {
        let product = serde_json::to_string(&product(1)).expect("a product is JSON");

        assert_eq!(
            product,
            r#"{"sku":"DEMO-000001","name":"Yarrow Grove bread knife 661, amber","description":"A bread knife in amber from the series Grove by Yarrow, made to be used daily and repaired.","brand":"Yarrow","category":"kitchen/knives/bread-knife","image_url":"/media/demo/bread-knife-amber.webp","price":"249.00","currency":"USD","stock":121}"#
        );
    }

    #[test]
    fn the_paths_of_the_storefront_are_distinct_and_of_every_kind() {
        let paths = storefront(2_400);
        let distinct: BTreeSet<&String> = paths.iter().collect();
        let kinds = ["sort=-price", "min_price=", "/search?q="]
            .map(|part| paths.iter().filter(|path| path.contains(part)).count());
        assert_eq!(distinct.len(), 2_400);
        assert!(kinds.iter().all(|kind| *kind > 100), "{kinds:?}");
    }

    #[test]
    fn cold_pages_are_distinct_and_of_every_kind() {
        let kinds: [(ColdPage, &[&str]); 3] = [
            (ColdPage::TwoWords, &["q=desk+lamp&", "min_price=0&max_price=100", "&sort=price", "&sort=-price"]),
            (
                ColdPage::Counted,
                &["brand=Elm+%26+Ash&", "category=audio&", "bed/duvet&", "in_stock=false", "=-created_at"],
            ),
            (ColdPage::OneWord, &["q=ash", "q=lamp", "q=teal", "&page=3"]),
        ];
        assert!(ColdPage::OneWord.paths().count() > 3_000);
        for (kind, parts) in kinds {
            let paths: Vec<String> = kind.paths().take(2_000).collect();
            let distinct: BTreeSet<&String> = paths.iter().collect();
            assert_eq!(distinct.len(), paths.len());
            for part in parts {
                assert!(paths.iter().any(|path| path.contains(part)), "{kind:?}: {part}");
            }
        }
    }

    #[test]
    fn every_category_and_brand_occurs_among_the_default_ten_thousand() {
        let products: Vec<DemoProduct> = (1..=10_000).map(product).collect();
        let categories: BTreeSet<&str> = products.iter().map(|product| product.category).collect();
        let brands: BTreeSet<&str> = products.iter().map(|product| product.brand).collect();

        assert_eq!((categories.len(), brands.len()), (CATEGORIES.len(), BRANDS.len()));
    }
}
