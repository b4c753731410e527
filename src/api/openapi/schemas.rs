//! Schemas of bodies, as `utoipa` derives them from the Rust types.

use serde_json::{Map, Value};
use utoipa::{
    ToSchema,
    openapi::{ArrayBuilder, ObjectBuilder, OneOfBuilder, RefOr, Schema, Type},
};

/// The schemas of the document by name.
#[derive(Debug, Default)]
pub(in crate::api) struct Schemas(Map<String, Value>);

/// The schema of a string or an array of strings.
pub(in crate::api) fn one_or_many() -> RefOr<Schema> {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    OneOfBuilder::new().item(text()).item(ArrayBuilder::new().items(text())).into()
}

impl Schemas {
    /// Adds the schema of a type and those of its parts.
    pub(in crate::api) fn put<T: ToSchema>(&mut self) {
        let mut all = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut all);
        all.into_iter().for_each(|(name, schema)| self.insert(name, &schema));
    }

    /// Adds a schema that is written by hand.
    pub(in crate::api) fn put_written(&mut self, name: &str, schema: Value) {
        let old = self.0.insert(name.to_owned(), schema);
        debug_assert!(old.is_none(), "two schemas are called {name}");
    }

    /// Forbids other keys than those of the contract: strict clients refuse them.
    fn insert(&mut self, name: String, schema: &RefOr<Schema>) {
        let mut schema = serde_json::to_value(schema).expect("it has names for keys");
        if schema.get("properties").is_some() {
            schema["additionalProperties"] = false.into();
        }
        self.0.insert(name, schema);
    }

    pub(super) fn write(self) -> Value {
        Value::Object(self.0)
    }
}
