//! Expressions `${{ … }}`: templates that are compiled once and evaluated at every matrix point.

use minijinja::machinery::parse_expr;
use minijinja::{Environment, ErrorKind, Expression};

use super::bounds;
use super::diagnostic::Diagnostic;
use super::listing::{self, Listings};
use super::node::{Entry, Key, Node, Value};
use super::optional_names::{self, optional_names};
use super::printing;
use super::scan::{self, Chain, Piece};
use super::scope::{FIELDS, Scope, UnsupportedValue, from_engine_value};
use super::span::{SourceText, Span};
use super::suggest;

/// Maximum length of an expression, in bytes. The engine parses consecutive operators, as in `not not not x`, recursively.
const LONGEST: usize = 2_000;

/// Compiler of expressions.
pub struct Engine {
    environment: Environment<'static>,
}

/// A tree of YAML with the expressions in it compiled.
pub struct Template<'e> {
    /// Span of the source.
    pub span: Span,
    shape: Shape<'e>,
}

enum Shape<'e> {
    /// Value without expressions.
    Constant(Value),
    /// Single expression, which keeps its type.
    Whole(Compiled<'e>),
    /// Text with expressions in it.
    Text(Vec<Part<'e>>),
    List(Vec<Template<'e>>),
    Map(Vec<(Key, Template<'e>)>),
}

/// A part of a text.
enum Part<'e> {
    /// Plain text.
    Text(String),
    /// An expression.
    Expression(Compiled<'e>),
    /// An expression that cannot be read, which was reported.
    Failed,
}

/// A compiled expression.
pub struct Compiled<'e> {
    /// As written, without brackets.
    pub source: String,
    /// Where, with brackets.
    pub span: Span,
    /// Names in it.
    pub chains: Vec<Chain>,
    /// Whether some of them are read at times only, as in `a or b`.
    is_conditional: bool,
    expression: Expression<'e, 'static>,
}

impl Default for Engine {
    fn default() -> Self {
        Engine::new()
    }
}

impl Engine {
    /// An engine with its built-in filters and functions, which do not depend on the machine.
    pub fn new() -> Self {
        Engine::with_listings(&Listings::default())
    }

    /// As [`Engine::new`], where `files()` finds these lists of files.
    pub(crate) fn with_listings(listings: &Listings) -> Self {
        let mut environment = printing::environment();
        environment.set_debug(true);
        bounds::bound(&mut environment, &printing::FILTERS);
        listing::provide(&mut environment, listings);
        Engine { environment }
    }

    /// Compiles all expressions of `node`, in which the names `scope` may be used; `texts` are what spans count in.
    pub fn template<'e>(
        &'e self,
        node: &Node,
        texts: &[SourceText],
        scope: &[&str],
        problems: &mut Vec<Diagnostic>,
    ) -> Template<'e> {
        let span = node.span;
        let shape = match &node.value {
            Value::Text(value) if value.contains("${{") => self.scalar(value, span, texts, scope, problems),
            Value::List(items) => {
                let items: Vec<_> = items.iter().map(|item| self.template(item, texts, scope, problems)).collect();
                if items.iter().all(Template::is_constant) {
                    Shape::Constant(node.value.clone())
                } else {
                    Shape::List(items)
                }
            }
            Value::Map(entries) => {
                let compile = |entry: &Entry| (entry.key.clone(), self.template(&entry.value, texts, scope, problems));
                let entries: Vec<_> = entries.iter().map(compile).collect();
                let constant = entries.iter().all(|(_, value)| value.is_constant());
                if constant { Shape::Constant(node.value.clone()) } else { Shape::Map(entries) }
            }
            _ => Shape::Constant(node.value.clone()),
        };
        Template { span, shape }
    }

    fn scalar<'e>(
        &'e self,
        value: &str,
        span: Span,
        texts: &[SourceText],
        scope: &[&str],
        problems: &mut Vec<Diagnostic>,
    ) -> Shape<'e> {
        let raw = texts.get(span.source as usize).and_then(|text| text.text.get(span.range())).unwrap_or_default();
        let Ok(pieces) = scan::pieces(value) else {
            let open = raw.rfind("${{").map_or(span, |at| span.part(at..at + 3));
            let help = "close it with `}}`, or write `$${{` for these three characters themselves";
            problems.push(Diagnostic::new(open, "`${{` without its `}}`").help(help));
            return Shape::Text(vec![Part::Failed]);
        };
        let mut spans = expression_spans(&pieces, raw, span).into_iter();
        let mut parts = Vec::new();
        for piece in &pieces {
            match piece {
                Piece::Text(text) => parts.push(Part::Text(text.clone())),
                Piece::Expression { inner, .. } => {
                    let span = spans.next().unwrap_or(span);
                    match self.compile(&value[inner.clone()], span, scope) {
                        Ok(compiled) => parts.push(Part::Expression(compiled)),
                        Err(problem) => {
                            problems.push(*problem);
                            parts.push(Part::Failed);
                        }
                    }
                }
            }
        }
        if parts.iter().all(|part| matches!(part, Part::Text(_))) {
            let text = parts.into_iter().filter_map(|part| if let Part::Text(text) = part { Some(text) } else { None });
            return Shape::Constant(Value::Text(text.collect()));
        }
        match <[Part<'e>; 1]>::try_from(parts) {
            Ok([Part::Expression(compiled)]) => Shape::Whole(compiled),
            Ok(only) => Shape::Text(only.into()),
            Err(parts) => Shape::Text(parts),
        }
    }

    fn compile<'e>(&'e self, source: &str, span: Span, scope: &[&str]) -> Result<Compiled<'e>, Box<Diagnostic>> {
        if source.len() > LONGEST {
            let message = format!("this expression is longer than {LONGEST} bytes");
            let help = "put parts of it into `vars`, and name them here";
            return Err(Box::new(Diagnostic::new(span, message).help(help)));
        }
        if source.is_empty() {
            return Err(Box::new(Diagnostic::new(span, "an expression is missing between `${{` and `}}`")));
        }
        let mut chains = scan::chains(source);
        let mut rewritten = source.to_owned();
        for chain in &chains {
            if chain.path[0] == "matrix" && chain.reads_fields() {
                let start = chain.range.start;
                rewritten.replace_range(start..start + FIELDS.len(), FIELDS);
            }
        }
        let mut is_conditional = false;
        // What cannot be read is told below.
        if let Ok(tree) = parse_expr(source) {
            rewritten = printing::with_texts_joined(&rewritten, &tree);
            is_conditional = optional_names::is_conditional(&tree);
            let optional = optional_names(&tree);
            for chain in &mut chains {
                let beginnings = optional.iter().filter(|path| chain.path.starts_with(path));
                chain.optional = beginnings.map(Vec::len).max().unwrap_or_default();
            }
        }
        let expression = self.environment.compile_expression_owned(rewritten).map_err(|error| {
            let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
            Box::new(Diagnostic::new(span, format!("this expression cannot be read: {detail}")))
        })?;
        let mut unknown: Vec<String> = expression
            .undeclared_variables(false)
            .into_iter()
            .filter(|name| name != FIELDS && !scope.contains(&name.as_str()))
            .filter(|name| !self.environment.globals().any(|(global, _)| global == name.as_str()))
            .collect();
        unknown.sort();
        if let Some(name) = unknown.first() {
            let here = about_name(name, scope);
            return Err(Box::new(Diagnostic::new(span, format!("unknown name `{name}`")).maybe_help(here)));
        }
        Ok(Compiled { source: source.to_owned(), span, chains, is_conditional, expression })
    }
}

