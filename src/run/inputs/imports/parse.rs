//! Imports of one Python file, and what a shell script sources and runs.

use std::cell::RefCell;

use serde::{Deserialize, Serialize};
use tree_sitter::{Node, Parser, TreeCursor};

use super::shell::{ShellScript, parse_shell};

/// Size above which a file is not parsed, in bytes: nobody writes such a module by hand.
pub(super) const LARGEST: usize = 4 << 20;

/// Language of a file that may be a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    /// Python, by its name.
    Python,
    /// A shell's, by its name.
    Shell,
    /// That of its first line, if that names one.
    OfFirstLine,
}

impl Script {
    /// The language of the file at `path`, by its name; `None` if it is none of these.
    pub(super) fn of(path: &str) -> Option<Script> {
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        match name.rsplit_once('.') {
            None => Some(Script::OfFirstLine),
            Some((_, "py")) => Some(Script::Python),
            Some((_, "sh" | "bash")) => Some(Script::Shell),
            Some(_) => None,
        }
    }

    /// Parses the text of a file in this language.
    pub(super) fn parse(self, source: &[u8]) -> Parsed {
        let first = source.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let first = String::from_utf8_lossy(first);
        let program = first.strip_prefix("#!").unwrap_or_default();
        let is_shell =
            || program.split(['/', ' ']).any(|word| matches!(word.trim(), "sh" | "bash" | "dash" | "ksh" | "zsh"));
        match self {
            Script::Python => parse(source),
            Script::OfFirstLine if program.contains("python") => parse(source),
            Script::Shell => Parsed::Shell(parse_shell(source)),
            Script::OfFirstLine if is_shell() => Parsed::Shell(parse_shell(source)),
            Script::OfFirstLine => Parsed::Imports(Vec::new()),
        }
    }
}

/// An import, wherever in the file it stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Import {
    /// Number of dots before the name: 0 for an absolute import.
    pub level: usize,
    /// Name of the module, with dots; empty in `from . import x`.
    pub module: String,
    /// Names that are taken from it: submodules, or not.
    pub names: Vec<String>,
    /// Whether everything is taken from it (`*`).
    pub all: bool,
}

/// Imports of a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Parsed {
    /// They are known.
    Imports(Vec<Import>),
    /// The file is no valid Python, from this line on; 0 if it is too large.
    Broken(usize),
    /// It is a shell script.
    Shell(ShellScript),
}

/// Parses the text of a Python file.
pub(super) fn parse(source: &[u8]) -> Parsed {
    thread_local! {
        static PARSER: RefCell<Option<Parser>> = const { RefCell::new(None) };
    }
    let source = source.strip_prefix("\u{feff}".as_bytes()).unwrap_or(source);
    if source.len() > LARGEST {
        return Parsed::Broken(0);
    }
    let tree = PARSER.with_borrow_mut(|parser| {
        if parser.is_none() {
            let mut new = Parser::new();
            // Refused only if parser and grammar are of versions that do not go together.
            new.set_language(&tree_sitter_python::LANGUAGE.into()).ok()?;
            *parser = Some(new);
        }
        parser.as_mut()?.parse(source, None)
    });
    let Some(tree) = tree else { return Parsed::Broken(0) };
    let root = tree.root_node();
    let mut cursor = root.walk();
    if root.has_error() {
        return Parsed::Broken(first_error(&mut cursor));
    }
    let mut imports = Vec::new();
    each_node(&mut cursor, &mut |node| match node.kind() {
        "import_statement" => imports.extend(plain(node, source)),
        "import_from_statement" => imports.extend(from(node, source)),
        "call" => imports.extend(by_call(node, source)),
        _ => {}
    });
    Parsed::Imports(imports)
}

/// Visits every node, a parent before its children.
fn each_node<'t>(cursor: &mut TreeCursor<'t>, visit: &mut dyn FnMut(Node<'t>)) {
    loop {
        visit(cursor.node());
        if cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return;
            }
        }
    }
}

/// Line of the first mistake, from 1.
fn first_error(cursor: &mut TreeCursor<'_>) -> usize {
    let mut first = usize::MAX;
    each_node(cursor, &mut |node| {
        if node.is_error() || node.is_missing() {
            first = first.min(node.start_position().row + 1);
        }
    });
    if first == usize::MAX { 1 } else { first }
}

/// `import a.b, c as d`.
fn plain(node: Node<'_>, source: &[u8]) -> Vec<Import> {
    let import = |module: String| Import { level: 0, module, names: Vec::new(), all: false };
    names_of(node, source).into_iter().map(import).collect()
}

/// `from a.b import c, d as e`, `from .. import *`.
fn from(node: Node<'_>, source: &[u8]) -> Option<Import> {
    let module = node.child_by_field_name("module_name")?;
    let text = text_of(module, source);
    let name = text.trim_start_matches('.');
    let level = text.len() - name.len();
    let mut cursor = node.walk();
    let all = node.children(&mut cursor).any(|child| child.kind() == "wildcard_import");
    Some(Import { level, module: name.to_owned(), names: names_of(node, source), all })
}

