//! The `OpenAPI` document of the write service.

use std::collections::BTreeMap;

use bootstrap::{PROBLEM_JSON, Problem};
use catalog::{NewProduct, PatchLine};
use serde_json::Value;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, Modify, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use super::results::{BulkEnd, DoneLine, RefusedLine};
use crate::app::App;
use crate::keys::Scope;

#[derive(OpenApi)]
#[openapi(
    info(title = "Freshet write service", description = "Takes changes of the product catalogue."),
    tags(
        (name = "products", description = "The products of the catalogue"),
        (name = "keys", description = "The API keys that writing needs"),
    ),
    components(schemas(NewProduct, PatchLine, DoneLine, RefusedLine, BulkEnd)),
    modifiers(&KeyScheme)
)]
struct Described;

pub(super) fn described() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Described::openapi())
}

/// The document as it is served, printed and committed.
pub fn document() -> Value {
    bootstrap::document(super::routes().get_openapi())
}

/// How a key is sent; operations name it `key`.
struct KeyScheme;

impl Modify for KeyScheme {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scopes = Scope::ALL.map(|scope| format!("`{scope}`")).join(", ");
        let description =
            format!("An API key, made with `POST /keys` or `freshet keys create`; its scopes are of {scopes}");
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description)).build();
        document.components.get_or_insert_default().add_security_scheme("key", SecurityScheme::Http(bearer));
    }
}

/// What every operation answers to a key that does not let the request in.
pub(super) struct KeyProblems;

impl IntoResponses for KeyProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let challenge = HeaderBuilder::new().description(Some("`Bearer`")).build();
        let no_key = problem("There is no key, or none that is valid").header("WWW-Authenticate", challenge).build();
        let no_scope = problem("The key lacks the scope that is named").build();
        [("401", no_key), ("403", no_scope)].map(|(status, answer)| (status.to_owned(), RefOr::T(answer))).into()
    }
}

/// What every operation may answer when it is not the client's doing.
pub(super) struct ServerProblems;

impl IntoResponses for ServerProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        [
            ("500", "The service failed"),
            ("429", "This address asks too often; `Retry-After` says when to try again"),
            (
                "503",
                "The database is away or busy, or too many changes are under way; `Retry-After` says when to try again",
            ),
            ("504", "The service took too long; a change may or may not have been stored"),
        ]
        .into_iter()
        .map(|(status, description)| (status.to_owned(), RefOr::T(problem(description).build())))
        .collect()
    }
}

fn problem(description: &str) -> ResponseBuilder {
    let schema = Ref::from_schema_name(Problem::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(description).content(PROBLEM_JSON, content)
}
