//! Programs that containers run: the shell of a script, which is looked for in the image.

use crate::language::Shell;

/// First process of a container, a script for `sh` that is given a command line.
///
/// To the first process of a container the kernel passes no signal that it has no handler for, and all others end with it. So
/// this one passes SIGTERM to all others, as a stage without a container gets it, and then waits for those that save their state.
/// A script that has ended leaves the rest a moment, as others do.
const FIRST: &str = r#"stopped=
trap 'stopped=1; if [ $$ -eq 1 ]; then kill -TERM -1; else kill -TERM $!; fi' TERM
"$@" &
status=0
wait $! || status=$?
if [ -n "$stopped" ]; then
    last=0
    wait $! 2>/dev/null || last=$?
    [ $last -eq 127 ] || status=$last
fi
left=10
while [ $$ -eq 1 ] && [ $left -gt 0 ] && kill -0 -1 2>/dev/null; do
    sleep 0.1 || sleep 1
    [ -n "$stopped" ] || left=$((left - 1))
done
exit $status"#;

/// Options of `sh` for a version command.
pub(crate) const QUESTION: &str = "-euc";

/// Words that run the script at `path` in a container, the first of which is `sh`; behind a first process, if it `has_first`.
pub(crate) fn words(shell: &Shell, path: &str, has_first: bool) -> Vec<String> {
    let (preferred, other) = (shell.command_line(path, |_| true), shell.command_line(path, |_| false));
    let line = if preferred == other { preferred } else { whichever(&preferred, &other) };
    let first = ["sh", "-c", FIRST, "sh"].into_iter().filter(|_| has_first).map(str::to_owned);
    first.chain(line).collect()
}

/// Words of a shell for people.
pub(crate) fn interactive() -> Vec<String> {
    whichever(&["bash".to_owned()], &["sh".to_owned()])
}

/// Words that run `preferred` where its program is there, else `other`.
fn whichever(preferred: &[String], other: &[String]) -> Vec<String> {
    let quoted = |words: &[String]| shlex::try_join(words.iter().map(String::as_str)).unwrap_or_default();
    let program = quoted(&preferred[..1]);
    let script =
        format!("if command -v {program} >/dev/null 2>&1; then exec {}; fi; exec {}", quoted(preferred), quoted(other));
    ["sh".to_owned(), "-c".to_owned(), script].into()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_shell_is_looked_for_where_it_runs() {
        let line = |shell: &Shell| words(shell, "../s", false).join(" ");
        assert_eq!(line(&Shell::Sh), "sh -eu ../s");
        assert_eq!(line(&Shell::Bash), "bash -euo pipefail ../s");
        assert_eq!(
            line(&Shell::Default),
            "sh -c if command -v bash >/dev/null 2>&1; then exec bash -euo pipefail ../s; fi; exec sh -eu ../s"
        );
        assert!(line(&Shell::Python).ends_with("then exec python ../s; fi; exec python3 ../s"));
        assert_eq!(line(&Shell::Custom("perl -w {0}".to_owned())), "perl -w ../s");
    }

    #[test]
    fn the_first_process_passes_the_status_on() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("s");
        for (text, status) in [("exit 0", 0), ("exit 75", 75), ("false", 1), ("kill -KILL $$", 137), ("echo $X", 2)] {
            std::fs::write(&script, text).unwrap();
            let words = words(&Shell::Sh, script.to_str().unwrap(), true);
            let output = Command::new(&words[0]).args(&words[1..]).output().unwrap();
            let found = output.status.code();
            assert!(found == Some(status) || text == "echo $X" && found != Some(0), "{text}: {output:?}");
        }
    }
}
