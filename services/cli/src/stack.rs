//! Finds the running stack that `cargo xtask up` describes in `.stack/urls.env`.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

const URLS_FILE: &str = ".stack/urls.env";

/// The value of `name` in the nearest `.stack/urls.env`, from the current directory upwards.
///
/// # Errors
/// None is found; the text names `flag` as the other way.
pub(crate) fn find(name: &str, flag: &str) -> anyhow::Result<String> {
    let here = std::env::current_dir().context("the current directory cannot be read")?;
    let Some(file) = nearest(&here) else {
        bail!("no running stack is found ({URLS_FILE} here or above); start one with `cargo xtask up`, or pass {flag}");
    };
    let text = std::fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    value(&text, name).with_context(|| format!("{} has no {name}; pass {flag}", file.display()))
}

fn nearest(from: &Path) -> Option<PathBuf> {
    from.ancestors().map(|folder| folder.join(URLS_FILE)).find(|file| file.is_file())
}

fn value(text: &str, name: &str) -> Option<String> {
    text.lines()
        .filter_map(|line| line.trim().split_once('='))
        .find(|(key, value)| *key == name && !value.is_empty())
        .map(|(_, value)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_by_its_whole_name() {
        let text = "# urls\nOLD_GATEWAY_URL=http://a\nGATEWAY_URL=http://b?x=1\nNATS_URL=\n";
        assert_eq!(value(text, "GATEWAY_URL").as_deref(), Some("http://b?x=1"));
        assert_eq!(value(text, "NATS_URL"), None);
    }

    #[test]
    fn the_file_is_found_from_a_folder_below_it() {
        let root = std::env::temp_dir().join(format!("freshet-stack-{}", std::process::id()));
        let below = root.join("a/b");
        std::fs::create_dir_all(&below).expect("a folder");
        std::fs::create_dir_all(root.join(".stack")).expect("a folder");
        std::fs::write(root.join(URLS_FILE), "GATEWAY_URL=http://b\n").expect("a file");
        let found = nearest(&below);
        std::fs::remove_dir_all(&root).expect("removed");
        assert_eq!(found, Some(root.join(URLS_FILE)));
    }
}
