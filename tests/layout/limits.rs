//! Limits of length, and marks of unfinished work.

use std::path::Path;

use syn::visit::{self, Visit};

use crate::files::{parse, read, rust_files, shown};

/// Lines of a file at most.
const FILE_LINES: usize = 480;

/// Lines of a function at most, from `fn` to its closing brace.
const FUNCTION_LINES: usize = 68;

/// Words that mark unfinished work, cut in two so that this file has none of them.
const MARKS: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
];

/// Files and functions that are too long.
pub(crate) fn problems(repository: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    for path in rust_files(repository) {
        let place = shown(&path, repository);
        let lines = read(&path).lines().count();
        if lines > FILE_LINES {
            problems.push(format!(
                "{place}: {lines} lines, {FILE_LINES} are allowed. Give a concept of its own a file of its own."
            ));
        }
        let mut functions = Functions::default();
        functions.visit_file(&parse(&path));
        problems.extend(functions.too_long.iter().map(|function| {
            format!(
                "{place}:{}: `{}` has {} lines, {FUNCTION_LINES} are allowed. Give a step of it a function of its own.",
                function.line, function.name, function.lines
            )
        }));
    }
    problems
}

/// A function that is over its limit.
struct Function {
    name: String,
    line: usize,
    lines: usize,
}

#[derive(Default)]
struct Functions {
    too_long: Vec<Function>,
}

impl Functions {
    fn measure(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let line = signature.fn_token.span.start().line;
        let lines = block.brace_token.span.close().end().line - line + 1;
        if lines > FUNCTION_LINES {
            self.too_long.push(Function { name: signature.ident.to_string(), line, lines });
        }
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.measure(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

/// Lines with a mark of unfinished work.
pub(crate) fn unfinished(repository: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    for path in rust_files(repository) {
        for (index, line) in read(&path).lines().enumerate() {
            for mark in MARKS.into_iter().filter(|mark| has_word(line, mark)) {
                let place = shown(&path, repository);
                problems.push(format!("{place}:{}: `{mark}`. Do it now, or file an issue.", index + 1));
            }
        }
    }
    problems
}

/// Whether a line has a word that is no part of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |character: Option<char>| character.is_some_and(|it| it.is_alphanumeric() || it == '_');
    line.match_indices(word).any(|(start, _)| {
        let after = line[start + word.len()..].chars().next();
        !is_part(line[..start].chars().next_back()) && (word.ends_with('!') || !is_part(after))
    })
}
