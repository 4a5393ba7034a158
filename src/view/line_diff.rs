//! Differences between two texts, line by line.

use crate::escape::escape;

/// Number of lines around a difference that are shown.
const CONTEXT: usize = 2;
/// Number of lines that differ above which they are not matched with each other: the table of matches grows with their product.
const MATCHED: usize = 1_000;

/// A line of a difference.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line<'t> {
    Both(&'t str),
    Removed(&'t str),
    Added(&'t str),
}

/// Lines that were removed (`-`) and added (`+`), with some around them, each after a line's end.
pub(crate) fn line_diff(before: &str, now: &str) -> String {
    let (before, now): (Vec<&str>, Vec<&str>) = (before.lines().collect(), now.lines().collect());
    let lines = compared(&before, &now);
    let is_near = |at: usize| {
        let near = &lines[at.saturating_sub(CONTEXT)..(at + CONTEXT + 1).min(lines.len())];
        near.iter().any(|line| !matches!(line, Line::Both(_)))
    };
    let mut text = String::new();
    let mut is_cut = false;
    for (at, line) in lines.iter().enumerate() {
        if !is_near(at) {
            is_cut = true;
            continue;
        }
        if std::mem::take(&mut is_cut) {
            text += "\n        …";
        }
        let (sign, line) = match line {
            Line::Both(line) => (' ', line),
            Line::Removed(line) => ('-', line),
            Line::Added(line) => ('+', line),
        };
        text += &format!("\n      {sign} {}", escape(line));
    }
    text
}

fn compared<'t>(before: &[&'t str], now: &[&'t str]) -> Vec<Line<'t>> {
    let same = before.iter().zip(now).take_while(|(left, right)| left == right).count();
    let (begin, before, now) = (&before[..same], &before[same..], &now[same..]);
    let same = before.iter().rev().zip(now.iter().rev()).take_while(|(left, right)| left == right).count();
    let (before, end) = before.split_at(before.len() - same);
    let now = &now[..now.len() - same];
    let both = |lines: &[&'t str]| lines.iter().map(|line| Line::Both(line)).collect::<Vec<_>>();
    [both(begin), differing(before, now), both(end)].concat()
}

/// Compares texts by their longest common sequence of lines.
fn differing<'t>(before: &[&'t str], now: &[&'t str]) -> Vec<Line<'t>> {
    if before.len() > MATCHED || now.len() > MATCHED {
        let removed = before.iter().map(|line| Line::Removed(line));
        return removed.chain(now.iter().map(|line| Line::Added(line))).collect();
    }
    let width = now.len() + 1;
    // Length of the longest common sequence of what follows.
    let mut longest = vec![0u32; (before.len() + 1) * width];
    for left in (0..before.len()).rev() {
        for right in (0..now.len()).rev() {
            longest[left * width + right] = match before[left] == now[right] {
                true => longest[(left + 1) * width + right + 1] + 1,
                false => longest[(left + 1) * width + right].max(longest[left * width + right + 1]),
            };
        }
    }
    let (mut left, mut right, mut lines) = (0, 0, Vec::new());
    while left < before.len() || right < now.len() {
        if left < before.len() && right < now.len() && before[left] == now[right] {
            lines.push(Line::Both(before[left]));
            (left, right) = (left + 1, right + 1);
        } else if left < before.len()
            && (right == now.len() || longest[(left + 1) * width + right] >= longest[left * width + right + 1])
        {
            lines.push(Line::Removed(before[left]));
            left += 1;
        } else {
            lines.push(Line::Added(now[right]));
            right += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::line_diff;

    #[test]
    fn what_changed_is_shown_with_a_little_around_it() {
        let before = "set -x\none\ntwo\nthree\nfour\nfive\nsix\nseven\neight\n";
        let now = "set -x\none\ntwo\n3\nfour\nfive\nsix\nseven\neight\nnine\n";
        let expected =
            ["  …", "  one", "  two", "- three", "+ 3", "  four", "  five", "  …", "  seven", "  eight", "+ nine"];
        let expected: String = expected.iter().map(|line| format!("\n      {line}")).collect();
        assert_eq!(line_diff(before, now), expected);
        assert_eq!(line_diff("a\n\u{1b}[2J", "a\nb"), "\n        a\n      - \\u{1b}[2J\n      + b");
        assert_eq!(line_diff(&"x\n".repeat(2000), ""), "\n      - x".repeat(2000));
    }
}
