//! How the words of the catalogue stand in an `OpenAPI` 3.1 document.

use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};

/// A string of 1 to `length_max` characters that matches `pattern` (ECMA 262).
pub(crate) fn string(length_max: usize, pattern: &str) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(length_max))
        .pattern(Some(pattern))
        .build()
}

/// The same string, or in its place a number that is not negative.
pub(crate) fn string_or_number(mut string: Object) -> Object {
    string.schema_type = SchemaType::from_iter([Type::String, Type::Number]);
    string.minimum = Some(0.into());
    string
}

/// An integer from `min` to `max`.
pub(crate) fn integer(min: i64, max: i64) -> Object {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(min)).maximum(Some(max)).build()
}

/// Names a type's schema in the document.
macro_rules! documented {
    ($name:ident, $schema:expr) => {
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::schema::Schema::Object($schema).into()
            }
        }

        impl utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
        }
    };
}

pub(crate) use documented;
