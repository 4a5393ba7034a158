//! `--set`: changes, adds or takes away one variable.

use crate::language::node::{self, Entry, Key, Node, Value};
use crate::language::{Diagnostic, Span, suggest};

/// Sign before a name that is to be added.
const ADD: char = '+';

/// Applies one `NAME=VALUE` to the variables: the name has dots to go deeper. `+NAME=VALUE` adds one that is not there, and
/// `NAME=null` takes one away that lies in another.
pub(super) fn apply(vars: &mut Node, text: &str, source: u32) -> Result<(), Box<Diagnostic>> {
    let all = Span::new(source, 0..text.len());
    let Some(equals) = text.find('=').filter(|at| *at > 0) else {
        let help = "the name is one in `vars`, with dots to go deeper; the value is YAML";
        return Err(Box::new(Diagnostic::new(all, "`--set` takes NAME=VALUE").help(help)));
    };
    let value = node::parse(text, equals + 1, source)?;
    let adds = text.starts_with(ADD);
    let begin = if adds { ADD.len_utf8() } else { 0 };
    let path = &text[begin..equals];
    let whole = Span::new(source, begin..equals);
    if let Some((message, help)) = bad_name(path) {
        return Err(Box::new(Diagnostic::new(whole, message).help(help)));
    }
    let (parents, last) = path.rsplit_once('.').map_or(("", path), |(parents, last)| (parents, last));
    let mut walk = Walk { text, source, at: begin, parent: "vars".to_owned() };
    let mut target = vars;
    for name in parents.split('.').filter(|_| !parents.is_empty()) {
        target = walk.step(target, name)?;
    }
    let span = walk.span(last);
    if adds {
        let entries = walk.entries(target, last)?;
        if entries.iter().any(|entry| entry.key.name == last) {
            let message = format!("`{}` has `{last}` already", walk.parent);
            return Err(Box::new(Diagnostic::new(span, message).help("leave out the `+` to change one that is there")));
        }
        entries.push(Entry { key: Key { name: last.to_owned(), span }, value });
        return Ok(());
    }
    if value.value == Value::Null && !parents.is_empty() {
        walk.step(target, last)?;
        if let Value::Map(entries) = &mut target.value {
            entries.retain(|entry| entry.key.name != last);
        }
        return Ok(());
    }
    *walk.step(target, last)? = value;
    Ok(())
}

/// The mistake in the name of a variable, if there is one, and what mends it.
fn bad_name(path: &str) -> Option<(String, String)> {
    if let Some((list, _)) = path.split_once('[') {
        let message = format!("`{path}` is an item of a list, which cannot be set alone");
        return Some((message, format!("set all of it: `--set {list}=[…]`")));
    }
    if path.starts_with(ADD) {
        return Some((format!("`{path}` begins with a second `+`"), "one `+` adds a variable".to_owned()));
    }
    if path.split('.').any(str::is_empty) {
        let message = format!("a part of the name `{path}` is empty");
        return Some((message, "dots go deeper, one between two names: `--set NAME.NAME=VALUE`".to_owned()));
    }
    let is_padded = path.split('.').any(|part| part.trim() != part);
    is_padded.then(|| {
        let parts: Vec<&str> = path.split('.').map(str::trim).collect();
        let message = format!("the name `{path}` has a blank too many");
        (message, format!("write `{}`", parts.join(".")))
    })
}

/// Whether this setting takes something away that lies in another variable.
pub(super) fn takes_away(text: &str) -> bool {
    let Some((name, value)) = text.split_once('=') else { return false };
    let is_nothing = || node::parse(value, 0, 0).is_ok_and(|node| node.value == Value::Null);
    name.contains('.') && !name.starts_with(ADD) && is_nothing()
}

/// Position on the way into the variables.
struct Walk<'t> {
    text: &'t str,
    source: u32,
    /// Offset of the next name.
    at: usize,
    /// The way so far.
    parent: String,
}

