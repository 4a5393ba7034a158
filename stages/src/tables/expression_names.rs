//! Names in expressions over rows: filters, tests, functions and columns, whether or not a row comes to them.

use std::borrow::Cow;

use crate::expression_tree::{column_name, walk};
use minijinja::machinery::ast::Expr;
use minijinja::machinery::parse_expr;
use minijinja::{Environment, ErrorKind};

/// The first filter, test or function in `text` that does not exist, described.
pub(crate) fn unknown_name(environment: &Environment<'_>, text: &str) -> Option<String> {
    let tree = parse_expr(text).ok()?;
    let mut unknown = None;
    walk(&tree, &mut |part| {
        unknown = unknown.take().or_else(|| unknown_in(environment, part));
    });
    unknown
}

fn unknown_in(environment: &Environment<'_>, part: &Expr<'_>) -> Option<String> {
    match part {
        Expr::Filter(filter) => {
            let error = environment.empty_state().apply_filter(filter.name, &[]).err()?;
            (error.kind() == ErrorKind::UnknownFilter).then(|| format!("there is no filter `{}`", filter.name))
        }
        Expr::Test(test) => {
            let error = environment.empty_state().perform_test(test.name, &[]).err()?;
            (error.kind() == ErrorKind::UnknownTest).then(|| format!("there is no test `{}`", test.name))
        }
        Expr::Call(call) => match &call.expr {
            Expr::Var(name) if environment.globals().all(|(known, _)| known != name.id) => {
                Some(format!("there is no function `{}`", name.id))
            }
            _ => None,
        },
        _ => None,
    }
}

/// The names in `text` that must be columns, in order. A name that is asked for by `is defined`, or has a `default`, need not be one.
pub(crate) fn columns(environment: &Environment<'_>, text: &str) -> Vec<String> {
    let Ok(tree) = parse_expr(text) else { return Vec::new() };
    let (mut needed, mut optional) = (Vec::new(), Vec::new());
    walk(&tree, &mut |part| {
        let asked = match part {
            Expr::Filter(filter) if matches!(filter.name, "default" | "d") => filter.expr.as_ref(),
            Expr::Test(test) if matches!(test.name, "defined" | "undefined") => Some(&test.expr),
            _ => None,
        };
        optional.extend(asked.and_then(column_name));
        needed.extend(column_name(part));
    });
    let known = |name: &str| name == "row" || environment.globals().any(|(global, _)| global == name);
    let must = needed.into_iter().filter(|name| !optional.contains(name) && !known(name));
    must.map(Cow::into_owned).collect()
}
