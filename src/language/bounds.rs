//! Bounds on the values of expressions: `[0] * 1000000000` is short to write and would fill any machine's memory.

use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, Value};

/// Maximum number of entries in the value of an expression, nested ones included.
pub(super) const MAX_ENTRIES: usize = 1_000_000;

/// Filters that iterate over all of their argument.
const ITERATING_FILTERS: [&str; 16] = [
    "batch", "chain", "items", "join", "last", "list", "map", "max", "min", "reject", "select", "slice", "sort",
    "string", "sum", "unique",
];

/// Makes filters refuse values that are too long to iterate over; `original` has the same filters without bounds.
pub(super) fn bound(environment: &mut Environment<'static>, original: &'static Environment<'static>) {
    for name in ITERATING_FILTERS {
        environment.add_filter(name, move |_: &State<'_, '_>, arguments: Rest<ValueOrKwargs>| {
            let arguments = arguments.into_values();
            arguments.iter().try_for_each(check)?;
            original.empty_state().apply_filter(name, &arguments)
        });
    }
}

fn check(value: &Value) -> Result<(), Error> {
    let has_entries = matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable | ValueKind::Map);
    let too_many = |length: usize| length > MAX_ENTRIES;
    let too_long = match value.len().filter(|_| has_entries) {
        Some(length) => too_many(length),
        None if has_entries => too_many(value.try_iter()?.take(MAX_ENTRIES + 1).count()),
        None => false,
    };
    match too_long {
        true => Err(Error::new(ErrorKind::InvalidOperation, too_large())),
        false => Ok(()),
    }
}

/// Message about a value with more entries.
pub(super) fn too_large() -> String {
    format!("it makes a value with more than {MAX_ENTRIES} entries")
}
