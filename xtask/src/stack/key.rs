//! The development key: made at the first start, kept for the next ones, and made anew when it is no longer good.

use anyhow::{Context, Result};

use super::Stack;
use crate::servers;

/// As it is listed.
const NAME: &str = "development";
const SCOPES: &str = "products:write,products:bulk,keys:admin";

impl Stack {
    /// A key with every scope; none before the write service has been started once.
    pub fn api_key(&self) -> Option<&str> {
        self.state.api_key.as_deref()
    }

    /// With the write services running.
    pub(super) fn ensure_key(&mut self) -> Result<()> {
        if self.has_good_key()? {
            return Ok(());
        }
        let printed = self.run("freshet-write", &["keys", "create", "--name", NAME, "--scope", SCOPES]);
        let key = printed.context("the development key cannot be made")?;
        self.state.api_key = Some(key.trim().to_owned());
        self.save()
    }

    /// It may have been revoked, or be of a database that was replaced.
    fn has_good_key(&self) -> Result<bool> {
        let Some(key) = self.api_key() else { return Ok(false) };
        let authorization = format!("Authorization: Bearer {key}\r\n");
        let answer = servers::http_get_with(self.state.ports["write-1"], "/keys?limit=1", &authorization)?;
        Ok(answer.status == 200)
    }
}
