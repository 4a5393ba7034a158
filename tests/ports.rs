//! The pipelines under `docs/ports`: each runs, has nothing to do then, and after a change makes what depends on it, and nothing else.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Outcome, Project, events, skips};

/// Lines of the originals, as `docs/ports/README.md` counts them.
const ORIGINALS: [(&str, usize, &[&str]); 3] = [
    ("snakemake", 60, &["pipeline.yaml"]),
    ("dvc", 85, &["pipeline.yaml", "params.yaml"]),
    ("rnaseq-nf", 104, &["pipeline.yaml"]),
];

fn ports() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ports")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let at = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &at);
        } else {
            std::fs::copy(entry.path(), at).unwrap();
        }
    }
}

/// A copy of a port, if its programs can run here; says so if not.
fn port(name: &str) -> Option<Project> {
    let is_there =
        |program: &str| Command::new(program).arg("--version").output().is_ok_and(|run| run.status.success());
    if !is_there("python3") {
        skips("there is no python3");
        return None;
    }
    let project = Project::new("");
    std::fs::remove_file(project.path("p.yaml")).unwrap();
    copy(&ports().join(name), &project.path(""));
    Some(project)
}

/// Runs the port, in the sandbox, and returns the instances that were made, sorted.
fn made(project: &Project, arguments: &[&str]) -> Vec<String> {
    let all = [&["run", "pipeline.yaml", "--json", "-j", "2"], arguments].concat();
    let outcome = Outcome::of(project.sandboxed(&all));
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let mut made = events(&outcome.out, "finished");
    made.sort();
    made
}

fn replace(project: &Project, file: &str, from: &str, to: &str) {
    let text = project.read(file);
    assert!(text.contains(from), "{from} is not in {text}");
    project.write(file, &text.replace(from, to));
}

#[test]
fn each_has_no_more_lines_than_its_original() {
    let readme = std::fs::read_to_string(ports().join("README.md")).unwrap();
    for (name, original, files) in ORIGINALS {
        let count = |file: &&str| {
            let text = std::fs::read_to_string(ports().join(name).join(file)).unwrap();
            text.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')).count()
        };
        let ours: usize = files.iter().map(count).sum();
        assert!(ours <= original, "{name}: {ours} lines, where the original has {original}");
        let row = readme.lines().find(|line| line.contains(&format!("]({name}/pipeline.yaml)"))).unwrap();
        assert!(row.contains(&format!("| {original} |")) && row.ends_with(&format!("| {ours} |")), "{ours}: {row}");
    }
}

#[test]
fn snakemakes_advanced_tutorial() {
    let Some(project) = port("snakemake") else { return };
    let all = ["calls", "mapped[sample=A]", "mapped[sample=B]", "quals", "sorted[sample=A]", "sorted[sample=B]"];
    assert_eq!(made(&project, &[]), all);
    assert_eq!(made(&project, &[]), [""; 0]);
    let calls = project.read("results/snakemake/calls/all.vcf");
    let places: Vec<&str> =
        calls.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').nth(1).unwrap()).collect();
    assert_eq!(places, ["51", "181"]);
    assert_eq!(project.read("results/snakemake/plots/quals.svg").matches("<rect").count(), 2);
    assert!(project.path("results/snakemake/sorted_reads/sample=A/A.bam").is_file());
    assert!(project.path("results/snakemake/sorted_reads/sample=A/A.bam.bai").is_file());
    // A parameter reaches no further up than where it is used.
    assert_eq!(made(&project, &["--set", "prior_mutation_rate=0.5"]), ["calls", "quals"]);
    assert_eq!(project.read("results/snakemake/plots/quals.svg").matches("<rect").count(), 3);
    // The earlier results are still there.
    assert_eq!(made(&project, &[]), [""; 0]);
    // Another sample: its own stages, and those that read all samples.
    let line = "    B: data/samples/B.fastq\n";
    replace(&project, "pipeline.yaml", line, &format!("{line}    C: data/samples/C.fastq\n"));
    assert_eq!(made(&project, &[]), ["calls", "mapped[sample=C]", "quals", "sorted[sample=C]"]);
    // Reads in another order are sorted to the same file, and there the wave ends.
    let reads = project.read("data/samples/A.fastq");
    let lines: Vec<&str> = reads.lines().collect();
    let turned: Vec<String> = lines.chunks(4).rev().map(|read| read.join("\n") + "\n").collect();
    project.write("data/samples/A.fastq", &turned.concat());
    assert_eq!(made(&project, &[]), ["mapped[sample=A]", "sorted[sample=A]"]);
    // A tool that a line names counts, and so does a script.
    replace(&project, "scripts/plot_quals.py", "width=\"10\"", "width=\"9\"");
    assert_eq!(made(&project, &[]), ["quals"]);
}

