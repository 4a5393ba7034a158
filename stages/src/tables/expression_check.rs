//! Checks of expressions over rows by their syntax tree: names of filters, and comparisons of text with numbers, which are
//! false, or true, whatever the cells hold.

use std::borrow::Cow;

use minijinja::machinery::ast::{BinOpKind, CallArg, CompareOpKind, Expr, UnaryOpKind};
use minijinja::machinery::parse_expr;
use minijinja::value::ValueKind;
use minijinja::{Environment, ErrorKind, Value};

use super::column_type::ColumnType;

/// A mistake in an expression.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// The problem.
    pub(crate) message: String,
    /// Advice for the user.
    pub(crate) help: String,
}

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

/// The first comparison in `text` that mixes numbers and text, where `column` tells the types of columns. With `is_condition` a
/// column of numbers may not stand for true and false: 0 would be false.
pub(crate) fn mistake<'c>(
    text: &str,
    is_condition: bool,
    column: &dyn Fn(&str) -> Option<&'c ColumnType>,
) -> Option<Mistake> {
    let tree = parse_expr(text).ok()?;
    let types = Types { text, column };
    let mut found = if is_condition { types.truth(&tree) } else { None };
    walk(&tree, &mut |part| {
        found = found.take().or_else(|| types.mistake_in(part));
    });
    found
}

/// Calls `see` for `part` and all parts of it.
fn walk<'t>(part: &'t Expr<'t>, see: &mut dyn FnMut(&'t Expr<'t>)) {
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

/// Type of a part of an expression, as far as it is certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Number,
    Text,
    /// A list of text.
    Texts,
    Unknown,
}

/// Types of the parts of an expression.
struct Types<'e, 'c> {
    text: &'e str,
    column: &'e dyn Fn(&str) -> Option<&'c ColumnType>,
}

