//! The house rules that a compiler does not know, over every file of the repository.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};

use xtask::repository;

/// Past this a file is two.
const LINES_MAX: usize = 400;

/// Written in two parts, so that this file does not find itself.
const FORBIDDEN: [(&str, &str, &str); 4] = [
    ("#[ign", "ore", "a test runs or goes"),
    ("#[all", "ow(", "use #[expect(lint, reason = \"...\")]"),
    ("TO", "DO", "do it, or open an issue"),
    ("FIX", "ME", "fix it, or open an issue"),
];

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = ["services", "shared", "xtask"].map(repository::file).into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}

/// Names every file in which `fault` finds one.
fn assert_none(fault: impl Fn(&Path, &str) -> Option<String>) {
    let faults: Vec<String> = sources()
        .iter()
        .filter_map(|path| {
            let said = fault(path, &fs::read_to_string(path).unwrap())?;
            Some(format!("{}: {said}", path.strip_prefix(repository::root()).unwrap().display()))
        })
        .collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn every_file_says_what_it_is_in_its_first_line() {
    assert_none(|_, text| (!text.starts_with("//! ")).then(|| "does not begin with `//! `".to_owned()));
}

#[test]
fn no_file_is_longer_than_four_hundred_lines() {
    assert_none(|_, text| {
        let lines = text.lines().count();
        (lines > LINES_MAX).then(|| format!("{lines} lines"))
    });
}

#[test]
fn no_test_waits_for_a_time() {
    let call = ["sle", "ep("].concat();
    assert_none(|path, text| {
        let is_test = path.components().any(|part| part.as_os_str() == "tests");
        (is_test && text.contains(&call)).then(|| format!("calls {call}…): wait for a condition with a deadline"))
    });
}

#[test]
fn nothing_is_put_off_or_silenced() {
    assert_none(|_, text| {
        let (start, end, instead) = FORBIDDEN.iter().find(|(start, end, _)| text.contains(&[*start, *end].concat()))?;
        Some(format!("holds {start}{end}: {instead}"))
    });
}

#[test]
fn the_readme_names_the_command_that_ci_runs() {
    let ci = fs::read_to_string(repository::file(".ci/run")).unwrap();
    let command = ci.lines().last().unwrap();
    assert!(command.starts_with("cargo "), "{command}");

    let readme = fs::read_to_string(repository::file("README.md")).unwrap();

    assert!(readme.contains(command), "README.md does not name `{command}`");
}
