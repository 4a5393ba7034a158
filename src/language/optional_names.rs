//! Names in expressions that may be missing: the expression itself asks whether they are there.

use athanor_stages::expression_tree::walk;
use minijinja::machinery::ast::{BinOpKind, Expr};

/// Paths of the names for which there is a default, or about which `is defined` or `'name' in …` asks.
pub(super) fn optional_names(tree: &Expr<'_>) -> Vec<Vec<String>> {
    let mut optional = Vec::new();
    walk(tree, &mut |part| match part {
        Expr::Filter(filter) if matches!(filter.name, "default" | "d") => {
            optional.extend(filter.expr.iter().flat_map(names));
        }
        Expr::Test(test) if matches!(test.name, "defined" | "undefined") => optional.extend(names(&test.expr)),
        Expr::BinOp(operation) if matches!(operation.op, BinOpKind::In) => {
            optional.extend(path(unfiltered(&operation.right)).zip(field(&operation.left)).map(|(mut path, name)| {
                path.push(name);
                path
            }));
        }
        _ => {}
    });
    optional
}

/// The names whose values a part of an expression may have; not those that only lead to it, as an index or a condition does.
fn names(part: &Expr<'_>) -> Vec<Vec<String>> {
    if let Some(path) = path(part) {
        // A name without fields is one of the language's own.
        return if path.len() > 1 { vec![path] } else { Vec::new() };
    }
    match part {
        Expr::Filter(filter) => filter.expr.iter().flat_map(names).collect(),
        Expr::BinOp(operation) if matches!(operation.op, BinOpKind::ScAnd | BinOpKind::ScOr) => {
            [&operation.left, &operation.right].into_iter().flat_map(names).collect()
        }
        Expr::IfExpr(choice) => [&choice.true_expr].into_iter().chain(&choice.false_expr).flat_map(names).collect(),
        _ => Vec::new(),
    }
}

/// The part of an expression that filters are applied to.
fn unfiltered<'t>(part: &'t Expr<'t>) -> &'t Expr<'t> {
    match part {
        Expr::Filter(filter) => filter.expr.as_ref().map_or(part, unfiltered),
        _ => part,
    }
}

/// Whether there are names in an expression that it reads at some times only.
pub(super) fn is_conditional(tree: &Expr<'_>) -> bool {
    let mut found = false;
    walk(tree, &mut |part| {
        found |= match part {
            Expr::IfExpr(_) => true,
            Expr::BinOp(operation) => matches!(operation.op, BinOpKind::ScAnd | BinOpKind::ScOr),
            _ => false,
        }
    });
    found
}

/// The name and the fields of `vars.models[0].arch`.
fn path(part: &Expr<'_>) -> Option<Vec<String>> {
    let (inner, name) = match part {
        Expr::Var(name) => return Some(vec![name.id.to_owned()]),
        Expr::GetAttr(attribute) => (&attribute.expr, attribute.name.to_owned()),
        Expr::GetItem(item) => (&item.expr, field(&item.subscript_expr)?),
        _ => return None,
    };
    let mut path = path(inner)?;
    path.push(name);
    Some(path)
}

/// A field that is written down.
fn field(part: &Expr<'_>) -> Option<String> {
    let Expr::Const(constant) = part else { return None };
    constant.value.as_str().map(str::to_owned).or_else(|| constant.value.as_usize().map(|index| index.to_string()))
}

#[cfg(test)]
mod tests {
    use minijinja::machinery::parse_expr;

    use super::*;

    #[test]
    fn names_are_optional_wherever_the_expression_asks_for_them() {
        let optional = |text: &str| -> Vec<String> {
            optional_names(&parse_expr(text).unwrap()).iter().map(|path| path.join(".")).collect()
        };
        for (text, expected) in [
            ("vars.a or vars.b", &[][..]),
            ("vars.a | default(vars.b)", &["vars.a"]),
            ("(vars.a.x or vars.b[0]) | upper | d(1)", &["vars.a.x", "vars.b.0"]),
            ("vars['a'].b if vars.a.b is not defined else 1", &["vars.a.b"]),
            ("'b' in vars.a and vars.a.b", &["vars.a.b"]),
            ("vars[matrix.x] | default(1)", &[]),
            ("vars.m[vars.k].x | default(1)", &[]),
            ("(vars.a if vars.b else vars.c | replace(vars.d, '')) is defined", &["vars.a", "vars.c"]),
            ("(vars.a and vars.b) | d(1)", &["vars.a", "vars.b"]),
            ("'b' in vars.a | list | sort and vars.a.b", &["vars.a.b"]),
            ("'b' not in vars.a", &["vars.a.b"]),
            ("vars.a is none", &[]),
        ] {
            assert_eq!(optional(text), expected, "{text}");
        }
    }
}