/// The imported names of a statement, without what they are called afterwards.
fn names_of(node: Node<'_>, source: &[u8]) -> Vec<String> {
    let mut cursor = node.walk();
    let names = node.children_by_field_name("name", &mut cursor);
    let name = |node: Node<'_>| match node.kind() {
        "aliased_import" => node.child_by_field_name("name").map(|name| text_of(name, source)),
        _ => Some(text_of(node, source)),
    };
    names.filter_map(name).collect()
}

/// `importlib.import_module("a.b")`, `__import__("a")`, with the name written out.
fn by_call(node: Node<'_>, source: &[u8]) -> Option<Import> {
    let function = node.child_by_field_name("function")?;
    let called = match function.kind() {
        "attribute" => function.child_by_field_name("attribute")?,
        "identifier" => function,
        _ => return None,
    };
    if !matches!(text_of(called, source).as_str(), "import_module" | "__import__") {
        return None;
    }
    let arguments = node.child_by_field_name("arguments")?;
    let mut cursor = arguments.walk();
    let mut arguments = arguments.named_children(&mut cursor).filter(|node| node.kind() != "comment");
    let text = literal(arguments.next()?, source)?;
    let package = arguments.find_map(|argument| match argument.kind() {
        "keyword_argument" if text_of(argument.child_by_field_name("name")?, source) == "package" => {
            literal(argument.child_by_field_name("value")?, source)
        }
        _ => literal(argument, source),
    });
    let name = text.trim_start_matches('.');
    let level = text.len() - name.len();
    let import = |level, module| Import { level, module, names: Vec::new(), all: false };
    match package.filter(|_| level > 0) {
        Some(package) => {
            let parts: Vec<&str> = package.split('.').collect();
            let above = parts.get(..(parts.len() + 1).checked_sub(level)?)?;
            Some(import(0, [above, &[name]].concat().join(".")))
        }
        None => Some(import(level, name.to_owned())),
    }
}

/// Value of a string without escapes and expressions.
fn literal(node: Node<'_>, source: &[u8]) -> Option<String> {
    if node.kind() != "string" {
        return None;
    }
    let mut cursor = node.walk();
    // Its ends are the quotes; all else besides one piece of text is an expression.
    let mut parts = node.named_children(&mut cursor).filter(|part| !part.kind().starts_with("string_"));
    let has_expression = parts.next().is_some();
    let mut cursor = node.walk();
    let mut texts = node.named_children(&mut cursor).filter(|part| part.kind() == "string_content");
    let text = texts.next().map(|part| text_of(part, source))?;
    let is_name = text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'));
    (is_name && !has_expression && texts.next().is_none()).then_some(text)
}

fn text_of(node: Node<'_>, source: &[u8]) -> String {
    let bytes = source.get(node.byte_range()).unwrap_or_default();
    String::from_utf8_lossy(bytes).split_whitespace().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str) -> Vec<String> {
        let Parsed::Imports(imports) = parse(source.as_bytes()) else { panic!("{source} does not parse") };
        let line = |import: &Import| {
            let all = if import.all { "*" } else { "" };
            format!("{}{}:{}{all}", ".".repeat(import.level), import.module, import.names.join(","))
        };
        imports.iter().map(line).collect()
    }

    #[test]
    fn imports_are_found_wherever_they_stand() {
        let source = r#"
"""A module. import nothing"""
from __future__ import annotations
import a, b.c as d
from .e import (f, g as h,
                i)
from . import j
from ...k.l import *
try:
    import m
except ImportError:
    m = None
def n():
    if True:
        from o import p; import q
class R:
    import s
    async def t(self):
        async with x as y: import u
match 1:
    case 1: import v
type W[T] = list[T]
text = f"{'import'} {x!r:>{width}} import nope"  # import nope
"#;
        let expected = ["a:", "b.c:", ".e:f,g,i", ".:j", "...k.l:*", "m:", "o:p", "q:", "s:", "u:", "v:"];
        assert_eq!(found(source), expected);
    }

    #[test]
    fn names_that_are_written_out_in_calls_count() {
        let source = r#"
import_module("a.b")
importlib.import_module('c')
x = [__import__("d") for _ in y]
importlib.import_module(".e", package="f.g")
importlib.import_module("..h", "f.g")
importlib.import_module(".i", __package__)
importlib.import_module(name)
importlib.import_module(f"j{x}")
import_module("k" + "l")
"#;
        assert_eq!(found(source), ["a.b:", "c:", "d:", "f.g.e:", "f.h:", ".i:"]);
    }

    #[test]
    fn files_that_do_not_parse_say_from_which_line_on() {
        assert_eq!(parse(b"import a\nx = 1\ndef broken(:\n    pass\n"), Parsed::Broken(3));
        assert_eq!(parse(&[0xff, 0xfe, 0, 1, 2]), Parsed::Broken(1));
        assert!(matches!(parse(&vec![b'('; LARGEST + 1]), Parsed::Broken(0)));
        assert_eq!(parse(b""), Parsed::Imports(Vec::new()));
        assert_eq!(found("\u{feff}import a\r\n"), ["a:"]);
    }
}
