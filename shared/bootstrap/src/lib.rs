//! What every Freshet service shares around its own work: settings, logs, metrics, problems, health, and a clean end.

mod access;
mod compression;
mod extract;
mod framed;
mod health;
mod layers;
mod limit;
mod nats;
mod openapi;
mod preface;
mod problem;
mod request_id;
mod run;
mod settings;
mod telemetry;

pub use extract::{ApiPath, ApiQuery};
pub use framed::{AtHand, Framed, Head};
pub use health::Health;
pub use layers::public_layers;
pub use nats::NatsSettings;
pub use openapi::{document, with_docs};
pub use problem::{FieldError, PROBLEM_JSON, Problem};
pub use request_id::{RequestContext, current_request_id, in_request, name_actor};
pub use run::{Background, Bound, Endpoints, serve};
pub use settings::{LogFormat, ServeSettings};
pub use telemetry::{init_telemetry, install_metrics};