impl Walk<'_> {
    fn span(&self, name: &str) -> Span {
        Span::new(self.source, self.at..self.at + name.len())
    }

    /// The setting that adds `name`, which is next on the way, with all that lies deeper.
    fn addition(&self, name: &str) -> String {
        let (way, rest) = self.text.split_at(self.at + name.len());
        let way = way.trim_start_matches(ADD);
        match rest.strip_prefix('.').and_then(|deeper| deeper.split_once('=')) {
            Some((deeper, value)) => {
                let value = deeper.rsplit('.').fold(value.to_owned(), |value, name| format!("{{{name}: {value}}}"));
                format!("+{way}={value}")
            }
            None => format!("+{way}{rest}"),
        }
    }

    /// The entries of `target`, in which `name` is looked for.
    fn entries<'n>(&self, target: &'n mut Node, name: &str) -> Result<&'n mut Vec<Entry>, Box<Diagnostic>> {
        let noun = target.value.noun();
        match &mut target.value {
            Value::Map(entries) => Ok(entries),
            _ => {
                let message = format!("`{}` is {noun}, so there is no `{name}` in it to set", self.parent);
                let whole = self.parent.trim_start_matches("vars").trim_start_matches('.');
                let help = format!("set all of it: `--set {whole}=VALUE`");
                Err(Box::new(Diagnostic::new(self.span(name), message).help(help)))
            }
        }
    }

    /// The value of `name` in `target`.
    fn step<'n>(&mut self, target: &'n mut Node, name: &str) -> Result<&'n mut Node, Box<Diagnostic>> {
        let span = self.span(name);
        let entries = self.entries(target, name)?;
        let Some(at) = entries.iter().position(|entry| entry.key.name == name) else {
            let names = entries.iter().map(|entry| entry.key.name.as_str());
            let help = if name == "vars" && self.parent == "vars" {
                Some("leave out `vars.`".to_owned())
            } else {
                let near = suggest::nearest(name, names.clone()).map(|near| format!("did you mean `{near}`?"));
                near.or_else(|| {
                    let all = suggest::listing(names, &format!("names in `{}`", self.parent));
                    let added = format!("`--set '{}'` adds it", self.addition(name));
                    Some(all.map_or_else(|| added.clone(), |all| format!("{all}; {added}")))
                })
            };
            let message = format!("there is no `{name}` in `{}`", self.parent);
            return Err(Box::new(Diagnostic::new(span, message).maybe_help(help)));
        };
        self.at += name.len() + 1;
        self.parent = format!("{}.{name}", self.parent);
        Ok(&mut entries[at].value)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{apply, takes_away};
    use crate::language::node;

    fn after(settings: &[&str]) -> Result<Value, String> {
        let mut vars = node::parse("{ n: 1, models: { a: { x: 1 }, b: { x: 2 } } }", 0, 0).unwrap();
        settings.iter().try_for_each(|text| apply(&mut vars, text, 0)).map_err(|problem| problem.message)?;
        Ok(vars.to_json())
    }

    #[test]
    fn settings_change_add_and_take_away() {
        let (a, b) = (json!({ "x": 1 }), json!({ "x": 2 }));
        let cases = [
            ("n=2", json!({ "n": 2, "models": { "a": a, "b": b } })),
            ("n=null", json!({ "n": null, "models": { "a": a, "b": b } })),
            ("models.a.x=3", json!({ "n": 1, "models": { "a": { "x": 3 }, "b": b } })),
            ("models.a=null", json!({ "n": 1, "models": { "b": b } })),
            ("models.a=", json!({ "n": 1, "models": { "b": b } })),
            ("models.b.x=~", json!({ "n": 1, "models": { "a": a, "b": {} } })),
            ("+m=[1]", json!({ "n": 1, "models": { "a": a, "b": b }, "m": [1] })),
            ("+models.c={x: 3}", json!({ "n": 1, "models": { "a": a, "b": b, "c": { "x": 3 } } })),
        ];
        for (setting, expected) in cases {
            assert_eq!(after(&[setting]), Ok(expected), "{setting}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        let cases = [
            ("models.c=null", "there is no `c` in `vars.models`"),
            ("+models.a={}", "`vars.models` has `a` already"),
            ("+n.x=1", "`vars.n` is a number, so there is no `x` in it to set"),
            ("+=1", "a part of the name `` is empty"),
            ("+x.y=1", "there is no `x` in `vars`"),
            ("models.=1", "a part of the name `models.` is empty"),
            ("models..a=1", "a part of the name `models..a` is empty"),
            ("++n=1", "`+n` begins with a second `+`"),
            (" n=1", "the name ` n` has a blank too many"),
            ("n[0]=1", "`n[0]` is an item of a list, which cannot be set alone"),
        ];
        for (setting, message) in cases {
            assert_eq!(after(&[setting]), Err(message.to_owned()), "{setting}");
        }
        let mut vars = node::parse("{ e: {} }", 0, 0).unwrap();
        let help = apply(&mut vars, "+e.x.y.z=1", 0).unwrap_err().help;
        assert_eq!(help.as_deref(), Some("`--set '+e.x={y: {z: 1}}'` adds it"));
        assert!(takes_away("models.a=null") && takes_away("a.b= ~") && takes_away("a.b="));
        assert!(!takes_away("a=null") && !takes_away("+a.b=null") && !takes_away("a.b=0") && !takes_away("a.b"));
    }
}