/// Remedy for a name that is not among those of `scope`.
fn about_name(name: &str, scope: &[&str]) -> Option<String> {
    const ENVIRONMENT: &str = "the script reads a variable of the environment itself, as `$NAME`; `env` sets one, and `env_passthrough` lets \
                               one of yours through";
    if name == "env" {
        return Some(ENVIRONMENT.to_owned());
    }
    let help = suggest::help(name, scope.iter().copied(), "names that can be used here")?;
    let is_listing = suggest::nearest(name, scope.iter().copied()).is_none();
    Some(if is_listing && scope.contains(&"vars") { help + "; a variable is read as `vars.NAME`" } else { help })
}

/// A text without the expressions in it, of which each is a line's end.
pub(crate) fn without_expressions(text: &str) -> String {
    let pieces = scan::pieces(text).unwrap_or_default();
    let plain = pieces.into_iter().map(|piece| match piece {
        Piece::Text(text) => text,
        Piece::Expression { .. } => "\n".to_owned(),
    });
    plain.collect()
}

/// Spans of the expressions among `pieces` in the text as written; the whole scalar where quoting hides them.
fn expression_spans(pieces: &[Piece], raw: &str, span: Span) -> Vec<Span> {
    let outer = |piece: &Piece| if let Piece::Expression { outer, .. } = piece { Some(outer.clone()) } else { None };
    let count = pieces.iter().filter_map(outer).count();
    let written: Vec<_> = scan::pieces(raw).map(|pieces| pieces.iter().filter_map(outer).collect()).unwrap_or_default();
    if written.len() == count { written.into_iter().map(|range| span.part(range)).collect() } else { vec![span; count] }
}

