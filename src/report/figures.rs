//! Figures for a report, as many as fit into a page.

use crate::report::data::FigureEntry;

/// Bytes of all figures of a report together.
const ALL_BYTES: usize = 1_200_000;

/// Figures that fit, and the number of those that do not. Of every stage the first instance's come before the second one's, and
/// those of the pipeline's end, which say most, before others.
pub(crate) fn fitting(figures: Vec<FigureEntry>, stage_of: &[usize]) -> (Vec<FigureEntry>, usize) {
    let mut seen = std::collections::HashMap::<usize, Vec<usize>>::new();
    let mut ranked: Vec<(usize, FigureEntry)> = figures
        .into_iter()
        .map(|entry| {
            let instances = seen.entry(stage_of[entry.i]).or_default();
            if !instances.contains(&entry.i) {
                instances.push(entry.i);
            }
            (instances.iter().position(|known| *known == entry.i).unwrap_or(0), entry)
        })
        .collect();
    let from_the_end = |entry: &FigureEntry| std::cmp::Reverse(stage_of[entry.i]);
    ranked.sort_by_key(|(rank, entry)| (*rank, from_the_end(entry)));
    let total = ranked.len();
    let mut bytes = 0;
    let mut fitting: Vec<FigureEntry> = ranked
        .into_iter()
        .map(|(_, entry)| entry)
        .filter(|entry| {
            let size = serde_json::to_vec(&entry.figure).map_or(ALL_BYTES, |json| json.len());
            let fits = bytes + size <= ALL_BYTES;
            bytes += if fits { size } else { 0 };
            fits
        })
        .collect();
    fitting.sort_by_key(from_the_end);
    let left_out = total - fitting.len();
    (fitting, left_out)
}

#[cfg(test)]
mod tests {
    use athanor_stages::artifact::figure::{Figure, FigureData};

    use super::*;

    #[test]
    fn every_stage_has_its_turn_before_a_page_is_full() {
        let figure = |size: usize| Figure::new("x".repeat(size), FigureData::Images { rows: Vec::new() });
        let entry = |i: usize| FigureEntry { i, figure: figure(500_000) };
        let (fitting, left_out) = fitting((0..4).map(entry).collect(), &[0, 0, 0, 1]);
        assert_eq!(fitting.iter().map(|entry| entry.i).collect::<Vec<_>>(), [3, 0]);
        assert_eq!(left_out, 2);
    }
}
