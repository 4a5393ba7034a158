//! Container engines: they bring a sandbox of their own, and cannot start in ours.

/// Programs that start containers.
const ENGINES: [&str; 7] =
    ["docker", "docker-compose", "podman", "podman-compose", "apptainer", "singularity", "nerdctl"];
/// Words that may stand before the program of a command.
const BEFORE: [&str; 14] =
    ["exec", "time", "nice", "nohup", "sudo", "env", "command", "if", "then", "else", "while", "until", "do", "!"];

/// Programs that start the program among their own arguments.
const STARTERS: [&str; 6] = ["timeout", "xargs", "stdbuf", "setsid", "flock", "ionice"];

/// Shells, which run the text behind `-c`.
const SHELLS: [&str; 5] = ["sh", "bash", "dash", "zsh", "ksh"];

/// Whether a shell line has a command whose program is a container engine.
pub(super) fn starts_container(line: &str) -> bool {
    let engines = ENGINES.iter().any(|engine| line.contains(engine));
    engines && (commands(line).iter().any(|command| starts_engine(command)) || inner_lines(line).any(starts_container))
}

/// Quoted texts that another shell runs: those of `bash -c "…"` and `eval "…"`.
fn inner_lines(line: &str) -> impl Iterator<Item = &str> {
    line.char_indices().filter(|(_, c)| matches!(c, '\'' | '"')).filter_map(|(at, quote)| {
        let text = &line[at + 1..];
        let mut before = line[..at].trim_end().rsplit([';', '|', '&', '(', '{', '\n']).next()?.split_whitespace().rev();
        let last = before.next()?;
        let is_option = last.starts_with('-') && last.ends_with('c') && !last.starts_with("--");
        let is_run = last == "eval" || is_option && before.any(|word| SHELLS.contains(&name_of(word)));
        is_run.then(|| text.find(quote).map_or(text, |end| &text[..end]))
    })
}

/// Name of a program that is named by its path or its name.
fn name_of(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

fn starts_engine(command: &str) -> bool {
    let Some(program) = program(command) else { return false };
    let is_starter = STARTERS.contains(&name_of(program));
    if !is_starter {
        return is_engine(program);
    }
    // Its own arguments come first: a time, a file or a number of words.
    let words = command.split_whitespace().skip_while(|word| *word != program).skip(1);
    words.filter(|word| !word.starts_with('-')).take(2).any(is_engine)
}

fn is_engine(program: &str) -> bool {
    ENGINES.contains(&name_of(program))
}

/// Commands of a line, roughly: separators in quotes do not count.
fn commands(line: &str) -> Vec<String> {
    let line = line.replace("\\\n", " ");
    let mut commands = vec![String::new()];
    let mut quote = None;
    for character in line.chars() {
        let last = commands.len() - 1;
        match (character, quote) {
            ('\'' | '"', None) => quote = Some(character),
            (_, Some(open)) if character == open => quote = None,
            (';' | '|' | '&' | '(' | '{' | '`' | '\n', None) => commands.push(String::new()),
            // No word of a quoted text is a program.
            (_, Some(_)) if character.is_whitespace() => commands[last].push('_'),
            _ => commands[last].push(character),
        }
    }
    commands
}

/// The word of a command that is its program.
fn program(command: &str) -> Option<&str> {
    let is_assignment = |word: &str| {
        word.split_once('=').is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
    };
    command.split_whitespace().find(|word| !is_assignment(word) && !BEFORE.contains(word) && !word.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_are_known_where_they_are_programs() {
        for line in [
            "docker run --rm image true",
            "set -x\ncd x && /usr/bin/podman run image",
            "A=1 exec apptainer exec x.sif python train.py",
            "if true; then singularity run x.sif; fi",
            "sudo -E docker run image",
            "\"docker\" run image",
            "x=$(docker run image)",
            "docker \\\n  run image",
            "timeout 600 docker run image",
            "ls | xargs -n 1 podman run image",
            "docker-compose up",
            "bash -c \"docker run image\"",
            "set -x; /bin/sh -ec 'cd x && podman run image'",
            "timeout 60 bash -o pipefail -c 'podman run image | cat'",
            "eval 'docker run image'",
        ] {
            assert!(starts_container(line), "{line}");
        }
        for line in [
            "echo docker",
            "cat docker.txt",
            "# docker run",
            "echo 'a; docker run'",
            "python docker",
            "dockerize x",
            "bash -c 'echo docker'",
            "grep -c 'docker run' x",
            "python -c 'docker'",
        ] {
            assert!(!starts_container(line), "{line}");
        }
    }
}
