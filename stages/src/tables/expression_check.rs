//! Checks of expressions over rows by their syntax tree, for what is false, or true, whatever the cells hold: comparisons of text
//! with numbers or truth values, and text or numbers in the place of a condition.

use std::borrow::Cow;

use minijinja::Value;
use minijinja::machinery::ast::{BinOpKind, CallArg, CompareOpKind, Expr, Test, UnaryOpKind};
use minijinja::machinery::parse_expr;
use minijinja::value::ValueKind;

use super::column_type::ColumnType;
use crate::expression_tree::{column_name, walk};

/// A mistake in an expression.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// The problem.
    pub(crate) message: String,
    /// Advice for the user.
    pub(crate) help: String,
}

/// The first comparison in `text` that mixes numbers, text and truth values, where `column` tells the types of columns. With
/// `is_condition` neither numbers nor text may stand for true and false: 0 would be false, and `False` true.
pub(crate) fn mistake<'c>(
    text: &str,
    is_condition: bool,
    column: &dyn Fn(&str) -> Option<&'c ColumnType>,
) -> Option<Mistake> {
    let tree = parse_expr(text).ok()?;
    let types = Types { text, column };
    let mut found = if is_condition { types.condition(&tree) } else { None };
    walk(&tree, &mut |part| {
        found = found.take().or_else(|| types.mistake_in(part));
    });
    found
}

/// Type of a part of an expression, as far as it is certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Number,
    Text,
    /// A list of text.
    Texts,
    Truth,
    None,
    Unknown,
}

/// Types of the parts of an expression.
struct Types<'e, 'c> {
    text: &'e str,
    column: &'e dyn Fn(&str) -> Option<&'c ColumnType>,
}

