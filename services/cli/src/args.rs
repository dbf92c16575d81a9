//! What can be typed.

mod keys;

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgGroup, Parser, Subcommand, ValueEnum};
use client::Client;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::stack;

pub(crate) use keys::{CreateKey, Keys, RevokeKey};

/// Import, export, look up, change and watch the products of a catalogue
#[derive(Parser, Debug)]
#[command(name = "freshet", version)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(clap::Args, Debug)]
pub(crate) struct Target {
    /// The catalogue's base URL; without it, the running stack's, found through `.stack/urls.env` here or above
    #[arg(long, global = true, env = "FRESHET_URL", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The API key to write with; without it, and without a URL, the running stack's
    #[arg(long, global = true, env = "FRESHET_API_KEY", hide_env_values = true, value_name = "KEY")]
    pub(crate) api_key: Option<Secret>,
    /// Print JSON for programs instead of text for people
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Create or overwrite products, by sku, from a CSV or NDJSON file
    ///
    /// Exit code: 0 if all rows are accepted, 1 if some are refused, 2 if the import could not be completed.
    Import(Import),
    /// Write all products, in the form that `import` reads
    Export(Export),
    /// Show one product
    Get(Get),
    /// Change fields of one product, or of many from a CSV or NDJSON file
    ///
    /// Exit code: 0 if all is accepted, 1 if some is refused, 2 if it could not be completed.
    Patch(Box<Patch>),
    /// Print changes as they happen
    Watch(Watch),
    /// Print the prices and stocks that a product had, the newest change first
    History(History),
    /// Put earlier prices back, as patches like any others
    ///
    /// Of one product, those that it had at a version or before a time; or of all that an import or bulk patch changed, those
    /// that they had before it. A patch is made only of the version that was looked at: if somebody else is faster, the product is
    /// looked at again. To do the same again is safe.
    ///
    /// Exit code: 0 if all is as it was then, 1 if something is skipped, 2 if the revert could not be completed.
    Revert(Revert),
    /// Make, list and revoke API keys
    #[command(subcommand)]
    Keys(Keys),
}

/// What must not be printed, also not when something goes wrong.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[derive(clap::Args, Debug)]
pub(crate) struct Import {
    /// A `.csv` or `.ndjson` file, plain or gzip, or `-` for standard input
    pub(crate) file: PathBuf,
    /// Default: from the file's name
    #[arg(long)]
    pub(crate) format: Option<Format>,
    /// Show no progress and no summary, only refused rows
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(clap::Args, Debug)]
pub(crate) struct Export {
    /// Default: from the output file's name, else CSV, with `--json` NDJSON
    #[arg(long)]
    pub(crate) format: Option<Format>,
    /// Default: standard output; a name that ends in `.gz` is compressed
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(clap::Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct Get {
    #[arg(value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) id: Option<i64>,
    #[arg(long)]
    pub(crate) sku: Option<String>,
}

#[derive(clap::Args, Debug)]
pub(crate) struct Patch {
    #[arg(value_parser = clap::value_parser!(i64).range(1..), required_unless_present = "file", conflicts_with = "file")]
    pub(crate) id: Option<i64>,
    #[command(flatten)]
    pub(crate) fields: PatchFields,
    #[command(flatten)]
    pub(crate) file: PatchFile,
    /// Why, for the product's history; with --file for the rows that give none
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// However often the same is sent with this key, it is done once; with --file each row, and the default is a new key
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
}

/// Of one product.
#[derive(clap::Args, Debug)]
#[group(id = "one", multiple = true, conflicts_with = "file")]
pub(crate) struct PatchFields {
    /// A decimal amount, such as 19.99
    #[arg(long)]
    pub(crate) price: Option<String>,
    /// ISO 4217, such as USD
    #[arg(long)]
    pub(crate) currency: Option<String>,
    /// Units on hand
    #[arg(long, allow_negative_numbers = true, conflicts_with = "stock_delta")]
    pub(crate) stock: Option<i64>,
    /// Units that come in, or go out if negative
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) stock_delta: Option<i64>,
    #[arg(long)]
    pub(crate) name: Option<String>,
    #[arg(long)]
    pub(crate) description: Option<String>,
    #[arg(long)]
    pub(crate) brand: Option<String>,
    /// A path in the category tree, such as lighting/lamps
    #[arg(long)]
    pub(crate) category: Option<String>,
    #[arg(long)]
    pub(crate) image_url: Option<String>,
    /// Empty a field; may be repeated
    #[arg(long, value_name = "FIELD")]
    pub(crate) clear: Vec<Clearable>,
    /// Only if the product is at this version
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) if_match: Option<i64>,
}