#[test]
fn dvcs_get_started() {
    let Some(project) = port("dvc") else { return };
    let outcome = Outcome::of(project.sandboxed(&["run", "pipeline.yaml"]));
    assert!(outcome.code == 0 && outcome.out.contains("roc_auc_test = 0."), "{outcome:?}");
    assert_eq!(made(&project, &[]), [""; 0]);
    assert!(project.read("results/dvc/eval/metrics.json").contains("roc_auc_test"));
    assert!(project.read("results/dvc/eval/plots/importance.csv").starts_with("term,importance\n"));
    assert!(project.path("results/dvc/model.json").is_file());
    // Parameters by their keys: who reads them runs, and what follows.
    replace(&project, "params.yaml", "n_est: 9", "n_est: 5");
    let explained = project.athanor(&["explain", "pipeline.yaml", "train"]).out;
    assert!(explained.contains("train.n_est"), "{explained}");
    assert_eq!(made(&project, &[]), ["evaluate", "train"]);
    replace(&project, "params.yaml", "ngrams: 2", "ngrams: 1");
    assert_eq!(made(&project, &[]), ["evaluate", "featurize", "train"]);
    replace(&project, "params.yaml", "# Editing", "# To edit");
    assert_eq!(made(&project, &[]), [""; 0]);
    replace(&project, "params.yaml", "split: 0.25", "split: 0.5");
    assert_eq!(made(&project, &[]), ["evaluate", "featurize", "prepare", "train"]);
    // A module that scripts import, which no line names; they give the same results.
    replace(&project, "src/params.py", "return values", "return dict(values)");
    assert_eq!(made(&project, &[]), ["featurize", "prepare", "train"]);
}

#[test]
fn nextflows_rnaseq_nf() {
    let Some(project) = port("rnaseq-nf") else { return };
    let all = ["fastqc[sample=gut]", "index", "multiqc", "quant[sample=gut]", "samples"];
    assert_eq!(made(&project, &[]), all);
    assert_eq!(made(&project, &[]), [""; 0]);
    let quant = project.read("results/rnaseq-nf/quant/sample=gut/quant.sf");
    assert!(quant.contains("actin\t240\t513447.4\t28\n"), "{quant}");
    assert_eq!(
        project.read("results/rnaseq-nf/samples.csv"),
        "id,fastqc,quant\ngut,fastqc/sample=gut,quant/sample=gut\n"
    );
    let report = project.read("results/rnaseq-nf/multiqc_report.html");
    assert!(report.contains("<h2>sample=gut/quant_gut/quant.sf</h2>"), "{report}");
    // A profile with more samples: only what is new.
    let more = [
        "fastqc[sample=liver]",
        "fastqc[sample=lung]",
        "multiqc",
        "quant[sample=liver]",
        "quant[sample=lung]",
        "samples",
    ];
    assert_eq!(made(&project, &["--profile", "all-reads"]), more);
    // One mate of one sample.
    let reads = project.read("data/reads/lung_2.fq");
    project.write("data/reads/lung_2.fq", &(reads.clone() + &reads[..reads.len() / 2]));
    assert_eq!(made(&project, &["--profile", "all-reads"]), ["fastqc[sample=lung]", "multiqc", "quant[sample=lung]"]);
    // The report's configuration.
    project.write("multiqc/multiqc_config.yaml", "title: Another\n");
    assert_eq!(made(&project, &["--profile", "all-reads"]), ["multiqc"]);
    // Another version of a program, told by what it prints.
    replace(&project, "tools/salmon", "salmon 0 ", "salmon 1 ");
    let quantified = ["index", "quant[sample=gut]", "quant[sample=liver]", "quant[sample=lung]"];
    assert_eq!(made(&project, &["--profile", "all-reads"]), quantified);
}
