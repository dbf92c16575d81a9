//! What can be typed after `freshet keys`.

use clap::Subcommand;

#[derive(Subcommand, Debug)]
pub(crate) enum Keys {
    /// Make an API key and print it, this once
    Create(CreateKey),
    /// Show what may be told of every key
    List,
    /// Make a key good for nothing, everywhere and for ever
    Revoke(RevokeKey),
}

#[derive(clap::Args, Debug)]
pub(crate) struct CreateKey {
    /// Says whose it is, in the history of products and in logs
    #[arg(long)]
    pub(crate) name: String,
    /// What it allows: products:write, products:bulk, keys:admin; separated by commas, or repeated
    #[arg(long = "scope", required = true, value_name = "SCOPE", value_delimiter = ',')]
    pub(crate) scopes: Vec<String>,
    /// From when on it is good for nothing, such as 2027-01-31T00:00:00Z; without it, it never expires
    #[arg(long, value_name = "TIME")]
    pub(crate) expires_at: Option<String>,
}

#[derive(clap::Args, Debug)]
pub(crate) struct RevokeKey {
    /// As `freshet keys list` shows it
    pub(crate) id: String,
}
