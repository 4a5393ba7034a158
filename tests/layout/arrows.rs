//! Arrows between files: which names a file takes from which other file of its crate.
//!
//! An arrow runs to the file that defines a name, whichever re-exports lie between. So a `mod.rs` that only declares modules and
//! re-exports their names has no arrow, and neither has who imports through it an arrow to it.
//!
//! Nor is there an arrow from a file up to the modules that it lies in: these hold what their children share, and use them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use crate::modules::{ModuleId, Tree, attributes, flatten, is_for_tests};

/// The names that a file takes, by file and by file that defines them.
pub(crate) type Arrows = BTreeMap<PathBuf, BTreeMap<PathBuf, BTreeSet<String>>>;

/// All arrows of a target.
pub(crate) fn arrows(tree: &Tree) -> Arrows {
    let mut arrows = Arrows::new();
    for (id, module) in tree.modules.iter().enumerate() {
        let mut paths = Paths { paths: module.imports.clone() };
        module.items.iter().for_each(|item| paths.visit_item(item));
        for path in paths.paths {
            add(&mut arrows, tree, id, &path);
        }
    }
    arrows
}

fn add(arrows: &mut Arrows, tree: &Tree, from: ModuleId, path: &[String]) {
    let file = &tree.modules[from].file;
    let lies_in = around(tree, from);
    for definer in tree.definers(from, path) {
        let other = &tree.modules[definer].file;
        if !lies_in.contains(&other) {
            let names = arrows.entry(file.clone()).or_default().entry(other.clone()).or_default();
            names.extend(path.last().cloned());
        }
    }
}

/// The files of a module and of those that it lies in.
fn around(tree: &Tree, module: ModuleId) -> Vec<&PathBuf> {
    let modules = std::iter::successors(Some(module), |module| tree.modules[*module].parent);
    modules.map(|module| &tree.modules[module].file).collect()
}

/// Every path in the code of a module.
struct Paths {
    paths: Vec<Vec<String>>,
}

impl Paths {
    /// Paths among tokens, which only their macro understands.
    fn scan(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let mut next = 0;
        while let Some(token) = tokens.get(next) {
            let begins = begins_path(&tokens[..next]);
            next += 1;
            match token {
                TokenTree::Group(group) => self.scan(group.stream()),
                TokenTree::Ident(name) if begins => {
                    let mut path = vec![name.to_string()];
                    while let Some(name) = continuation(&tokens[next..]) {
                        path.push(name);
                        next += 3;
                    }
                    self.paths.push(path);
                }
                _ => {}
            }
        }
    }
}

/// Whether a name after these tokens begins a path: it is no field or method, and in this crate.
fn begins_path(before: &[TokenTree]) -> bool {
    match before {
        [.., before, last] if is_punct(last, '.') => is_punct(before, '.'),
        [last] if is_punct(last, '.') => false,
        [.., before, last] => !(is_punct(before, ':') && is_punct(last, ':')),
        _ => true,
    }
}

/// The name after `::`.
fn continuation(tokens: &[TokenTree]) -> Option<String> {
    match tokens {
        [first, second, TokenTree::Ident(name), ..] if is_punct(first, ':') && is_punct(second, ':') => {
            Some(name.to_string())
        }
        _ => None,
    }
}

fn is_punct(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    /// Modules are visited on their own.
    fn visit_item_mod(&mut self, _: &'ast syn::ItemMod) {}

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if item.leading_colon.is_none() {
            self.paths.extend(flatten(&item.tree).into_iter().map(|import| import.path));
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            self.paths.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        visit::visit_macro(self, invocation);
        self.scan(invocation.tokens.clone());
    }
}
