//! Messages about containers: engines and images that are not there, and engines that fail.

use crate::shown::shown;
use crate::stand_in::Engine;

fn pipeline(container: &str) -> String {
    format!(
        "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    container: {container}\n    run: \"true\"\n    outputs: {{}}\n"
    )
}

fn said(engine: &Engine) -> String {
    let container = engine.project.read("p.yaml").lines().nth(5).unwrap().trim().to_owned();
    let (project, state) = (engine.project.path("."), engine.path("."));
    let outcome = engine.run(&[]);
    format!("{container}\n{}", shown(&outcome, &[(&project, "<project>"), (&state, "<engine>")]))
}

#[test]
fn mistakes_in_a_container() {
    let all = [
        "{ image: x, engine: dockr }",
        "{ engine: docker }",
        "{ image: \"docker://x\" }",
        "{ image: \"library://x\", engine: apptainer }",
        "{ image: \"-v/:/x\" }",
        "{ image: \"\" }",
        "{ image: x, volumes: [/data] }",
        "x",
    ]
    .map(|container| said(&Engine::new(&["podman"], &pipeline(container))));
    insta::assert_snapshot!(all.concat());
}

#[test]
fn engines_and_images_that_are_not_there() {
    let mut all = String::new();
    for container in ["{ image: x }", "{ image: x, engine: docker }", "{ image: x.sif }"] {
        all += &said(&Engine::new(&[], &pipeline(container)));
    }
    all += &said(&Engine::new(&["apptainer"], &pipeline("{ image: x.sif }")));
    let odd = Engine::new(&["podman"], &pipeline("{ image: x }"));
    odd.image("x", "");
    all += &said(&odd);
    insta::assert_snapshot!(all);
}

#[test]
fn an_engine_that_cannot_start_a_container() {
    let engine = Engine::new(&["podman"], &pipeline("{ image: x }"));
    engine.image("x", "aaaa\n");
    std::fs::write(engine.path("broken"), "").unwrap();
    insta::assert_snapshot!(said(&engine));
}
