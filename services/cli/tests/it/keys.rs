//! `freshet keys`, and which key is sent where, against a stand-in of the write service.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Output;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{serving, text};

const KEY: &str = "freshet_0123456789ab_own";

/// Lets in whoever brings the key.
fn refusal(headers: &HeaderMap) -> Option<Response> {
    let is_good = headers.get(header::AUTHORIZATION).is_some_and(|sent| sent == &format!("Bearer {KEY}"));
    let problem = json!({"title": "Unauthorized", "status": 401, "detail": "a valid API key is needed"});
    (!is_good).then(|| (StatusCode::UNAUTHORIZED, Json(problem)).into_response())
}

async fn create(headers: HeaderMap, Json(new): Json<Value>) -> Response {
    assert_eq!(new, json!({"name": "feed", "scopes": ["products:write", "keys:admin"], "expires_at": null}));
    refusal(&headers).unwrap_or_else(|| {
        (StatusCode::CREATED, Json(json!({"id": "ba9876543210", "name": "feed", "key": "freshet_new"}))).into_response()
    })
}

/// Two pages of one key each.
async fn list(headers: HeaderMap, uri: axum::http::Uri) -> Response {
    let is_last = uri.query().unwrap().contains("cursor=");
    let key = json!({"id": if is_last { "000000000001" } else { "000000000002" }, "name": "feed", "revoked_at": null,
        "scopes": ["products:write", "products:bulk"]});
    let cursor = if is_last { Value::Null } else { "000000000002".into() };
    refusal(&headers).unwrap_or_else(|| Json(json!({"items": [key], "next_cursor": cursor})).into_response())
}

async fn revoke(headers: HeaderMap) -> Response {
    refusal(&headers).unwrap_or_else(|| StatusCode::NO_CONTENT.into_response())
}

async fn service() -> SocketAddr {
    serving(Router::new().route("/keys", get(list).post(create)).route("/keys/{id}", delete(revoke))).await
}

/// A folder with the description of a running stack, removed when dropped.
struct Stack(PathBuf);

impl Stack {
    fn at(address: SocketAddr, name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("freshet-keys-{}-{name}", std::process::id()));
        std::fs::create_dir_all(folder.join(".stack")).unwrap();
        let lines = format!("GATEWAY_URL=http://{address}\nAPI_KEY={KEY}\n");
        std::fs::write(folder.join(".stack/urls.env"), lines).unwrap();
        Self(folder)
    }

    async fn freshet(&self, arguments: &[&str]) -> Output {
        let mut freshet = Command::new(env!("CARGO_BIN_EXE_freshet"));
        freshet.args(arguments).current_dir(&self.0).env_remove("FRESHET_API_KEY").output().await.unwrap()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[tokio::test]
async fn keys_are_made_listed_and_revoked_with_the_key_of_the_stack() {
    let stack = Stack::at(service().await, "own");
    let create = ["keys", "create", "--name", "feed", "--scope", "products:write,keys:admin"];
    let created = stack.freshet(&create).await;
    assert_eq!(text(&created.stdout), "freshet_new\n", "{}", text(&created.stderr));
    assert!(text(&created.stderr).contains("ba9876543210") && !text(&created.stderr).contains("freshet_new"));

    let listed = text(&stack.freshet(&["keys", "list"]).await.stdout);
    for shown in ["000000000001", "000000000002", "products:write products:bulk", "last used at"] {
        assert!(listed.contains(shown), "{listed}");
    }
    let json: Value = serde_json::from_slice(&stack.freshet(&["keys", "list", "--json"]).await.stdout).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 2);

    let revoked = stack.freshet(&["keys", "revoke", "ba9876543210"]).await;
    assert!(revoked.status.success(), "{}", text(&revoked.stderr));
}

#[tokio::test]
async fn the_key_of_the_stack_goes_nowhere_else_and_none_is_ever_printed() {
    let address = service().await;
    let (stack, url) = (Stack::at(address, "elsewhere"), format!("http://{address}"));
    let refused = stack.freshet(&["keys", "list", "--url", &url]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("--api-key"), "{}", text(&refused.stderr));

    let let_in = stack.freshet(&["keys", "list", "--url", &url, "--api-key", KEY]).await;
    assert!(let_in.status.success(), "{}", text(&let_in.stderr));
    let wrong = stack.freshet(&["keys", "list", "--api-key", "freshet_wrong"]).await;
    let odd = stack.freshet(&["keys", "list", "--api-key", "freshet_wrong\n\u{7f}x"]).await;
    let mut help = Command::new(env!("CARGO_BIN_EXE_freshet"));
    let help = help.args(["keys", "create", "--help"]).env("FRESHET_API_KEY", KEY).output().await.unwrap();
    for output in [refused, let_in, wrong, odd, help] {
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(!said.contains(KEY) && !said.contains("freshet_wrong"), "{said}");
    }
}
