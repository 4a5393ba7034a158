//! The tree of modules of one target, from its root file down.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use syn::{Attribute, Item, Meta, UseTree, Visibility};

use crate::files::parse;

/// The number of a module in its [`Tree`].
pub(crate) type ModuleId = usize;

/// The root module of every tree.
pub(crate) const ROOT: ModuleId = 0;

/// Every module of a target that is not for tests alone.
pub(crate) struct Tree {
    pub(crate) modules: Vec<Module>,
    /// Macros that `#[macro_export]` puts into the root, and the modules that define them.
    pub(crate) exported_macros: HashMap<String, ModuleId>,
}

/// A module: a file, or a `mod name { … }` in one.
pub(crate) struct Module {
    pub(crate) file: PathBuf,
    pub(crate) parent: Option<ModuleId>,
    /// A name may stand for several things, each in a namespace of its own.
    pub(crate) names: HashMap<String, Vec<Name>>,
    /// Paths that end in `::*`.
    pub(crate) globs: Vec<Vec<String>>,
    /// Everything in the module but `use` and `mod`.
    pub(crate) items: Vec<Item>,
    /// Paths that the module imports for itself alone.
    pub(crate) imports: Vec<Vec<String>>,
}

/// The meaning of a name in a module.
pub(crate) enum Name {
    Module(ModuleId),
    Definition,
    Import(Vec<String>),
}

impl Tree {
    /// The tree below a root file. Panics if a module's file is not found or not Rust.
    pub(crate) fn read(root: &Path) -> Tree {
        let mut tree = Tree { modules: Vec::new(), exported_macros: HashMap::new() };
        let folder = root.parent().unwrap_or(Path::new(""));
        tree.add(root, folder, None, parse(root).items);
        tree
    }

    /// Adds a module whose children's files lie in `folder`.
    fn add(&mut self, file: &Path, folder: &Path, parent: Option<ModuleId>, items: Vec<Item>) -> ModuleId {
        let id = self.modules.len();
        self.modules.push(Module {
            file: file.to_path_buf(),
            parent,
            names: HashMap::new(),
            globs: Vec::new(),
            items: Vec::new(),
            imports: Vec::new(),
        });
        for item in items.into_iter().filter(|item| !is_for_tests(attributes(item))) {
            match item {
                Item::Mod(module) => {
                    let name = module.ident.to_string();
                    let child = match module.content {
                        Some((_, items)) => self.add(file, &folder.join(&name), Some(id), items),
                        None => {
                            let child = file_of_module(file, folder, &name, &module.attrs);
                            let items = parse(&child).items;
                            self.add(&child, &folder_of_children(&child), Some(id), items)
                        }
                    };
                    self.name(id, name, Name::Module(child));
                }
                Item::Use(item) => self.import(id, &item),
                item => self.define(id, item),
            }
        }
        id
    }

    fn import(&mut self, id: ModuleId, item: &syn::ItemUse) {
        // A path that begins with `::` leads to another crate.
        if item.leading_colon.is_some() {
            return;
        }
        let is_private = matches!(item.vis, Visibility::Inherited);
        for import in flatten(&item.tree) {
            let Some(name) = import.name else {
                self.modules[id].globs.push(import.path);
                continue;
            };
            if is_private {
                self.modules[id].imports.push(import.path.clone());
            }
            self.name(id, name, Name::Import(import.path));
        }
    }

    fn define(&mut self, id: ModuleId, item: Item) {
        if let Some(name) = defined_name(&item) {
            if let Item::Macro(item) = &item
                && item.attrs.iter().any(|attribute| attribute.path().is_ident("macro_export"))
            {
                self.exported_macros.insert(name.clone(), id);
            }
            self.name(id, name, Name::Definition);
        }
        self.modules[id].items.push(item);
    }

    fn name(&mut self, id: ModuleId, name: String, meaning: Name) {
        self.modules[id].names.entry(name).or_default().push(meaning);
    }
}

/// One path of a `use`, and the name that it gives to what is there; none for `*`.
pub(crate) struct Import {
    pub(crate) path: Vec<String>,
    pub(crate) name: Option<String>,
}

/// The single paths of a `use`.
pub(crate) fn flatten(tree: &UseTree) -> Vec<Import> {
    let mut imports = Vec::new();
    flatten_into(tree, &[], &mut imports);
    imports
}

fn flatten_into(tree: &UseTree, before: &[String], imports: &mut Vec<Import>) {
    let after = |name: &syn::Ident| [before, &[name.to_string()]].concat();
    match tree {
        UseTree::Path(path) => flatten_into(&path.tree, &after(&path.ident), imports),
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten_into(tree, before, imports)),
        UseTree::Glob(_) => imports.push(Import { path: before.to_vec(), name: None }),
        // `use path::{self}` gives the last name of the path.
        UseTree::Name(name) if name.ident == "self" => {
            imports.push(Import { path: before.to_vec(), name: before.last().cloned() });
        }
        UseTree::Name(name) => imports.push(Import { path: after(&name.ident), name: Some(name.ident.to_string()) }),
        UseTree::Rename(name) if name.ident == "self" => {
            imports.push(Import { path: before.to_vec(), name: Some(name.rename.to_string()) });
        }
        UseTree::Rename(name) => {
            imports.push(Import { path: after(&name.ident), name: Some(name.rename.to_string()) });
        }
    }
}

/// Whether attributes leave something out of everything but tests.
pub(crate) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        Meta::Path(path) => path.is_ident("test"),
        Meta::NameValue(_) => false,
    })
}

/// The attributes of an item.
pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn defined_name(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

fn file_of_module(file: &Path, folder: &Path, name: &str, attributes: &[Attribute]) -> PathBuf {
    if let Some(path) = attributes.iter().find_map(path_attribute) {
        return file.parent().unwrap_or(folder).join(path);
    }
    let candidates = [folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")];
    let found = candidates.iter().find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{}: no file is found for `mod {name};`", file.display())).clone()
}

/// The value of `#[path = "…"]`.
fn path_attribute(attribute: &Attribute) -> Option<String> {
    match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("path") => match &meta.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

fn folder_of_children(file: &Path) -> PathBuf {
    if file.ends_with("mod.rs") { file.parent().unwrap_or(file).to_path_buf() } else { file.with_extension("") }
}
