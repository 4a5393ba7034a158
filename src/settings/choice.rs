//! Values that are one of a few names.

use crate::language::node::Value;

/// Reads one of a few names.
pub(super) fn choice<T: Copy>(value: &Value, all: &[T], name: impl Fn(T) -> &'static str) -> Result<T, String> {
    let names: Vec<&str> = all.iter().map(|choice| name(*choice)).collect();
    let Value::Text(text) = value else {
        return Err(format!("expected one of {}, not {}", quoted(&names), value.noun()));
    };
    all.iter().copied().find(|choice| name(*choice) == text).ok_or_else(|| {
        let near = crate::language::suggest::nearest(text, names.iter().copied());
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        format!("`{text}` is not one of {}{near}", quoted(&names))
    })
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