impl<'c> Types<'_, 'c> {
    /// The column that a part is: `score`, `row.score`, `row["score"]`.
    fn column_of<'t>(&self, part: &'t Expr<'t>) -> Option<(Cow<'t, str>, &'c ColumnType)> {
        let is_row = |part: &Expr<'_>| matches!(part, Expr::Var(name) if name.id == "row");
        let name = match part {
            Expr::Var(name) => Cow::Borrowed(name.id),
            Expr::GetAttr(attribute) if is_row(&attribute.expr) => Cow::Borrowed(attribute.name),
            Expr::GetItem(item) if is_row(&item.expr) => match &item.subscript_expr {
                Expr::Const(name) => Cow::Owned(name.value.as_str()?.to_owned()),
                _ => return None,
            },
            _ => return None,
        };
        let column = (self.column)(&name)?;
        Some((name, column))
    }

    fn of(&self, part: &Expr<'_>) -> Type {
        if let Some((_, column)) = self.column_of(part) {
            return match column {
                ColumnType::Numbers => Type::Number,
                ColumnType::Text { .. } => Type::Text,
            };
        }
        match part {
            Expr::Const(constant) => of_value(&constant.value),
            Expr::UnaryOp(operation) if matches!(operation.op, UnaryOpKind::Neg) => Type::Number,
            Expr::BinOp(operation) => match operation.op {
                BinOpKind::Sub | BinOpKind::Div | BinOpKind::FloorDiv | BinOpKind::Rem | BinOpKind::Pow => Type::Number,
                BinOpKind::Concat => Type::Text,
                BinOpKind::Add if self.of(&operation.left) == self.of(&operation.right) => self.of(&operation.left),
                _ => Type::Unknown,
            },
            Expr::Filter(filter) => match filter.name {
                "float" | "int" | "abs" | "round" | "length" | "count" => Type::Number,
                "string" | "upper" | "lower" | "title" | "capitalize" | "trim" | "replace" | "join" => Type::Text,
                "split" | "lines" => Type::Texts,
                _ => Type::Unknown,
            },
            Expr::IfExpr(choice) => match &choice.false_expr {
                Some(other) if self.of(&choice.true_expr) == self.of(other) => self.of(other),
                _ => Type::Unknown,
            },
            _ => Type::Unknown,
        }
    }

    /// The mistake in one part, without the parts of it.
    fn mistake_in(&self, part: &Expr<'_>) -> Option<Mistake> {
        match part {
            Expr::BinOp(operation) => {
                let (left, right) = (&operation.left, &operation.right);
                match operation.op {
                    BinOpKind::Eq | BinOpKind::Ne => self.compared(left, right, true),
                    BinOpKind::Lt | BinOpKind::Lte | BinOpKind::Gt | BinOpKind::Gte => {
                        self.compared(left, right, false)
                    }
                    BinOpKind::In => self.contained(left, right),
                    BinOpKind::ScAnd | BinOpKind::ScOr => self.truth(left).or_else(|| self.truth(right)),
                    _ => None,
                }
            }
            Expr::Compare(chain) => {
                let lefts = std::iter::once(&chain.expr).chain(chain.ops.iter().map(|operation| &operation.expr));
                lefts.zip(&chain.ops).find_map(|(left, operation)| match operation.op {
                    CompareOpKind::Eq | CompareOpKind::Ne => self.compared(left, &operation.expr, true),
                    CompareOpKind::In | CompareOpKind::NotIn => self.contained(left, &operation.expr),
                    _ => self.compared(left, &operation.expr, false),
                })
            }
            Expr::UnaryOp(operation) if matches!(operation.op, UnaryOpKind::Not) => self.truth(&operation.expr),
            Expr::IfExpr(choice) => self.truth(&choice.test_expr),
            _ => None,
        }
    }

    /// A column of numbers in the place of a condition.
    fn truth(&self, part: &Expr<'_>) -> Option<Mistake> {
        let (name, column) = self.column_of(part)?;
        let word = written(&name);
        (*column == ColumnType::Numbers).then(|| Mistake {
            message: format!("`{}`: the column `{name}` holds numbers, which are neither true nor false", self.text),
            help: format!(
                "Compare them, as in `{word} != 0`, or `{word}|string != \"\"` for cells that are not empty."
            ),
        })
    }

    /// A comparison of a number and a text. To be equal to a text that is no number is no mistake: no number is.
    fn compared(&self, left: &Expr<'_>, right: &Expr<'_>, for_equality: bool) -> Option<Mistake> {
        let (number, text) = match (self.of(left), self.of(right)) {
            (Type::Number, Type::Text) => (left, right),
            (Type::Text, Type::Number) => (right, left),
            _ => return None,
        };
        if let (true, Expr::Const(literal)) = (for_equality, text)
            && literal.value.as_str().is_some_and(|text| text.trim().parse::<f64>().is_err())
        {
            return None;
        }
        Some(self.mixed(number, text))
    }

    /// A search of a number among texts, or of a text among numbers.
    fn contained(&self, item: &Expr<'_>, container: &Expr<'_>) -> Option<Mistake> {
        match container {
            Expr::List(list) => list.items.iter().find_map(|other| self.compared(item, other, true)),
            Expr::Tuple(tuple) => tuple.items.iter().find_map(|other| self.compared(item, other, true)),
            _ => match (self.of(item), self.of(container)) {
                (Type::Number, Type::Text | Type::Texts) => Some(self.mixed(item, container)),
                (_, Type::Number) => {
                    let name = self.column_of(container).map(|(name, _)| name)?;
                    let word = written(&name);
                    Some(Mistake {
                        message: format!(
                            "`{}`: the column `{name}` holds numbers, in which nothing is `in`",
                            self.text
                        ),
                        help: format!("Write `{word}|string` for their digits, or compare them: `{word} == 1`."),
                    })
                }
                _ => None,
            },
        }
    }

    /// The mistake of a comparison of a part that is a number with one that is text.
    fn mixed(&self, number: &Expr<'_>, text: &Expr<'_>) -> Mistake {
        let expression = self.text;
        if let Some((name, ColumnType::Text { cell, line })) = self.column_of(text) {
            let word = written(&name);
            let why = match cell.trim() {
                "" => format!("the cell in row {line} is empty"),
                cell => format!("row {line} has `{cell}`"),
            };
            let help = match cell.trim() {
                "" => format!(
                    "Write `{word} != \"\" and {word}|float > …` for a comparison of the cells that are numbers."
                ),
                _ => format!("Write `{word}|float` if all are numbers, or compare with text in quotes."),
            };
            let message =
                format!("`{expression}` compares the column `{name}`, which holds text ({why}), with a number");
            return Mistake { message, help };
        }
        if let Some((name, _)) = self.column_of(number) {
            let word = written(&name);
            let literal = literal_of(text).filter(|literal| literal.trim().parse::<f64>().is_ok());
            let bare = literal.map_or_else(|| "a number".to_owned(), |literal| format!("`{}`", literal.trim()));
            return Mistake {
                message: format!("`{expression}` compares the column `{name}`, which holds numbers, with text"),
                help: format!("Write {bare} without quotes, or `{word}|string` for the number as text."),
            };
        }
        let columns = [number, text].map(|part| self.column_within(part)).into_iter().flatten();
        let named = columns.last().map_or_else(String::new, |name| format!(" of the column `{name}`"));
        Mistake {
            message: format!("`{expression}` compares a number with text{named}"),
            help: "Write numbers without quotes and text in quotes; `|float` and `|string` make one of the other."
                .to_owned(),
        }
    }

    /// The first column that a part is computed from.
    fn column_within(&self, part: &Expr<'_>) -> Option<String> {
        let mut found = None;
        walk(part, &mut |part| {
            found = found.take().or_else(|| self.column_of(part).map(|(name, _)| name.into_owned()));
        });
        found
    }
}

fn of_value(value: &Value) -> Type {
    match value.kind() {
        ValueKind::Number => Type::Number,
        ValueKind::String => Type::Text,
        _ => Type::Unknown,
    }
}

fn literal_of<'t>(part: &'t Expr<'t>) -> Option<&'t str> {
    match part {
        Expr::Const(constant) => constant.value.as_str(),
        _ => None,
    }
}

/// A column as expressions name it.
fn written(name: &str) -> String {
    let starts = name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
    let is_name = starts && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    if is_name { name.to_owned() } else { format!("row[\"{name}\"]") }
}
