//! Examples: a curl line and an answer of an operation, made from its schemas.

use serde_json::{Map, Value, json};

/// Stands for the server's URL in the page; replaced when the page is served.
pub(super) const SERVER: &str = "http://this-server.invalid";

/// The depth to which nested schemas are filled in.
const DEPTH_MAX: usize = 6;

/// The curl line of an operation.
pub(super) fn curl(document: &Value, path: &str, method: &str, operation: &Value) -> String {
    let method = method.to_uppercase();
    let path = path.split('{').map(|part| match part.split_once('}') {
        Some(("auth_id", rest)) => format!("$ID{rest}"),
        Some((name, rest)) => {
            format!("{}{rest}", plain(&named(name).unwrap_or_else(|| json!("1"))))
        }
        None => part.to_owned(),
    });
    let path = path.collect::<String>();
    let mut line = match &*method {
        "GET" => format!("curl \"{SERVER}{path}\""),
        _ => format!("curl -X {method} \"{SERVER}{path}\""),
    };
    match operation["security"].as_array() {
        None => line += " -u \"$ID:$TOKEN\"",
        Some(open) if open.is_empty() => (),
        Some(_) => line += " -H \"Authorization: Bearer $OPS_TOKEN\"",
    }
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    let body = parameters(document, schema);
    if !body.is_empty() {
        line += &format!(" -H \"Content-Type: application/json\" -d '{}'", Value::Object(body));
    }
    line
}

/// The first successful answer of an operation: its status and its body.
pub(super) fn answer(document: &Value, operation: &Value) -> String {
    let responses = operation["responses"].as_object().into_iter().flatten();
    let mut responses = responses.filter(|(status, _)| status.starts_with('2'));
    let Some((status, response)) = responses.next() else {
        return "HTTP 400: not implemented yet".to_owned();
    };
    let content = response["content"].as_object().and_then(|it| it.iter().next());
    match content {
        Some((kind, content)) if kind == "application/json" => {
            format!("HTTP {status}\n{}", value(document, "", &content["schema"], DEPTH_MAX))
        }
        Some((kind, _)) => format!("HTTP {status}, with {kind}"),
        None => format!("HTTP {status}, without a body"),
    }
}

/// The required parameters of a body; if there are none, its first one.
fn parameters(document: &Value, schema: &Value) -> Map<String, Value> {
    let Some(properties) = schema["properties"].as_object() else { return Map::new() };
    let required: Vec<_> = schema["required"].as_array().into_iter().flatten().collect();
    let is_shown = |name: &&String| match required.is_empty() {
        // Every operation of Plivo's dialect has these.
        true => !name.starts_with("callback_"),
        false => required.iter().any(|it| **it == ***name),
    };
    let shown = properties.keys().filter(is_shown);
    let shown = shown.take(if required.is_empty() { 1 } else { usize::MAX });
    shown.map(|name| (name.clone(), value(document, name, &properties[name], DEPTH_MAX))).collect()
}

/// An example of a schema.
fn value(document: &Value, name: &str, schema: &Value, depth: usize) -> Value {
    let pointer = schema["$ref"].as_str().and_then(|it| it.strip_prefix('#'));
    let target = pointer.and_then(|it| document.pointer(it)).unwrap_or(schema);
    if depth == 0 {
        return Value::Null;
    }
    if let Some(first) =
        [&schema["const"], &schema["enum"][0], &target["const"], &target["enum"][0]]
            .into_iter()
            .find(|it| !it.is_null())
    {
        return first.clone();
    }
    let choices = ["oneOf", "anyOf"].iter().find_map(|it| target[*it].as_array());
    if let Some(choice) = choices.and_then(|it| it.first()) {
        return value(document, name, choice, depth - 1);
    }
    let kind = target["type"].as_str().or_else(|| target["type"][0].as_str()).unwrap_or_default();
    match kind {
        "object" => {
            let properties = target["properties"].as_object().into_iter().flatten();
            let property = |(name, its): (&String, &Value)| {
                // Properties beside a reference narrow those of its target.
                let narrow = schema["properties"].get(name).unwrap_or(its);
                let narrow = if narrow.get("const").is_some() || narrow.get("enum").is_some() {
                    narrow
                } else {
                    its
                };
                (name.clone(), value(document, name, narrow, depth - 1))
            };
            Value::Object(properties.map(property).collect())
        }
        "array" => json!([value(document, name, &target["items"], depth - 1)]),
        "boolean" => target["default"].as_bool().unwrap_or(false).into(),
        "integer" => target["minimum"].as_u64().unwrap_or(1).into(),
        "number" => json!(0.5),
        _ => named(name).unwrap_or_else(|| match target["format"].as_str() {
            Some("uuid") => json!(CALL),
            _ => json!("…"),
        }),
    }
}

const CALL: &str = "b2fd5c1e-3c7b-4a51-9d2a-4b0c5d6e7f80";

/// Values of well-known names.
fn named(name: &str) -> Option<Value> {
    let text = match name {
        "answer_url" | "aleg_url" => "flow:weekly",
        "alias" | "app_name" => "reception",
        "app_id" | "application" | "new_endpoint_application" => "204685991309393",
        "endpoint_id" => "32866729519064",
        "password" => "correct-horse",
        "username" => "anna",
        "api_id" => "0e4b5f9a-6d1c-4f7e-8a2b-1c3d5e7f9a0b",
        "ban_id" | "member_id" => "10",
        "call_uuid" | "calls" | "request_uuid" => CALL,
        "caller_name" => "Anna",
        "conference_member_count" => "1",
        "conference_name" | "conferences" => "weekly",
        "conference_run_time" | "join_time" => "42",
        "digits" => "12#",
        "error" => "conference not found",
        "from" | "from_number" => "14155550100",
        "reason" => "too loud",
        "text" => "Hello.",
        "to" | "to_number" => "sim:anna",
        "total_amount" | "total_rate" => "0.00000",
        "url" | "urls" => "sound:beep",
        _ => return None,
    };
    Some(text.into())
}

fn plain(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_has_a_line_for_curl_and_an_answer() {
        let document = json!({ "components": { "schemas": { "Done": {
            "type": "object",
            "properties": {
                "message": { "type": "string" },
                "api_id": { "type": "string", "format": "uuid" },
                "member_id": { "type": ["string", "array"] },
            },
        } } } });
        let operation = json!({
            "requestBody": { "content": { "application/json": { "schema": {
                "properties": { "url": { "type": "string" }, "loop": { "type": "boolean" } },
                "required": ["url"],
            } } } },
            "responses": {
                "400": {},
                "202": { "content": { "application/json": { "schema": {
                    "$ref": "#/components/schemas/Done",
                    "properties": { "message": { "const": "play started" } },
                } } } },
            },
        });
        let path = "/v1/Account/{auth_id}/Conference/{conference_name}/";
        assert_eq!(
            curl(&document, path, "post", &operation),
            format!(
                "curl -X POST \"{SERVER}/v1/Account/$ID/Conference/weekly/\" -u \"$ID:$TOKEN\" \
                 -H \"Content-Type: application/json\" -d '{{\"url\":\"sound:beep\"}}'"
            )
        );
        assert_eq!(
            answer(&document, &operation),
            "HTTP 202\n{\"message\":\"play started\",\"api_id\":\
             \"0e4b5f9a-6d1c-4f7e-8a2b-1c3d5e7f9a0b\",\"member_id\":\"10\"}"
        );
    }
}
