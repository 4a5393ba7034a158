//! Settings of the remote cache: where it is, and what is done with it.

use athanor_remote::{Address, SCHEMES};
use serde_json::{Value as Json, json};

use crate::language::Diagnostic;
use crate::language::node::{Node, Value};
use crate::language::shape::{Literal, Shape, Typed, keys};

use super::choice::choice;
use super::folder::PathText;

keys! {
    /// Settings of the remote cache.
    "`remote`"
    pub(crate) struct RemoteKeys {
        /// Address of a cache that machines share: `file:///mnt/team`, `s3://bucket/prefix`, `gs://bucket/prefix`,
        /// `az://container/prefix` or `ssh://host/folder`; `none` for none.
        optional url: Literal<RemoteUrl>,
        /// Use of it: `read-only` uses what is there, `read-write` also pushes what runs make, `off` neither;
        /// `read-only` if left out.
        optional mode: Literal<RemoteMode>,
        /// Whether the logs of stages are pushed with their results; `true` if left out.
        optional push_logs: Literal<bool>,
        /// File with the key of the team: then nothing is believed that was not sealed with it. `~` is the home folder; a
        /// relative path starts in the project folder.
        optional key_file: Literal<PathText>,
    }
}

/// Address of the remote cache, or a mapping of its settings.
#[derive(Debug, Clone)]
pub(crate) struct RemoteSetting(pub RemoteKeys);

impl Shape for RemoteSetting {
    fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Self> {
        if let Value::Map(_) = &node.value {
            return RemoteKeys::read(node, problems).map(RemoteSetting);
        }
        let url = Some(Literal::read(node, problems)?);
        let keys = RemoteKeys { span: node.span, unread: Vec::new(), url, mode: None, push_logs: None, key_file: None };
        Some(RemoteSetting(keys))
    }

    fn schema() -> Json {
        json!({ "anyOf": [RemoteUrl::schema(), RemoteKeys::schema()] })
    }
}

/// Address of a remote cache; `None` where a lower layer names one and this one takes it away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteUrl(pub Option<Address>);

impl Typed for RemoteUrl {
    fn parse(value: &Value) -> Result<Self, String> {
        match value {
            Value::Text(text) if text == "none" => Ok(RemoteUrl(None)),
            Value::Text(text) => text.parse().map(|address| RemoteUrl(Some(address))),
            other => {
                Err(format!("expected the address of a remote cache, such as `{}`, not {}", SCHEMES[0], other.noun()))
            }
        }
    }

    fn schema() -> Json {
        json!({ "type": "string", "examples": SCHEMES })
    }
}

/// Use of the remote cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum RemoteMode {
    /// Results that are there are used.
    #[default]
    ReadOnly,
    /// Results that are there are used, and those of runs are pushed.
    ReadWrite,
    /// Nothing is asked and nothing is pushed but by `cache push` and `cache pull`.
    Off,
}

impl RemoteMode {
    /// All modes.
    pub(crate) const ALL: [RemoteMode; 3] = [RemoteMode::ReadOnly, RemoteMode::ReadWrite, RemoteMode::Off];

    /// As it is written.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            RemoteMode::ReadOnly => "read-only",
            RemoteMode::ReadWrite => "read-write",
            RemoteMode::Off => "off",
        }
    }
}

impl Typed for RemoteMode {
    fn parse(value: &Value) -> Result<Self, String> {
        // YAML of before 2009 has `off` for `false`, and some editors write that.
        if let Value::Bool(false) = value {
            return Ok(RemoteMode::Off);
        }
        choice(value, &RemoteMode::ALL, RemoteMode::name)
    }

    fn schema() -> Json {
        json!({ "enum": ["read-only", "read-write", "off", false] })
    }
}
