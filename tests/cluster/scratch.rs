//! Attempts that work on a disk of the node's own.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::fake::Cluster;

/// Two stages that read one stored file and one stored folder.
const PIPELINE: &str = "athanor: 1
name: p
stages:
  big:
    kind: command
    run: seq 1000 > ${{ outputs.file }}; mkdir d; echo a > d/a; echo b > d/b
    outputs: { file: numbers.txt, folder: d }
  reads:
    kind: command
    matrix: { n: [1, 2] }
    inputs: { numbers: big.file, folder: big.folder }
    run: |
      pwd > where
      readlink -f inputs/numbers/numbers.txt >> where
      dirname $TMPDIR >> where
      echo ${{ matrix.n }} >> where
      cat where inputs/folder/d/* > ${{ outputs.where }}
      tail -n 1 ${{ inputs.numbers }} >> ${{ outputs.where }}
    outputs: { where: out.txt }
results: { out: reads }
";

fn cluster(pipeline: &str, scratch: &str) -> (Cluster, PathBuf) {
    let cluster = Cluster::new(pipeline);
    let disk = cluster.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let settings = format!("executor: slurm\nslurm: {{ poll: 1s, idle: 20s, max_jobs: 4 }}\nscratch: {scratch}\n");
    cluster.project.write("athanor.config.yaml", &settings);
    (cluster, disk)
}

/// Names in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The folder of this user on the disk of the node.
fn own(disk: &Path) -> PathBuf {
    let names = names(disk);
    assert_eq!(names.len(), 1, "{names:?}");
    disk.join(&names[0])
}

#[test]
fn attempts_work_on_the_node_and_share_copies_of_inputs() {
    let (cluster, disk) = cluster(PIPELINE, "$NODE_DISK/athanor");
    let mut command = cluster.command(&["run", "p.yaml"]);
    command.env("NODE_DISK", &disk);
    let outcome = crate::support::Outcome::of(command);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let own = own(&disk.join("athanor"));
    assert_eq!(std::fs::metadata(&own).unwrap().permissions().mode() & 0o777, 0o700);
    for n in [1, 2] {
        let text = cluster.project.read(&format!("results/p/out/n={n}.txt"));
        let lines: Vec<&str> = text.lines().collect();
        let [work, numbers, temporary, number, a, b, last] = lines[..] else { panic!("{text}") };
        assert!(Path::new(work).starts_with(own.join("attempts")), "{work}");
        assert!(Path::new(numbers).starts_with(own.join("inputs")), "{numbers}");
        assert_eq!((temporary, number.parse(), a, b, last), (work, Ok(n), "a", "b", "1000"));
    }
    let copies = names(&own.join("inputs")).into_iter().filter(|name| name.ends_with(".list")).count();
    assert_eq!(copies, 2, "each input is copied once: {:?}", names(&own.join("inputs")));
    assert_eq!(names(&own.join("attempts")), Vec::<String>::new(), "nothing of an attempt is left");
    let again = Cluster::run(&cluster, &["--executor", "local", "--json"]);
    assert_eq!((again.code, crate::support::events(&again.out, "started")), (0, Vec::new()), "{again:?}");
}

#[test]
fn a_copy_that_a_stage_changes_is_made_anew() {
    let pipeline = "athanor: 1
name: p
stages:
  big: { kind: command, run: 'seq 10 > ${{ outputs.file }}', outputs: { file: n.txt } }
  spoils:
    kind: command
    inputs: { numbers: big.file }
    run: |
      file=$(readlink -f ${{ inputs.numbers }})
      chmod u+w $file
      echo 11 >> $file
      touch ${{ outputs.o }}
    outputs: { o: o }
    sandbox: off
  reads:
    kind: command
    inputs: { numbers: big.file }
    run: wc -l < ${{ inputs.numbers }} > ${{ outputs.o }}
    outputs: { o: o }
results: { lines: reads }
";
    let (cluster, _) = cluster(pipeline, "$NODE_DISK");
    let run = |arguments: &[&str]| {
        let mut command = cluster.command(&[&["run", "p.yaml"], arguments].concat());
        command.env("NODE_DISK", cluster.path("disk"));
        crate::support::Outcome::of(command)
    };
    let outcome = run(&["spoils"]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.out.contains("It changed its own input `inputs/numbers/n.txt`"), "{}", outcome.out);
    let outcome = run(&["reads"]);
    assert_eq!((outcome.code, cluster.project.read("results/p/lines")), (0, "10\n".to_owned()), "{outcome:?}");
    let verified = crate::support::Outcome::of(cluster.command(&["cache", "verify"]));
    assert_eq!(verified.code, 0, "{verified:?}");
}

#[test]
fn a_node_without_the_folder_says_so() {
    let (cluster, _) = cluster(PIPELINE, "$NO_SUCH_DISK");
    let outcome = cluster.run(&[]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    let told = "`scratch` is `$NO_SUCH_DISK`, and the variable `NO_SUCH_DISK` is not set on this node.";
    assert!(outcome.out.contains(told), "{}", outcome.out);
}
