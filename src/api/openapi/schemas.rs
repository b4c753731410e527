//! The schemas of bodies, as `utoipa` derives them from the types that are written.

use serde_json::{Map, Value};
use utoipa::{
    ToSchema,
    openapi::{ArrayBuilder, ObjectBuilder, OneOfBuilder, RefOr, Schema, Type},
};

/// Schemas by their names.
#[derive(Debug, Default)]
pub(in crate::api) struct Schemas(Map<String, Value>);

/// One text, or a list of them.
pub(in crate::api) fn one_or_many() -> RefOr<Schema> {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    OneOfBuilder::new().item(text()).item(ArrayBuilder::new().items(text())).into()
}

impl Schemas {
    /// Takes in a type, and those that it is made of.
    pub(in crate::api) fn put<T: ToSchema>(&mut self) {
        let mut all = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut all);
        all.into_iter().for_each(|(name, schema)| self.insert(name, &schema));
    }

    /// Takes in one that is written out.
    pub(in crate::api) fn put_written(&mut self, name: &str, schema: Value) {
        let old = self.0.insert(name.to_owned(), schema);
        debug_assert!(old.is_none(), "two schemas are called {name}");
    }

    /// Bodies have the keys of the contract, and no others: strict clients refuse them.
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