impl<'e> Template<'e> {
    /// Whether there is no expression in it.
    pub fn is_constant(&self) -> bool {
        matches!(self.shape, Shape::Constant(_))
    }

    /// Its text at a matrix point, where `render` says how values are written; `None` for lists and mappings.
    pub fn interpolate(
        &self,
        scope: &Scope,
        problems: &mut Vec<Diagnostic>,
        render: &mut Render<'_>,
    ) -> Option<String> {
        match &self.shape {
            Shape::Text(parts) => interpolate(parts, scope, problems, render),
            Shape::Whole(compiled) => expression_text(compiled, Around::default(), scope, problems, render),
            Shape::Constant(value) => value.scalar_text(),
            Shape::List(_) | Shape::Map(_) => None,
        }
    }

    /// The keys of a mapping, which are known without evaluating anything.
    pub fn keys(&self) -> Vec<&Key> {
        match &self.shape {
            Shape::Map(entries) => entries.iter().map(|(key, _)| key).collect(),
            Shape::Constant(Value::Map(entries)) => entries.iter().map(|entry| &entry.key).collect(),
            _ => Vec::new(),
        }
    }

    /// Calls `visit` for every expression in it.
    pub fn visit<'t>(&'t self, visit: &mut dyn FnMut(&'t Compiled<'e>)) {
        match &self.shape {
            Shape::Constant(_) => {}
            Shape::Whole(compiled) => visit(compiled),
            Shape::Text(parts) => {
                for part in parts {
                    if let Part::Expression(compiled) = part {
                        visit(compiled);
                    }
                }
            }
            Shape::List(items) => items.iter().for_each(|item| item.visit(visit)),
            Shape::Map(entries) => entries.iter().for_each(|(_, value)| value.visit(visit)),
        }
    }

    /// The value at a matrix point.
    pub fn evaluate(&self, scope: &Scope, problems: &mut Vec<Diagnostic>) -> Option<Node> {
        let span = self.span;
        let value = match &self.shape {
            Shape::Constant(value) => value.clone(),
            Shape::Whole(compiled) => return compiled.evaluate(scope, span, problems),
            Shape::Text(parts) => Value::Text(interpolate(parts, scope, problems, &mut plain)?),
            Shape::List(items) => {
                let items: Vec<_> = items.iter().map(|item| item.evaluate(scope, problems)).collect();
                Value::List(items.into_iter().collect::<Option<_>>()?)
            }
            Shape::Map(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|(key, value)| Some(Entry { key: key.clone(), value: value.evaluate(scope, problems)? }))
                    .collect();
                Value::Map(entries.into_iter().collect::<Option<_>>()?)
            }
        };
        Some(Node { value, span })
    }
}

/// Formatter of an expression's value in a text.
pub type Render<'r> = dyn FnMut(&Node, &Compiled<'_>, Around<'_>) -> Result<String, Box<Diagnostic>> + 'r;

/// Text around an expression.
#[derive(Debug, Clone, Copy, Default)]
pub struct Around<'t> {
    /// All that stands before it, with the values of other expressions.
    pub before: &'t str,
    /// Text behind it, up to the next expression.
    pub after: &'t str,
}