/// Of many products.
#[derive(clap::Args, Debug)]
pub(crate) struct PatchFile {
    /// A `.csv` or `.ndjson` file, plain or gzip, or `-` for standard input; each row names a product by id or sku, and an
    /// empty cell leaves its field as it is
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Default: from the file's name
    #[arg(long, conflicts_with = "id")]
    pub(crate) format: Option<Format>,
    /// Change nothing; say what would be accepted and refused
    #[arg(long, conflicts_with = "id")]
    pub(crate) dry_run: bool,
    /// Show no progress and no summary, only refused rows
    #[arg(long, short, conflicts_with = "id")]
    pub(crate) quiet: bool,
}

#[derive(clap::Args, Debug)]
pub(crate) struct Watch {
    /// Default: the running stack's
    #[arg(long, env = "FRESHET_NATS_URL", value_name = "URL")]
    pub(crate) nats_url: Option<String>,
}

#[derive(clap::Args, Debug)]
pub(crate) struct History {
    #[arg(value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) id: i64,
    /// Most changes to print
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) limit: u32,
}

#[derive(clap::Args, Debug)]
#[command(
    group(ArgGroup::new("what").args(["product", "bulk"]).required(true)),
    group(ArgGroup::new("moment").args(["to_version", "before"]).requires("product").conflicts_with("bulk"))
)]
pub(crate) struct Revert {
    /// The product to take back; needs --to-version or --before
    #[arg(long, value_name = "ID", requires = "moment", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) product: Option<i64>,
    /// To the price that it had at this version
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) to_version: Option<i64>,
    /// To the price that it had right before this time, such as 2026-11-28T12:00:00Z
    #[arg(long, value_name = "TIMESTAMP", value_parser = timestamp)]
    pub(crate) before: Option<OffsetDateTime>,
    /// The import or bulk patch to undo: its products get the prices that they had before it
    #[arg(long, value_name = "BULK_ID")]
    pub(crate) bulk: Option<Uuid>,
    /// Put the stock back too. It is left alone otherwise, because it has moved on: what was sold or delivered since is still
    /// sold or delivered, and an earlier count is a wrong one
    #[arg(long)]
    pub(crate) stock: bool,
    /// Also where the price was changed again after the bulk; such products are skipped otherwise
    #[arg(long, conflicts_with = "product")]
    pub(crate) force: bool,
    /// Change nothing; show what would be put back
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Csv,
    Ndjson,
}

/// The fields of a product that may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Clearable {
    Description,
    Brand,
    Category,
    #[value(name = "image_url", alias = "image-url")]
    ImageUrl,
}

impl Clearable {
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::Description => "description",
            Self::Brand => "brand",
            Self::Category => "category",
            Self::ImageUrl => "image_url",
        }
    }
}

impl Target {
    /// Sends the key that was given, else, only to the stack, the stack's own.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let (url, own_key) = match &self.url {
            Some(url) => (url.clone(), None),
            None => (stack::find("GATEWAY_URL", "--url")?, stack::find("API_KEY", "--api-key").ok()),
        };
        let client = Client::new(&url)?;
        match self.api_key.clone().map(|Secret(key)| key).or(own_key) {
            Some(key) => Ok(client.with_key(key.trim())?),
            None => Ok(client),
        }
    }
}

fn timestamp(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| "must be a time as RFC 3339 has it, such as 2026-11-28T12:00:00Z".to_owned())
}

