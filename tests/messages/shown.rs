//! Messages without what differs from run to run: paths, times, names of runs and digests.

use std::path::Path;

use crate::support::Outcome;

/// Standard output and standard error of a command, and its exit status, where `names` stand for paths.
pub(crate) fn shown(outcome: &Outcome, names: &[(&Path, &str)]) -> String {
    let mut text = format!("{}{}[{}]\n\n", outcome.out, outcome.err, outcome.code);
    for (path, name) in names {
        let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        text = text.replace(&real.display().to_string(), name).replace(&path.display().to_string(), name);
    }
    let text: String = text.split_inclusive([' ', '\n', '`', ',', '/']).map(same).collect();
    let mut lines: Vec<String> = text.lines().map(without_time).collect();
    // Stages that run side by side end in any order.
    for together in lines.chunk_by_mut(|one, next| is_of_stage(one) && is_of_stage(next)) {
        together.sort_by_key(|line| (line.starts_with(FINISHED), line.clone()));
    }
    lines.concat()
}

const FINISHED: &str = "finished ";

fn is_of_stage(line: &str) -> bool {
    line.starts_with("started ") || line.starts_with(FINISHED)
}

/// A word, or what stands for it.
fn same(word: &str) -> String {
    let end = word.len() - word.chars().next_back().filter(|last| " \n`,/".contains(*last)).map_or(0, char::len_utf8);
    let (word, end) = word.split_at(end);
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_run = word.starts_with("0000") && word.len() > 20;
    let is_digest = word.len() == 64 && is_hex(word);
    let word = if is_run {
        "<run>"
    } else if is_digest {
        "<digest>"
    } else {
        word
    };
    format!("{word}{end}")
}

/// A line without the time that something took.
fn without_time(line: &str) -> String {
    let mut words: Vec<&str> = line.split(' ').collect();
    let is_number = |word: &str| word.parse::<f64>().is_ok();
    let is_unit = |word: &str| matches!(word, "ms" | "s" | "min");
    if let [.., before, number, unit] = &mut words[..]
        && *before == "in"
        && is_number(number)
        && is_unit(unit)
    {
        (*number, *unit) = ("<time>", "");
    }
    words.join(" ").trim_end().to_owned() + "\n"
}
