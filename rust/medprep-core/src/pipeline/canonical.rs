//! Canonical JSON: the one text of a value, the same from Rust and Python.

use serde::Serialize;
use serde_json::Value;

/// Canonical JSON of a value without maps of foreign keys: keys sorted, no spaces.
pub(super) fn to_string(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).expect("a specification is plain data");
    let mut text = String::new();
    write(&value, &mut text);
    text
}

/// Sorts explicitly: `serde_json` keeps insertion order when any crate asks for `preserve_order`.
fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            text.push('{');
            for (place, (key, value)) in entries.into_iter().enumerate() {
                separate(place, text);
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write(value, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (place, item) in items.iter().enumerate() {
                separate(place, text);
                write(item, text);
            }
            text.push(']');
        }
        leaf => text.push_str(&leaf.to_string()),
    }
}

fn separate(place: usize, text: &mut String) {
    if place > 0 {
        text.push(',');
    }
}
