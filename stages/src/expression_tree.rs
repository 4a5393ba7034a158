//! Syntax trees of expressions, over rows and in pipelines.

use std::borrow::Cow;

use minijinja::machinery::ast::{CallArg, Expr};

/// Calls `see` for `part` and all parts of it.
pub fn walk<'t>(part: &'t Expr<'t>, see: &mut dyn FnMut(&'t Expr<'t>)) {
    see(part);
    let mut all: Vec<&Expr<'_>> = Vec::new();
    let mut arguments: &[CallArg<'_>] = &[];
    match part {
        Expr::Var(_) | Expr::Const(_) => {}
        Expr::Slice(slice) => {
            all.push(&slice.expr);
            all.extend([&slice.start, &slice.stop, &slice.step].into_iter().flatten());
        }
        Expr::UnaryOp(operation) => all.push(&operation.expr),
        Expr::BinOp(operation) => all.extend([&operation.left, &operation.right]),
        Expr::Compare(chain) => {
            all.push(&chain.expr);
            all.extend(chain.ops.iter().map(|operation| &operation.expr));
        }
        Expr::IfExpr(choice) => {
            all.extend([&choice.test_expr, &choice.true_expr]);
            all.extend(&choice.false_expr);
        }
        Expr::Filter(filter) => {
            all.extend(&filter.expr);
            arguments = &filter.args;
        }
        Expr::Test(test) => {
            all.push(&test.expr);
            arguments = &test.args;
        }
        Expr::GetAttr(attribute) => all.push(&attribute.expr),
        Expr::GetItem(item) => all.extend([&item.expr, &item.subscript_expr]),
        Expr::Call(call) => {
            all.push(&call.expr);
            arguments = &call.args;
        }
        Expr::List(list) => all.extend(&list.items),
        Expr::Tuple(tuple) => all.extend(&tuple.items),
        Expr::Map(map) => all.extend(map.keys.iter().chain(&map.values)),
    }
    all.extend(arguments.iter().map(|argument| match argument {
        CallArg::Pos(value) | CallArg::Kwarg(_, value) | CallArg::PosSplat(value) | CallArg::KwargSplat(value) => value,
    }));
    all.into_iter().for_each(|part| walk(part, see));
}

/// The name of the column that a part would be: `score`, `row.score`, `row["score"]`.
pub(crate) fn column_name<'t>(part: &'t Expr<'t>) -> Option<Cow<'t, str>> {
    let is_row = |part: &Expr<'_>| matches!(part, Expr::Var(name) if name.id == "row");
    match part {
        Expr::Var(name) => Some(Cow::Borrowed(name.id)),
        Expr::GetAttr(attribute) if is_row(&attribute.expr) => Some(Cow::Borrowed(attribute.name)),
        Expr::GetItem(item) if is_row(&item.expr) => match &item.subscript_expr {
            Expr::Const(name) => Some(Cow::Owned(name.value.as_str()?.to_owned())),
            _ => None,
        },
        _ => None,
    }
}