impl Format {
    /// By the name's ending, `.gz` aside.
    pub(crate) fn of_name(path: &std::path::Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        match name.rsplit_once('.')?.1 {
            "csv" => Some(Self::Csv),
            "ndjson" | "jsonl" => Some(Self::Ndjson),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split(' '))
    }

    #[test]
    fn every_command_of_the_readme_is_understood() {
        for line in [
            "freshet import products.csv.gz --url http://127.0.0.1:7080 --json --quiet",
            "freshet import - --format ndjson",
            "freshet export --format csv -o products.csv",
            "freshet --json get 7",
            "freshet get --sku LAMP-1",
            "freshet patch 7 --price 19.99 --currency USD --stock 4 --clear brand --clear image_url",
            "freshet patch 7 --stock-delta -1 --reason sold --if-match 4 --idempotency-key order-1",
            "freshet patch --file prices.csv",
            "freshet patch --file - --format ndjson --dry-run --quiet --reason sale --idempotency-key k --json",
            "freshet watch --nats-url nats://127.0.0.1:4222",
            "freshet history 7 -n 50",
            "freshet revert --product 7 --to-version 3 --dry-run",
            "freshet revert --product 7 --before 2026-11-28T12:00:00+01:00 --stock",
            "freshet revert --bulk 01890a5d-ac96-774b-bcce-b302099a8057 --force",
            "freshet keys create --name feed --scope products:write,products:bulk --expires-at 2027-01-31T00:00:00Z",
            "freshet keys list --json",
            "freshet keys revoke 0123456789ab",
        ] {
            assert!(parse(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_product_is_named_by_id_or_by_sku_and_never_by_both_or_none() {
        for line in ["freshet get", "freshet get 7 --sku LAMP-1", "freshet get 0", "freshet get lamp"] {
            assert_eq!(parse(line).err().map(|error| error.exit_code()), Some(2), "{line}");
        }
    }

    #[test]
    fn what_is_reverted_is_named_in_one_way_and_whole() {
        for line in [
            "freshet revert",
            "freshet revert --product 7",
            "freshet revert --to-version 3",
            "freshet revert --product 7 --to-version 3 --before 2026-11-28T12:00:00Z",
            "freshet revert --product 7 --before yesterday",
            "freshet revert --product 7 --to-version 3 --force",
            "freshet revert --bulk 01890a5d-ac96-774b-bcce-b302099a8057 --to-version 3",
            "freshet revert --bulk 01890a5d-ac96-774b-bcce-b302099a8057 --product 7",
            "freshet revert --bulk 7",
        ] {
            assert_eq!(parse(line).err().map(|error| error.exit_code()), Some(2), "{line}");
        }
    }

    #[test]
    fn a_patch_is_of_one_product_or_of_a_file() {
        for line in [
            "freshet patch",
            "freshet patch 7 --file prices.csv",
            "freshet patch --file prices.csv --price 1",
            "freshet patch --file prices.csv --if-match 1",
            "freshet patch 7 --price 1 --dry-run",
            "freshet patch 7 --stock 1 --stock-delta 1",
        ] {
            assert_eq!(parse(line).err().map(|error| error.exit_code()), Some(2), "{line}");
        }
    }

    #[test]
    fn a_key_that_is_given_is_never_printed() {
        let args = parse("freshet get 7 --api-key freshet_secret").expect("understood");
        assert!(!format!("{args:?}").contains("freshet_secret"), "{args:?}");
    }

    #[test]
    fn the_format_follows_the_name() {
        let of = |name: &str| Format::of_name(Path::new(name));
        assert_eq!(of("a/Products.CSV"), Some(Format::Csv));
        assert_eq!(
            (of("a.csv.gz"), of("a.ndjson.gz"), of("a.jsonl")),
            (Some(Format::Csv), Some(Format::Ndjson), Some(Format::Ndjson))
        );
        assert_eq!((of("a.txt"), of("csv"), of("-")), (None, None, None));
    }
}
