//! The `OpenAPI` document of the write service.

use std::collections::BTreeMap;

use bootstrap::{PROBLEM_JSON, Problem};
use catalog::{NewProduct, PatchLine};
use serde_json::Value;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use super::results::{BulkEnd, DoneLine, RefusedLine};
use crate::app::App;

#[derive(OpenApi)]
#[openapi(
    info(title = "Freshet write service", description = "Takes changes of the product catalogue."),
    tags((name = "products", description = "The products of the catalogue")),
    components(schemas(NewProduct, PatchLine, DoneLine, RefusedLine, BulkEnd))
)]
struct Described;

pub(super) fn described() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Described::openapi())
}

/// The document as it is served, printed and committed.
pub fn document() -> Value {
    bootstrap::document(super::routes().get_openapi())
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
                "The database is away or busy, or too many changes are waiting; `Retry-After` says when to try again",
            ),
            ("504", "The service took too long; a change may or may not have been stored"),
        ]
        .into_iter()
        .map(|(status, description)| {
            let schema = Ref::from_schema_name(Problem::name());
            let content = ContentBuilder::new().schema(Some(schema)).build();
            let response = ResponseBuilder::new().description(description).content(PROBLEM_JSON, content).build();
            (status.to_owned(), RefOr::T(response))
        })
        .collect()
    }
}