impl<'c> Types<'_, 'c> {
    /// The column that a part is.
    fn column_of<'t>(&self, part: &'t Expr<'t>) -> Option<(Cow<'t, str>, &'c ColumnType)> {
        // The name alone is that of the row, though there may be such a column.
        let name = column_name(part).filter(|name| name != "row" || !matches!(part, Expr::Var(_)))?;
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
            Expr::UnaryOp(operation) => match operation.op {
                UnaryOpKind::Neg => Type::Number,
                UnaryOpKind::Not => Type::Truth,
            },
            Expr::Compare(_) | Expr::Test(_) => Type::Truth,
            Expr::BinOp(operation) => match operation.op {
                BinOpKind::Sub | BinOpKind::Div | BinOpKind::FloorDiv | BinOpKind::Rem | BinOpKind::Pow => Type::Number,
                BinOpKind::Concat => Type::Text,
                BinOpKind::Eq | BinOpKind::Ne | BinOpKind::In => Type::Truth,
                BinOpKind::Lt | BinOpKind::Lte | BinOpKind::Gt | BinOpKind::Gte => Type::Truth,
                BinOpKind::Add if self.of(&operation.left) == self.of(&operation.right) => self.of(&operation.left),
                _ => Type::Unknown,
            },
            Expr::Filter(filter) => match filter.name {
                "float" | "int" | "abs" | "round" | "length" | "count" => Type::Number,
                "string" | "upper" | "lower" | "title" | "capitalize" | "trim" | "replace" | "join" => Type::Text,
                "split" | "lines" => Type::Texts,
                "bool" => Type::Truth,
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
                    BinOpKind::ScAnd | BinOpKind::ScOr => self.chosen(left, right),
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
            Expr::UnaryOp(operation) if matches!(operation.op, UnaryOpKind::Not) => self.condition(&operation.expr),
            Expr::IfExpr(choice) => self.condition(&choice.test_expr),
            Expr::Filter(filter) if filter.name == "bool" => {
                filter.expr.as_ref().filter(|part| self.of(part) == Type::Text).and_then(|part| self.condition(part))
            }
            Expr::Test(test) => self.tested(test),
            _ => None,
        }
    }

    /// The mistake of a test, some of which are comparisons.
    fn tested(&self, test: &Test<'_>) -> Option<Mistake> {
        let other = test.args.first().and_then(|argument| match argument {
            CallArg::Pos(other) => Some(other),
            _ => None,
        });
        match (test.name, other) {
            ("true" | "false", _) => self.never(&test.expr, Type::Truth),
            ("none", _) => self.never(&test.expr, Type::None),
            ("eq" | "equalto" | "==" | "ne" | "!=", Some(other)) => self.compared(&test.expr, other, true),
            ("lt" | "lessthan" | "<" | "le" | "<=" | "gt" | "greaterthan" | ">" | "ge" | ">=", Some(other)) => {
                self.compared(&test.expr, other, false)
            }
            ("in", Some(other)) => self.contained(&test.expr, other),
            _ => None,
        }
    }

    /// The mistake of the row itself in the place of one of its cells: it is neither larger than anything nor false.
    fn whole_row(&self, part: &Expr<'_>) -> Option<Mistake> {
        let is_row = matches!(part, Expr::Var(name) if name.id == "row");
        let cell = (self.column)("row").map_or("a name", |_| "row");
        is_row.then(|| Mistake {
            message: format!("`{}`: `row` is the whole row, and not one of its cells", self.text),
            help: format!("Name the column: `row[\"{cell}\"]`."),
        })
    }

    /// Numbers or text in the place of a condition.
    fn condition(&self, part: &Expr<'_>) -> Option<Mistake> {
        match part {
            Expr::BinOp(operation) if matches!(operation.op, BinOpKind::ScAnd | BinOpKind::ScOr) => {
                return self.condition(&operation.left).or_else(|| self.condition(&operation.right));
            }
            Expr::IfExpr(choice) => {
                let other = || choice.false_expr.as_ref().and_then(|other| self.condition(other));
                return self.condition(&choice.true_expr).or_else(other);
            }
            _ => {}
        }
        if let Some(mistake) = self.whole_row(part).or_else(|| self.numbers(part)) {
            return Some(mistake);
        }
        let expression = self.text;
        match (self.column_of(part), self.of(part)) {
            (Some((name, column)), Type::Text) => Some(self.text_column(&name, column)),
            (None, Type::Text | Type::Number) if matches!(part, Expr::Const(_)) => Some(Mistake {
                message: format!("`{expression}`: a text or number stands by itself in the place of a condition"),
                help: "Write the comparison out, as in `x == 1 or x == 2`, or `x in [1, 2]`.".to_owned(),
            }),
            (None, Type::Text) => Some(Mistake {
                message: format!("`{expression}`: text stands in the place of a condition"),
                help: "Compare it, as in `… == \"x\"`, or `… != \"\"` for what is not empty.".to_owned(),
            }),
            _ => None,
        }
    }

    /// A mistake of `and` or `or`, which give one of two values: of text what is not empty, as in `note or "none"`.
    fn chosen(&self, left: &Expr<'_>, right: &Expr<'_>) -> Option<Mistake> {
        let truths = || match self.column_of(left)? {
            (name, column @ ColumnType::Text { truth: Some(_), .. }) => Some(self.text_column(&name, column)),
            _ => None,
        };
        self.numbers(left).or_else(|| self.numbers(right)).or_else(truths)
    }

    /// A column of numbers in the place of a condition.
    fn numbers(&self, part: &Expr<'_>) -> Option<Mistake> {
        let (name, column) = self.column_of(part)?;
        let word = written(&name);
        (*column == ColumnType::Numbers).then(|| Mistake {
            message: format!("`{}`: the column `{name}` holds numbers, which are neither true nor false", self.text),
            help: format!(
                "Compare them, as in `{word} != 0`, or `{word}|string != \"\"` for cells that are not empty."
            ),
        })
    }

    /// The mistake of a column of text in the place of a truth value.
    fn text_column(&self, name: &str, column: &ColumnType) -> Mistake {
        let word = written(name);
        let ColumnType::Text { truth: Some(truth), .. } = column else {
            return Mistake {
                message: format!("`{}`: the column `{name}` holds text, which is neither true nor false", self.text),
                help: format!("Compare it, as in `{word} == \"x\"`, or `{word} != \"\"` for cells that are not empty."),
            };
        };
        Mistake {
            message: format!(
                "`{}`: the column `{name}` holds text such as `{truth}`, and any text counts as true",
                self.text
            ),
            help: format!("Compare it with text: `{word} == \"{truth}\"`, or `{word} != \"{truth}\"` for the others."),
        }
    }

    /// The mistake of a question whether a part is a truth value or none, if it is certain to be neither.
    fn never(&self, part: &Expr<'_>, other: Type) -> Option<Mistake> {
        let of_part = self.of(part);
        if !matches!(of_part, Type::Number | Type::Text | Type::Texts) {
            return None;
        }
        let expression = self.text;
        let column = self.column_of(part);
        let word = column.as_ref().map_or("…".into(), |(name, _)| Cow::Owned(written(name)));
        let holds = column.as_ref().map_or_else(|| "a cell".to_owned(), |(name, _)| format!("the column `{name}`"));
        if other == Type::None {
            return Some(Mistake {
                message: format!("`{expression}`: {holds} holds text or numbers, and never none"),
                help: format!("An empty cell is an empty text: `{word} == \"\"`."),
            });
        }
        Some(match column {
            Some((name, column @ ColumnType::Text { truth: Some(_), .. })) => self.text_column(&name, column),
            _ => Mistake {
                message: format!("`{expression}`: {holds} holds text or numbers, which are no truth values"),
                help: "Compare it with text in quotes, or with a number.".to_owned(),
            },
        })
    }

    /// A comparison of a number and a text. To be equal to a text that is no number is no mistake: no number is.
    fn compared(&self, left: &Expr<'_>, right: &Expr<'_>, for_equality: bool) -> Option<Mistake> {
        if let Some(mistake) = self.whole_row(left).or_else(|| self.whole_row(right)) {
            return Some(mistake);
        }
        let (number, text) = match (self.of(left), self.of(right)) {
            (Type::Number, Type::Text) => (left, right),
            (Type::Text, Type::Number) => (right, left),
            // 0 and 1 do equal false and true.
            (Type::Text, Type::Truth) | (_, Type::None) => return self.never(left, self.of(right)),
            (Type::Truth, Type::Text) | (Type::None, _) => return self.never(right, self.of(left)),
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
        if let Some((name, ColumnType::Text { cell, line, .. })) = self.column_of(text) {
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
        ValueKind::Bool => Type::Truth,
        ValueKind::None => Type::None,
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
    let is_name = starts && name != "row" && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    if is_name { name.to_owned() } else { format!("row[\"{name}\"]") }
}
