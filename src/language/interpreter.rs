//! The shell of a command: the program that reads its script.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::node::Value;
use super::shape::Typed;
use super::suggest;

/// Placeholder for the script's path in a command line.
const SCRIPT: &str = "{0}";

/// Shells that are known by name.
const NAMES: [&str; 4] = ["sh", "bash", "zsh", "python"];

/// Shell of a command.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Shell {
    /// `bash` where there is one, else `sh`.
    #[default]
    Default,
    /// `sh -eu`.
    Sh,
    /// `bash -euo pipefail`.
    Bash,
    /// `zsh -feuo pipefail`.
    Zsh,
    /// `python`, or `python3` where there is no `python`.
    Python,
    /// A command line, as written; a `{0}` in it stands for the script's path.
    Custom(String),
}

/// Language of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// That of `sh`.
    Posix,
    /// That of `bash` and `zsh`, where `$'…'` is a quoted text.
    Bash,
    /// Python.
    Python,
    /// Any other.
    Unknown,
}

impl Shell {
    /// Language of its scripts.
    pub fn language(&self) -> Language {
        match self {
            Shell::Sh => Language::Posix,
            Shell::Default | Shell::Bash | Shell::Zsh => Language::Bash,
            Shell::Python => Language::Python,
            Shell::Custom(_) => Language::Unknown,
        }
    }

    /// As it is written; `None` for the default. It is part of the fingerprint in this form: which program answers to the name
    /// on a machine is not.
    pub fn written(&self) -> Option<&str> {
        match self {
            Shell::Default => None,
            Shell::Sh => Some("sh"),
            Shell::Bash => Some("bash"),
            Shell::Zsh => Some("zsh"),
            Shell::Python => Some("python"),
            Shell::Custom(line) => Some(line),
        }
    }

    /// Words of a command line that is written in the pipeline, but the script's path.
    pub fn words(&self) -> Vec<String> {
        let Shell::Custom(line) = self else { return Vec::new() };
        shlex::split(line).unwrap_or_default().into_iter().filter(|word| !word.contains(SCRIPT)).collect()
    }

    /// Command line for the script at `script`; `has` tells whether a program is there.
    pub fn command_line(&self, script: &str, has: impl Fn(&str) -> bool) -> Vec<String> {
        let line: &[&str] = match self {
            Shell::Default if has("bash") => &["bash", "-euo", "pipefail"],
            Shell::Default | Shell::Sh => &["sh", "-eu"],
            Shell::Bash => &["bash", "-euo", "pipefail"],
            Shell::Zsh => &["zsh", "-feuo", "pipefail"],
            Shell::Python if has("python") => &["python"],
            Shell::Python => &["python3"],
            // That it can be split was checked when it was parsed.
            Shell::Custom(line) => {
                let words = shlex::split(line).unwrap_or_default();
                return words.into_iter().map(|word| word.replace(SCRIPT, script)).collect();
            }
        };
        line.iter().copied().chain([script]).map(str::to_owned).collect()
    }
}

impl Typed for Shell {
    fn parse(value: &Value) -> Result<Self, String> {
        let Value::Text(text) = value else {
            return Err(format!("a shell is a name or a command line, not {}", value.noun()));
        };
        match text.trim() {
            "sh" => Ok(Shell::Sh),
            "bash" => Ok(Shell::Bash),
            "zsh" => Ok(Shell::Zsh),
            "python" => Ok(Shell::Python),
            line if line.contains(SCRIPT) && !line.contains('\0') => match shlex::split(line) {
                Some(words) if !words[0].contains(SCRIPT) => Ok(Shell::Custom(line.to_owned())),
                Some(_) => Err(format!("`{line}` does not begin with a program that reads the script")),
                None => Err(format!("`{line}` ends inside quotes")),
            },
            other => {
                let near = suggest::nearest(other, NAMES);
                let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                Err(format!(
                    "`{other}` is none of `sh`, `bash`, `zsh` and `python`, nor a command line with `{SCRIPT}` for the \
                     script's path, such as `perl {SCRIPT}`{near}"
                ))
            }
        }
    }

    fn schema() -> serde_json::Value {
        json!({ "anyOf": [{ "enum": NAMES }, { "type": "string", "pattern": "\\{0\\}" }] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Shell, String> {
        Shell::parse(&Value::Text(text.to_owned()))
    }

    #[test]
    fn each_shell_has_its_command_line() {
        let line = |text: &str, there: &[&str]| {
            let shell = if text.is_empty() { Shell::Default } else { parse(text).unwrap() };
            shell.command_line("../s", |name| there.contains(&name)).join(" ")
        };
        assert_eq!(line("", &["bash"]), "bash -euo pipefail ../s");
        assert_eq!(line("", &[]), "sh -eu ../s");
        assert_eq!(line("sh", &["bash"]), "sh -eu ../s");
        assert_eq!(line("bash", &[]), "bash -euo pipefail ../s");
        assert_eq!(line("zsh", &[]), "zsh -feuo pipefail ../s");
        assert_eq!(line("python", &["python"]), "python ../s");
        assert_eq!(line("python", &[]), "python3 ../s");
        assert_eq!(line("perl -w '{0}' 'a b'", &[]), "perl -w ../s a b");
    }

    #[test]
    fn other_names_are_refused() {
        assert!(parse("bsh").unwrap_err().ends_with("did you mean `bash`?"));
        assert!(parse("fish").unwrap_err().contains("such as `perl {0}`"));
        assert!(parse("perl '{0}").unwrap_err().contains("ends inside quotes"));
        assert!(parse("{0}").unwrap_err().contains("does not begin with a program"));
        assert!(Shell::parse(&Value::Bool(true)).unwrap_err().contains("not a truth value"));
    }
}
