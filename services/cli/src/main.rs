//! `freshet`: the catalogue from the command line.

mod args;
mod bulk;
mod columns;
mod export;
mod failure;
mod get;
mod history;
mod import;
mod keys;
mod output;
mod patch;
mod patch_file;
mod revert;
mod stack;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};

#[tokio::main]
async fn main() -> ExitCode {
    let Args { target, command } = Args::parse();
    let done = match command {
        Command::Import(import) => import::run(&import, &target).await,
        Command::Export(export) => export::run(&export, &target).await,
        Command::Get(get) => get::run(&get, &target).await,
        Command::Patch(patch) => patch::run(&patch, &target).await,
        Command::Watch(watch) => watch::run(&watch, &target).await,
        Command::History(history) => history::run(&history, &target).await,
        Command::Revert(revert) => revert::run(&revert, &target).await,
        Command::Keys(keys) => keys::run(&keys, &target).await,
    };
    done.unwrap_or_else(|error| failure::report(&error))
}