fn interpolate(
    parts: &[Part<'_>],
    scope: &Scope,
    problems: &mut Vec<Diagnostic>,
    render: &mut Render<'_>,
) -> Option<String> {
    let mut text = String::new();
    let mut complete = true;
    for (at, part) in parts.iter().enumerate() {
        let piece = match part {
            Part::Text(plain) => Some(plain.clone()),
            Part::Failed => None,
            Part::Expression(compiled) => {
                let after = match parts.get(at + 1) {
                    Some(Part::Text(after)) => after.as_str(),
                    _ => "",
                };
                expression_text(compiled, Around { before: &text, after }, scope, problems, render)
            }
        };
        complete &= piece.is_some();
        text += &piece.unwrap_or_default();
    }
    complete.then_some(text)
}

fn expression_text(
    compiled: &Compiled<'_>,
    around: Around<'_>,
    scope: &Scope,
    problems: &mut Vec<Diagnostic>,
    render: &mut Render<'_>,
) -> Option<String> {
    let value = compiled.evaluate(scope, compiled.span, problems)?;
    render(&value, compiled, around).map_err(|problem| problems.push(*problem)).ok()
}

/// A scalar inside text.
fn plain(value: &Node, compiled: &Compiled<'_>, _: Around<'_>) -> Result<String, Box<Diagnostic>> {
    value.value.scalar_text().ok_or_else(|| {
        let message = format!("{} cannot be put into text", value.value.noun());
        let help = "only text, numbers and truth values can; a list can be joined with `| join(',')`";
        Box::new(Diagnostic::new(compiled.span, message).help(help))
    })
}

impl Compiled<'_> {
    /// Whether it uses the name `root`.
    pub fn mentions(&self, root: &str) -> bool {
        self.chains.iter().any(|chain| chain.path[0] == root)
    }

    /// The expression's value, as if written at `place`.
    pub fn evaluate(&self, scope: &Scope, place: Span, problems: &mut Vec<Diagnostic>) -> Option<Node> {
        if self.chains.iter().any(|chain| scope.is_failed(chain)) {
            return None;
        }
        // Also what is not read here, such as `vars.b` of `vars.a or vars.b`. Points of a matrix may differ in their names.
        let is_certain = |chain: &Chain, depth| chain.path[0] != "matrix" && scope.is_mapping(&chain.path[..depth]);
        if let Some(problem) = self.unknown(scope, &is_certain) {
            problems.push(problem);
            return None;
        }
        let any = |_: &Chain, _| true;
        let failure = match self.expression.eval(scope.live()) {
            Ok(live) if !live.is_undefined() => match from_engine_value(&live, place) {
                Ok(node) => return Some(node),
                Err(UnsupportedValue::NotYaml) => {
                    "its value is neither text nor a number, truth value, list or mapping".to_owned()
                }
                Err(UnsupportedValue::Number) => {
                    "its value is a number too large to be written: whole numbers go from -2^63 to 2^64-1, others to 1.8e308"
                        .to_owned()
                }
                Err(UnsupportedValue::TooLarge) => bounds::too_large(),
            },
            Ok(_) => "the value is not defined".to_owned(),
            Err(error) => match self.unknown(scope, &any) {
                Some(problem) => {
                    problems.push(problem);
                    return None;
                }
                None if error.kind() == ErrorKind::UndefinedError => "the value is not defined".to_owned(),
                None => error.detail().map_or_else(|| error.kind().to_string(), str::to_owned),
            },
        };
        let problem = self.unknown(scope, &any);
        problems
            .push(problem.unwrap_or_else(|| Diagnostic::new(self.span, format!("this expression fails: {failure}"))));
        None
    }

    /// The first name in the expression that has no value, of those that `counts` with the number of steps that there are.
    fn unknown(&self, scope: &Scope, counts: &dyn Fn(&Chain, usize) -> bool) -> Option<Diagnostic> {
        self.chains.iter().find_map(|chain| {
            let (depth, known) = scope.resolve(&chain.path).err()?;
            if depth == 0 || chain.may_be_missing_after(depth) || !counts(chain, depth) {
                return None;
            }
            let path = &chain.path[..depth];
            let list = scope.about_list(path, &path.join("."));
            Some(self.unknown_name(chain, depth, known.iter().map(String::as_str), list))
        })
    }

    /// Message about a name that is not among those that are `known` after `depth` steps of `chain`, or in the `list` there.
    pub(crate) fn unknown_name<'k>(
        &self,
        chain: &Chain,
        depth: usize,
        known: impl Iterator<Item = &'k str> + Clone,
        list: Option<String>,
    ) -> Diagnostic {
        let parent = chain.path[..depth].join(".");
        let name = &chain.path[depth];
        let mut help = list
            .or_else(|| suggest::help(name, known, &format!("names in `{parent}`")))
            .unwrap_or_else(|| format!("`{parent}` has no names in it"));
        if self.is_conditional {
            help += " (if it may be missing: `| default(…)` or `is defined`)";
        }
        Diagnostic::new(self.span, format!("unknown name `{parent}.{name}`")).help(help)
    }
}

impl Chain {
    /// Whether the expression asks if there is a name after `depth` steps.
    pub(crate) fn may_be_missing_after(&self, depth: usize) -> bool {
        depth < self.optional
    }

    /// Whether this reads a field of `matrix.axis`.
    fn reads_fields(&self) -> bool {
        self.path.len() > 2 || (self.path.len() == 2 && self.dynamic)
    }
}
