//! The versions that a change may be made of.

use serde_json::value::RawValue;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::Version;
use crate::fields::integer;

/// Versions in one precondition: more than one is rare already.
const VERSIONS_MAX: usize = 16;

/// A precondition of a change (RFC 9110, section 13.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    Any,
    Versions(Vec<Version>),
}

impl IfMatch {
    /// The most versions that one may name.
    pub const VERSIONS_MAX: usize = VERSIONS_MAX;

    pub fn is_met_by(&self, version: Version) -> bool {
        match self {
            Self::Any => true,
            Self::Versions(versions) => versions.contains(&version),
        }
    }

    /// Reads a version, several of them, or `"*"`.
    pub(crate) fn parse(json: &str) -> Result<Self, String> {
        if json.starts_with('[') {
            let versions: Vec<&RawValue> = serde_json::from_str(json).map_err(|error| error.to_string())?;
            if !(1..=VERSIONS_MAX).contains(&versions.len()) {
                return Err(format!("must name 1 to {VERSIONS_MAX} versions"));
            }
            return versions
                .into_iter()
                .map(|version| integer(version.get()))
                .collect::<Result<_, _>>()
                .map(Self::Versions);
        }
        if serde_json::from_str::<String>(json).is_ok_and(|text| text == "*") {
            return Ok(Self::Any);
        }
        match integer(json) {
            Ok(version) => Ok(Self::Versions(vec![version])),
            Err(_) => Err("must be a version, a list of versions, or \"*\"".to_owned()),
        }
    }
}

impl PartialSchema for IfMatch {
    fn schema() -> RefOr<Schema> {
        let versions =
            ArrayBuilder::new().items(Version::schema()).min_items(Some(1)).max_items(Some(VERSIONS_MAX)).build();
        let any = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["*"])).build();
        Schema::OneOf(OneOfBuilder::new().item(Version::schema()).item(versions).item(any).build()).into()
    }
}

impl ToSchema for IfMatch {
    fn name() -> std::borrow::Cow<'static, str> {
        "IfMatch".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_several_or_any_are_read_and_nothing_else() {
        let versions = |numbers: &[i64]| {
            IfMatch::Versions(numbers.iter().map(|number| (*number).try_into().expect("a version")).collect())
        };
        assert_eq!(IfMatch::parse("42"), Ok(versions(&[42])));
        assert_eq!(IfMatch::parse("[4, 6]"), Ok(versions(&[4, 6])));
        assert_eq!(IfMatch::parse("\"*\""), Ok(IfMatch::Any));
        let many = format!("{:?}", [1; VERSIONS_MAX + 1]);
        for bad in ["[]", "\"42\"", "4.0", "-1", "null", "{}", "[\"4\"]", "[[4]]", &many] {
            assert!(IfMatch::parse(bad).is_err(), "{bad}");
        }
    }
}
