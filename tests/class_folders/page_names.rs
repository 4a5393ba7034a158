//! Pages that files call by names.

use crate::support::Project;
use crate::{PAGES, golden, ok, put};

/// The golden file of two pages, whose names have four letters.
fn named_pages(first: &str, second: &str) -> Vec<u8> {
    let file = golden("TIFF OME page 1");
    let replace = |file: Vec<u8>, from: &str, to: &str| {
        let at = file.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        let to = format!("{to:width$}", width = from.len());
        [&file[..at], to.as_bytes(), &file[at + from.len()..]].concat()
    };
    let file = replace(file, "Name=\"FITC\"", &format!("Name=\"{second}\""));
    replace(file, "Name=\"DAPI &amp; more\"", &format!("Name=\"{first}\""))
}

/// The same stain is another page of each file.
#[test]
fn pages_are_taken_by_their_names_and_not_by_their_order() {
    let project = Project::new(PAGES);
    put(&project, "scans/one.tif", &named_pages("DAPI", "FITC"));
    put(&project, "scans/two.tif", &named_pages("FITC", "DAPI"));
    ok(&project, &[]);
    let page = |name: &str| std::fs::read(project.path(&format!("results/pages/images/{name}.png"))).unwrap();
    assert_eq!(page("one_DAPI"), page("two_FITC"), "the first page of each");
    assert_eq!(page("one_FITC"), page("two_DAPI"));
    assert_ne!(page("one_DAPI"), page("one_FITC"));
    put(&project, "scans/three.tif", &named_pages("DAPI", "TRIC"));
    let outcome = project.run(&[]);
    let told = "three.tif: its pages are called DAPI, TRIC, and those of `scans/one.tif` DAPI, FITC";
    assert!(outcome.code == 1 && outcome.out.contains(told), "{outcome:?}");
    project.edit("pages: \"${{ vars.pages }}\"", "pages: \"${{ vars.pages }}\", channels: [FITC, DAPI]");
    ok(&project, &[]);
    assert_eq!(page("one_DAPI"), page("two_FITC"), "names that are given are found by what files tell");
    assert_eq!(page("three_FITC"), page("one_DAPI"), "and else lie in their order");
}
