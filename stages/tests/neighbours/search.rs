//! The blocked search against comparing all pairs one by one.

use athanor_stages::artifact::matrix_rows::MatrixRows;
use athanor_stages::error::StageError;
use athanor_stages::similarity::search::{BlockSizes, Neighbour, SearchOptions, nearest};
use athanor_stages::similarity::unit_rows::{UnitBlock, UnitRows, dot};

use super::*;

/// Asks to stop after a number of questions.
struct Impatient(std::sync::atomic::AtomicUsize);

impl Reporter for Impatient {
    fn report(&self, _report: StageReport) {}
    fn should_stop(&self) -> bool {
        let patience = &self.0;
        patience.fetch_update(std::sync::atomic::Ordering::SeqCst, std::sync::atomic::Ordering::SeqCst, |left| {
            left.checked_sub(1)
        }) == Err(0)
    }
}

fn unit_rows(bench: &Bench, name: &str, columns: usize, values: &[f64]) -> Result<UnitRows, StageError> {
    let file = bench.file(name, npy(values.len() / columns, columns, values));
    let context = StageContext::new(0, 1, bench.out("scratch"), &bench.heard);
    UnitRows::of(MatrixRows::open(&file.path, name)?, &context)
}

/// Every pair compared, one by one.
fn naive(queries: &mut UnitRows, references: &mut UnitRows, options: &SearchOptions<'_>) -> Vec<Vec<(usize, u64)>> {
    let (mut ours, mut theirs) = (UnitBlock::default(), UnitBlock::default());
    queries.read(0..queries.len(), &mut ours).unwrap();
    references.read(0..references.len(), &mut theirs).unwrap();
    let of_query = |query: usize| {
        let others = (0..references.len()).filter(|other| options.excluded[query] != Some(*other));
        let mut all: Vec<(usize, f64)> =
            others.map(|other| (other, dot(ours.row(query), theirs.row(other)).clamp(-1.0, 1.0))).collect();
        all.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        all.truncate(options.top);
        all.into_iter().map(|(reference, cosine)| (reference, cosine.to_bits())).collect()
    };
    (0..queries.len()).map(of_query).collect()
}

fn bits(found: Vec<Vec<Neighbour>>) -> Vec<Vec<(usize, u64)>> {
    let of_query = |found: Vec<Neighbour>| found.iter().map(|near| (near.reference, near.cosine.to_bits())).collect();
    found.into_iter().map(of_query).collect()
}

/// Few distinct rows, some differing by less than float32 can tell: many are as near as others, or almost.
fn features(columns: usize, rows: std::ops::Range<usize>) -> impl Strategy<Value = Vec<f64>> {
    let value = (-2_i8..=2, 0_u8..3).prop_map(|(coarse, fine)| f64::from(coarse) + f64::from(fine) * 1e-9);
    rows.prop_flat_map(move |rows| prop::collection::vec(value.clone(), rows * columns))
}

fn two_sets() -> impl Strategy<Value = (usize, Vec<f64>, Vec<f64>)> {
    (1_usize..12).prop_flat_map(|columns| (Just(columns), features(columns, 2..40), features(columns, 8..150)))
}

proptest! {
    #[test]
    fn any_blocks_and_threads_find_what_comparing_all_pairs_finds(
        (columns, ours, theirs) in two_sets(),
        (queries, references, tile) in (1_usize..50, 1_usize..200, 1_usize..20),
        (top, threads, within) in (1_usize..6, 1_usize..4, any::<bool>()),
    ) {
        let bench = Bench::new();
        // Sets without any direction are refused.
        let both = unit_rows(&bench, "ours", columns, &ours).and_then(|one| {
            Ok((one, unit_rows(&bench, "theirs", columns, &theirs)?))
        });
        prop_assume!(both.is_ok());
        let (mut ours, mut theirs) = both.unwrap();
        let not: Vec<Option<usize>> =
            (0..ours.len()).map(|row| Some(row).filter(|row| within && *row < theirs.len())).collect();
        let options = SearchOptions { top, excluded: &not };
        let blocks = BlockSizes { queries, references, tile };
        let context = StageContext::new(0, threads, bench.out("scratch"), &bench.heard);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let found = pool.install(|| nearest(&mut ours, &mut theirs, &options, blocks, &context)).unwrap();
        prop_assert_eq!(bits(found), naive(&mut ours, &mut theirs, &options));
    }
}

