//! Names under which commands find their inputs.

mod support;

use support::Project;

/// A pipeline with stages `m` over two axes, and `all`, which runs `line` on what it gathers.
fn gathering(selector: &str, line: &str) -> Project {
    Project::new(&format!(
        "athanor: 1\nname: p\nvars: {{ folds: [0, 1] }}\nstages:\n  \
         m:\n    kind: command\n    matrix: {{ model: [x, 'a/b c'], fold: \"${{{{ vars.folds }}}}\" }}\n    \
         run: echo ${{{{ matrix.model }}}} ${{{{ matrix.fold }}}} > ${{{{ outputs.o }}}}\n    outputs: {{ o: out/scores.tar.gz }}\n  \
         all:\n    kind: command\n    inputs: {{ scores: \"{selector}\" }}\n    run: \"{line}\"\n    outputs: {{ o: o.txt }}\n\
         results: {{ o.txt: all }}\n"
    ))
}

#[test]
fn a_single_input_keeps_its_name() {
    let project = Project::new(
        "athanor: 1\nname: p\nstages:\n  \
         one:\n    kind: command\n    inputs: { reads: \"data/my reads.fastq.gz\", code: . , here: data }\n    \
         run: (cat ${{ inputs.reads }}; cd inputs; ls *) > ${{ outputs.archive }}\n    outputs: { archive: sub/archive.tar.gz }\n  \
         two:\n    kind: command\n    inputs: { a: one }\n    run: ls inputs/a > ${{ outputs.o }}; echo ${{ inputs.a }} >> ${{ outputs.o }}\n    outputs: { o: o }\n\
         results: { one: one, two: two }\n",
    );
    project.write("data/my reads.fastq.gz", "ACGT\n");
    // A cache inside of an input would change it.
    let cache = tempfile::tempdir().unwrap();
    let outcome = project.run(&["--cache", &cache.path().join("cache").display().to_string()]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(project.read("results/p/one"), "ACGT\ncode:\nproject\n\nhere:\ndata\n\nreads:\nmy reads.fastq.gz\n");
    assert_eq!(project.read("results/p/two"), "archive.tar.gz\ninputs/a/archive.tar.gz\n");
}

#[test]
fn gathered_inputs_lie_under_the_gathered_axes() {
    let line = "find -L inputs -type f | LC_ALL=C sort > ${{ outputs.o }}; cat inputs/scores.csv >> ${{ outputs.o }}";
    let project = gathering("m", line);
    assert_eq!(project.run(&[]).code, 0);
    assert_eq!(
        project.read("results/p/o.txt"),
        "inputs/scores.csv\n\
         inputs/scores/model=a%2Fb%20c,fold=0/scores.tar.gz\n\
         inputs/scores/model=a%2Fb%20c,fold=1/scores.tar.gz\n\
         inputs/scores/model=x,fold=0/scores.tar.gz\n\
         inputs/scores/model=x,fold=1/scores.tar.gz\n\
         path,model,fold\n\
         \"inputs/scores/model=x,fold=0/scores.tar.gz\",x,0\n\
         \"inputs/scores/model=x,fold=1/scores.tar.gz\",x,1\n\
         \"inputs/scores/model=a%2Fb%20c,fold=0/scores.tar.gz\",a/b c,0\n\
         \"inputs/scores/model=a%2Fb%20c,fold=1/scores.tar.gz\",a/b c,1\n"
    );
    let project = gathering("m[model=x]", line);
    assert_eq!(project.run(&[]).code, 0);
    assert_eq!(
        project.read("results/p/o.txt"),
        "inputs/scores.csv\ninputs/scores/fold=0/scores.tar.gz\ninputs/scores/fold=1/scores.tar.gz\n\
         path,fold\ninputs/scores/fold=0/scores.tar.gz,0\ninputs/scores/fold=1/scores.tar.gz,1\n"
    );
}

#[test]
fn a_renamed_stage_reruns_nobody() {
    let project = gathering("m", "ls -R inputs > ${{ outputs.o }}; cat inputs/scores.csv >> ${{ outputs.o }}");
    assert_eq!(project.made(&[]).len(), 5);
    project.edit("  m:", "  model:");
    project.edit("scores: \"m\"", "scores: \"model\"");
    assert_eq!(project.made(&[]), [""; 0]);
}

#[test]
fn a_name_that_a_command_sees_is_part_of_what_it_computes_from() {
    let project = Project::new(
        "athanor: 1\nname: p\nstages:\n  \
         a:\n    kind: command\n    inputs: { x: one.txt }\n    run: ls -R inputs/ > ${{ outputs.o }}\n    outputs: { o: o }\n  \
         t:\n    kind: rows\n    inputs: { table: one.txt }\n    params: { first: 1 }\n\
         results: { a: a }\n",
    );
    project.write("one.txt", "id\n1\n");
    project.write("two.txt", "id\n1\n");
    assert_eq!(project.made(&[]).len(), 2);
    project.edit("one.txt", "two.txt");
    let explained = project.athanor(&["explain", "p.yaml", "a"]).out;
    assert!(explained.contains("`inputs/x/one.txt`") && explained.contains("`inputs/x/two.txt`"), "{explained}");
    // Kinds do not see names.
    assert_eq!(project.made(&[]), ["a"]);
    assert!(project.read("results/p/a").contains("two.txt"));
    // Another label of a gathered axis is another name, though the contents are the same.
    let project = gathering("m[model=x]", "cat inputs/scores.csv > ${{ outputs.o }}");
    project.edit(" ${{ matrix.fold }} >", " >");
    assert_eq!(project.made(&[]).last().map(String::as_str), Some("all"));
    project.edit("folds: [0, 1]", "folds: [0, 2]");
    assert_eq!(project.made(&[]), ["all"]);
}

#[test]
fn odd_names_arrive_as_they_are() {
    let odd = "it's \"$x\"\t\\ -é;*.csv";
    let project = Project::new(&format!(
        "athanor: 1\nname: p\nvars: {{ file: {} }}\nstages:\n  \
         a:\n    kind: command\n    inputs: {{ one: \"${{{{ vars.file }}}}\", list: [\"a/-x\", \"b/-x\", \"${{{{ vars.file }}}}\"] }}\n    \
         run: |\n      cat ${{{{ inputs.one }}}} ${{{{ inputs.list }}}} inputs/list.csv > ${{{{ outputs.o }}}}\n    outputs: {{ o: o }}\n\
         results: {{ a: a }}\n",
        serde_json::to_string(odd).unwrap()
    ));
    project.write(odd, "odd\n");
    project.write("a/-x", "1\n");
    project.write("b/-x", "2\n");
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let quoted = odd.replace('"', "\"\"");
    assert_eq!(
        project.read("results/p/a"),
        format!("odd\n1\n2\nodd\npath\ninputs/list/a/-x\ninputs/list/b/-x\n\"inputs/list/{quoted}\"\n")
    );
}

#[test]
fn long_labels_fit_into_file_names() {
    let project = gathering("m[model=x]", "cat ${{ inputs.scores }} > ${{ outputs.o }}");
    project.edit("folds: [0, 1]", &format!("folds: [\"{}\", \"{}\"]", "a ".repeat(200), "b".repeat(100)));
    let outcome = project.run(&["all"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(project.read("results/p/o.txt").lines().count(), 2);
}

#[test]
fn an_attempt_finds_its_own_inputs_alone_whatever_the_one_before_it_left() {
    // One after the other, in the same folder.
    let list = "(cd inputs && find . | LC_ALL=C sort && cat $(find . -name '*.txt')) > ${{ outputs.o }}";
    let mess = [
        "mkdir inputs/other inputs/b/more; touch inputs/other/f inputs/b/more/f inputs/b/f",
        "rm -r inputs/a; ln -s \"$PWD\" inputs/a; touch .tmp/f",
        "chmod a-rwx inputs/b",
        "rm -r inputs/c; echo text > inputs/c",
        "rm inputs; mkdir inputs",
    ];
    let ports = ["b", "a", "b", "c", "d", "e"];
    let mut pipeline = "athanor: 1\nname: p\nstages:\n".to_owned();
    for (number, port) in ports.iter().enumerate() {
        let from = if number == 0 { "x.txt".to_owned() } else { format!("s{}", number - 1) };
        pipeline += &format!("  s{number}:\n    kind: command\n    inputs: {{ {port}: {from} }}\n");
        let mess = mess.get(number).copied().unwrap_or("true");
        pipeline += &format!("    run: |\n      {list}\n      {mess}\n    outputs: {{ o: o{number}.txt }}\n");
    }
    pipeline += "results: { s0: s0, s1: s1, s2: s2, s3: s3, s4: s4, s5: s5 }\n";
    let project = Project::new(&pipeline);
    project.write("x.txt", "begin\n");
    let outcome = project.run(&["-j", "1"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let mut expected = "begin\n".to_owned();
    for (number, port) in ports.iter().enumerate() {
        let name = if number == 0 { "x.txt".to_owned() } else { format!("o{}.txt", number - 1) };
        expected = format!(".\n./{port}\n./{port}/{name}\n{expected}");
        assert_eq!(project.read(&format!("results/p/s{number}")), expected);
    }
}