#[test]
fn wide_rows_are_found_too_whatever_the_blocks() {
    let bench = Bench::new();
    let mut random = athanor_random::RandomState::new(1).unwrap();
    let mut values = |rows: usize| -> Vec<f64> { (0..rows * 300).map(|_| random.choice(1000) as f64).collect() };
    let mut ours = unit_rows(&bench, "ours", 300, &values(70)).unwrap();
    let mut theirs = unit_rows(&bench, "theirs", 300, &values(500)).unwrap();
    let not = vec![None; 70];
    let options = SearchOptions { top: 3, excluded: &not };
    let expected = naive(&mut ours, &mut theirs, &options);
    let context = StageContext::new(0, 1, bench.out("scratch"), &bench.heard);
    for blocks in [BlockSizes::for_columns(300), BlockSizes { queries: 64, references: 77, tile: 9 }] {
        assert_eq!(bits(nearest(&mut ours, &mut theirs, &options, blocks, &context).unwrap()), expected);
    }
}

#[test]
fn blocks_are_bounded_whatever_the_width() {
    for columns in [1, 28, 512, 2048, 1 << 24] {
        let BlockSizes { queries, references, tile } = BlockSizes::for_columns(columns);
        assert!(queries == 1 || queries * columns * 12 <= 96 << 20, "{columns}");
        assert!(references == 1 || references * columns * 12 <= 12 << 20, "{columns}");
        assert!(tile * references * 4 <= 1 << 20, "{columns}");
    }
}

#[test]
fn a_search_stops_when_asked_wherever_it_is() {
    let bench = Bench::new();
    let values: Vec<f64> = (0..80).map(f64::from).collect();
    let blocks = BlockSizes { queries: 4, references: 5, tile: 2 };
    let not = vec![None; 20];
    let mut interrupted = 0;
    for patience in 0.. {
        let mut ours = unit_rows(&bench, "ours", 4, &values).unwrap();
        let mut theirs = unit_rows(&bench, "theirs", 4, &values).unwrap();
        let impatient = Impatient(patience.into());
        let context = StageContext::new(0, 1, bench.out("scratch"), &impatient);
        match nearest(&mut ours, &mut theirs, &SearchOptions { top: 1, excluded: &not }, blocks, &context) {
            Err(StageError::Interrupted) => interrupted += 1,
            other => {
                assert_eq!(other.unwrap().len(), 20);
                break;
            }
        }
    }
    // Once a tile: 5 panels of 2 tiles, 4 blocks each.
    assert_eq!(interrupted, 40);
}

#[test]
fn a_row_without_direction_is_near_to_nothing() {
    let bench = Bench::new();
    let mut rows = unit_rows(&bench, "rows", 2, &[1.0, 5.0, 2.0, 7.0, 3.0, 9.0]).unwrap();
    let mut same = unit_rows(&bench, "same", 2, &[1.0, 5.0, 2.0, 7.0, 3.0, 9.0]).unwrap();
    let context = StageContext::new(0, 1, bench.out("scratch"), &bench.heard);
    let options = SearchOptions { top: 3, excluded: &[None; 3] };
    let found = nearest(&mut rows, &mut same, &options, BlockSizes::for_columns(2), &context).unwrap();
    assert_eq!(
        found[1].iter().map(|near| (near.reference, near.cosine)).collect::<Vec<_>>(),
        [(0, 0.0), (1, 0.0), (2, 0.0)]
    );
}
