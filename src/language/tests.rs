//! Tests of the language's parts.

use std::time::Duration;

use proptest::prelude::*;

use super::expression::Engine;
use super::node::{self, Node};
use super::quantity::{ByteSize, GpuShare, parse_duration, written_duration};
use super::scan::{self, Piece};
use super::scope::Scope;
use super::span::SourceText;
use super::suggest;

#[test]
fn sizes() {
    let bytes = |text: &str| text.parse::<ByteSize>().map(ByteSize::bytes).ok();
    assert_eq!(bytes("24GiB"), Some(24 << 30));
    assert_eq!(bytes("1.5 kb"), Some(1500));
    assert_eq!(bytes("0"), Some(0));
    assert_eq!(bytes("99999999999TiB"), None);
    assert_eq!(bytes("-1B"), None);
    assert_eq!(bytes("1.2.3GB"), None);
    assert_eq!(bytes("GiB"), None);
    assert_eq!(bytes("3 parsecs"), None);
    assert_eq!(bytes("10"), None, "gigabytes may be meant");
    assert_eq!(ByteSize::new(1536 << 20).to_string(), "1536MiB");
    assert_eq!(ByteSize::new(24 << 30).to_string(), "24GiB");
    assert_eq!(ByteSize::new(0).to_string(), "0B");
}

#[test]
fn shares() {
    let share = |text: &str| text.parse::<GpuShare>().ok().map(|share| (share.devices(), share.share_of_each()));
    assert_eq!(share("0"), Some((0, 0)));
    assert_eq!(share("0.25"), Some((1, 250)));
    assert_eq!(share("1"), Some((1, 1000)));
    assert_eq!(share("4"), Some((4, 1000)));
    for wrong in ["1.5", "-1", "0.0001", "NaN", "inf", "x"] {
        assert_eq!(share(wrong), None, "{wrong}");
    }
    assert_eq!(GpuShare::whole(2).to_string(), "2");
    assert_eq!("0.5".parse::<GpuShare>().unwrap().to_string(), "0.5");
}

#[test]
fn durations() {
    let seconds = |text: &str| parse_duration(text).ok().map(|duration| duration.as_secs_f64());
    assert_eq!(seconds("90s"), Some(90.0));
    assert_eq!(seconds("1h30m"), Some(5400.0));
    assert_eq!(seconds("1d 2h"), Some(93_600.0));
    assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
    let written =
        ["90s", "1h30m", "1d 2h", "250ms", "1m 500ms"].map(|text| written_duration(parse_duration(text).unwrap()));
    assert_eq!(written, ["1m30s", "1h30m", "1d2h", "250ms", "1m500ms"]);
    for wrong in ["", "5", "30m1h", "1h1h", "h", "1y", "99999999999999999999s", "18446744073709551615d"] {
        assert_eq!(seconds(wrong), None, "{wrong}");
    }
}

proptest! {
    #[test]
    fn sizes_round_trip(bytes in any::<u64>()) {
        prop_assert_eq!(ByteSize::new(bytes).to_string().parse::<ByteSize>().unwrap(), ByteSize::new(bytes));
    }

    #[test]
    fn shares_round_trip(thousandths in 0u32..1000, whole in 0u32..64) {
        for share in [GpuShare::from_number(f64::from(thousandths) / 1000.0).unwrap(), GpuShare::whole(whole)] {
            prop_assert_eq!(share.to_string().parse::<GpuShare>().unwrap(), share);
        }
    }

    #[test]
    fn text_without_expressions_stays(text in "[^$]{0,40}") {
        let pieces = scan::pieces(&text).unwrap();
        prop_assert_eq!(pieces.into_iter().map(|piece| match piece {
            Piece::Text(text) => text,
            Piece::Expression { .. } => "an expression".to_owned(),
        }).collect::<String>(), text);
    }

    #[test]
    fn scanning_stays_inside_any_text(text in "[-a-z0-9${}\\[\\]()., '\"|é]{0,40}") {
        if let Ok(pieces) = scan::pieces(&text) {
            for piece in pieces {
                if let Piece::Expression { inner, outer } = piece {
                    prop_assert!(text[outer].contains(&text[inner]));
                }
            }
        }
        for chain in scan::chains(&text) {
            prop_assert!(text[chain.range].starts_with(&chain.path[0]));
        }
    }
}

#[test]
fn expressions_end_where_their_braces_do() {
    let expressions = |text: &str| -> Vec<String> {
        let inner =
            |piece| if let Piece::Expression { inner, .. } = piece { Some(text[inner].to_owned()) } else { None };
        scan::pieces(text).unwrap().into_iter().filter_map(inner).collect()
    };
    assert_eq!(expressions("a ${{ {'b': {'c': 1}} }} ${{ '}}' }} $${{ d }}"), ["{'b': {'c': 1}}", "'}}'"]);
    assert!(scan::pieces("${{ 'a }}").is_err());
}

#[test]
fn chains_are_what_an_expression_reads() {
    let chains = |text: &str| -> Vec<String> {
        let show = |chain: scan::Chain| format!("{}{}", chain.path.join("."), if chain.dynamic { "[]" } else { "" });
        scan::chains(text).into_iter().map(show).collect()
    };
    assert_eq!(chains("vars.a['b'][0].c + 'vars.x' ~ matrix.d"), ["vars.a.b.0.c", "matrix.d"]);
    assert_eq!(chains("vars.a[matrix.b] | join(',')"), ["vars.a[]", "matrix.b"]);
    assert_eq!(chains("vars.a | default(1)"), ["vars.a"]);
    assert_eq!(chains("vars.a.items()"), ["vars.a[]"]);
}

#[test]
fn suggestions_are_near() {
    assert_eq!(suggest::nearest("resize", ["resized", "model"]), Some("resized"));
    assert_eq!(suggest::nearest("fodls", ["folds", "fields"]), Some("folds"));
    assert_eq!(suggest::nearest("7", ["1", "2"]), None);
    assert_eq!(suggest::nearest("ensemble", ["model"]), None);
    assert_eq!(suggest::listing([], "names"), None);
}

/// The value of a YAML scalar with expressions over `vars`.
fn value(yaml: &str, vars: &str) -> Option<serde_json::Value> {
    let texts = [SourceText { name: "test".to_owned(), text: yaml.to_owned() }];
    let engine = Engine::new();
    let mut problems = Vec::new();
    let template = engine.template(&node::parse(yaml, 0, 0).unwrap(), &texts, &["vars"], &mut problems);
    let scope = Scope::default().with("vars", &node::parse(vars, 0, 0).unwrap());
    template.evaluate(&scope, &mut problems).as_ref().map(Node::to_json)
}

#[test]
fn values_become_text_in_yamls_words() {
    use serde_json::json;
    let vars = "{ t: true, n: null, f: 1e-7, big: 1e21, m: { a: true, b: [null, x] }, l: [true, 2] }";
    for (expression, expected) in [
        ("'x' ~ true", json!("xtrue")),
        ("'x' ~ vars.n ~ vars.t", json!("xnulltrue")),
        ("vars.t ~ ''", json!("true")),
        ("'x' ~ (1 == 2)", json!("xfalse")),
        ("'x' ~ vars.f ~ ' ' ~ vars.big ~ ' ' ~ 1.0", json!("x1e-7 1e+21 1.0")),
        ("'x' ~ vars.l", json!("x[true, 2]")),
        ("'x' ~ vars.m", json!("x{\"a\": true, \"b\": [null, \"x\"]}")),
        ("vars.t | string", json!("true")),
        ("vars.n | string", json!("null")),
        ("vars.l | map('string') | list", json!(["true", "2"])),
        ("vars.l | join(',')", json!("true,2")),
        ("vars.l | join", json!("true2")),
        ("[{'a': true}, {'a': none}] | join('-', attribute='a')", json!("true-null")),
        ("[{'a': true}] | join(',', 'a')", json!("true")),
        ("'abc' | join('-')", json!("a-b-c")),
        ("vars.t | upper", json!("TRUE")),
        ("vars.t | replace('tr', 'bl')", json!("blue")),
        ("vars.t | title", json!("True")),
        ("'%s and %s, %d' | format(vars.t, vars.n, 3)", json!("true and null, 3")),
        ("'%(a)s' | format(a=vars.t)", json!("true")),
        ("'%d %5s|%-6s|%%s %.2f' | format(vars.t, vars.t, vars.l[0], 1)", json!("1  true|true  |%s 1.00")),
        ("'%s, %s and %s' | format(vars.f, vars.l, vars.m.b)", json!("1e-7, [true, 2] and [null, \"x\"]")),
        ("'%(a)s%(b)03d%(a)d%%' | format({'a': vars.t, 'b': 7})", json!("true0071%")),
        ("'%03ld' | format(vars.l[1])", json!("002")),
        ("vars.l | join(d='-')", json!("true-2")),
        ("vars.l | join(vars.t)", json!("truetrue2")),
        ("vars.l | join(none, attribute=none)", json!("true2")),
        ("'true,b' | replace(vars.t, vars.n)", json!("null,b")),
        ("'aaa' | replace('a', 'b', count=1)", json!("baa")),
        ("vars.t | split('u')", json!(["tr", "e"])),
        ("'a b' | split", json!(["a", "b"])),
        ("vars.t | lines", json!(["true"])),
        ("{true: 1, none: 2}", json!({ "true": 1, "null": 2 })),
        ("vars.t and not vars.n", json!(true)),
    ] {
        assert_eq!(value(&format!("|-\n  ${{{{ {expression} }}}}"), vars), Some(expected), "{expression}");
    }
    for wrong in [
        "'x' ~ vars.none",
        "vars.none | string",
        "vars.none | string | default('x')",
        "(vars.none | string) is undefined",
        "vars.t | format('%s')",
        "'%d' | format('x')",
        "'%s' | format",
        "'%(a)s' | format(b=1)",
        "vars.l | join(',', d=';')",
        "vars.l | join(',', none, 1)",
        "vars.l | join(',', wrong=1)",
        "vars.l | join(',', 'a', attribute='a')",
        "'a' | replace('a', count=1)",
    ] {
        assert_eq!(value(&format!("|-\n  ${{{{ {wrong} }}}}"), vars), None, "{wrong}");
    }
}

#[test]
fn filters_get_arguments_by_name() {
    use serde_json::json;
    let vars = "{ l: [{ a: 2, t: x }, { a: 1, t: x }], w: [b, C, a] }";
    for (expression, expected) in [
        ("vars.l | map(attribute='a') | list", json!([2, 1])),
        ("vars.l | sort(attribute='a') | map(attribute='a') | list", json!([1, 2])),
        ("vars.w | sort(reverse=true) | join", json!("Cba")),
        ("vars.w | sort(case_sensitive=true) | join(',')", json!("C,a,b")),
        ("vars.l | unique(attribute='t') | length", json!(1)),
        ("'a\\nb' | indent(2, first=true)", json!("  a\n  b")),
    ] {
        assert_eq!(value(&format!("|-\n  ${{{{ {expression} }}}}"), vars), Some(expected), "{expression}");
    }
}

#[test]
fn names_are_looked_for_where_they_are_not_read_too() {
    let vars = "{ a: 1, none: 0, m: { k: v, l: [1] }, t: text }";
    let problem = |expression: &str| {
        let text = format!("x ${{{{ {expression} }}}}");
        let texts = [SourceText { name: "test".to_owned(), text: text.clone() }];
        let (engine, mut problems) = (Engine::new(), Vec::new());
        let template = engine.template(&node::parse(&text, 0, 0).unwrap(), &texts, &["vars", "matrix"], &mut problems);
        let point = node::parse("{ x: 1 }", 0, 0).unwrap();
        let scope = Scope::default().with("vars", &node::parse(vars, 0, 0).unwrap()).with("matrix", &point);
        template.evaluate(&scope, &mut problems);
        problems.first().map(|problem| (problem.message.clone(), text[problem.labels[0].span.range()].to_owned()))
    };
    for (expression, name) in [
        ("vars.a or vars.typo", "vars.typo"),
        ("vars.none and vars.typo", "vars.typo"),
        ("vars.a if vars.a else vars.m.typo", "vars.m.typo"),
        ("vars.a or vars.typo ~ 'x'", "vars.typo"),
        ("vars.a or vars.typo is none", "vars.typo"),
        ("vars.typo | upper if false else 1", "vars.typo"),
        ("vars.a or vars.m['typo']", "vars.m.typo"),
        // What leads to a name that may be missing has to be there itself.
        ("vars.m[vars.typo] | default(0)", "vars.typo"),
        ("vars.m[vars.typo] is defined", "vars.typo"),
        ("vars.typo[vars.t] | default(0)", "vars.typo"),
        ("vars.k | default(vars.typo)", "vars.typo"),
        ("(vars.a if vars.typo else 1) | default(0)", "vars.typo"),
        ("1 if vars.m is defined else vars.m.typo", "vars.m.typo"),
        ("vars.m.k if 'k' in vars.m | list else vars.m.typo", "vars.m.typo"),
    ] {
        let expected = (format!("unknown name `{name}`"), format!("${{{{ {expression} }}}}"));
        assert_eq!(problem(expression), Some(expected), "{expression}");
    }
    for fine in [
        "vars.a or vars.t",
        "vars.a or vars.typo | default(1)",
        "vars.typo if vars.typo is defined else 1",
        "1 if vars.typo is undefined else vars.typo",
        "vars.m.z if 'z' in vars.m else 1",
        "vars.m[vars.t] | default(1)",
        "vars.m.z if 'z' in vars.m | list else 1",
        "1 if vars.z is not defined else vars.z.y",
        "(vars.none or vars.typo) | default(1)",
        // At another point of the matrix it may be there.
        "vars.a or matrix.y",
    ] {
        assert_eq!(problem(fine), None, "{fine}");
    }
}

#[test]
fn no_short_expression_makes_a_value_without_end() {
    for huge in [
        "[4] * 21 ** 6",
        "[[4] * 999999] * 999999",
        "([4] * 21 ** 6) | join",
        "[0, [4] * 21 ** 6]",
        "([4] * 21 ** 6) | list",
    ] {
        assert_eq!(value(&format!("${{{{ {huge} }}}}"), "{}"), None, "{huge}");
    }
}

#[test]
fn numbers_with_zeros_before_them_are_refused() {
    for written in ["007", "012", "-08", "00", "01.5"] {
        let text = format!("a: [1, {written}]");
        let refused = *node::parse(&text, 0, 0).unwrap_err();
        assert_eq!(refused.message, format!("`{written}` can be meant as text or as a number"));
        assert_eq!(&text[refused.labels[0].span.range()], written);
    }
    for fine in ["0", "-0", "0.5", "10", "\"007\"", "2020-01-05", "0x1F", "v007"] {
        assert!(node::parse(&format!("a: {fine}"), 0, 0).is_ok(), "{fine}");
    }
    let help = node::parse("012", 0, 0).unwrap_err().help.unwrap();
    assert_eq!(help, "quote it (`\"012\"`), or write 12");
}

#[test]
fn numbers_that_versions_of_yaml_read_in_different_ways_are_refused() {
    let cases = [
        ("1_1", "11"),
        ("2024_01", "202401"),
        ("-1_000.5", "-1000.5"),
        ("0b11", "3"),
        ("0o17", "15"),
        ("-0x1F", "-31"),
        ("0x1_F", "31"),
        ("1:30", "90"),
        ("1:30:00", "5400"),
        ("007", "7"),
        ("-012", "-12"),
        ("+012", "12"),
        ("-00", "0"),
        ("-00.5", "-0.5"),
    ];
    for (written, number) in cases {
        let refused = *node::parse(&format!("a: [1, {written}]"), 0, 0).unwrap_err();
        assert_eq!(refused.message, format!("`{written}` can be meant as text or as a number"));
        assert_eq!(refused.help.unwrap(), format!("quote it (`\"{written}\"`), or write {number}"));
    }
    for fine in
        ["1e5", "1e-3", ".5", "0x1F", "07:30", "12:75", "8080:80", "a_1", "1_a", "_1", "'1:30'", "!!str 1:30", "1.2.3"]
    {
        assert!(node::parse(&format!("a: {fine}"), 0, 0).is_ok(), "{fine}");
    }
    for block in ["|\n  1_1\n", "|-\n  1_1\n", ">-\n  1:30\n"] {
        assert!(node::parse(&format!("a: {block}"), 0, 0).is_ok(), "{block}");
    }
    assert!(node::parse("{ a: &n 5, b: *n }", 0, 0).is_ok());
}

#[test]
fn numbers_that_would_lose_digits_are_refused() {
    let whole = ["18446744073709551616", "-9223372036854775809", "100000000000000000001"];
    for written in whole {
        let refused = *node::parse(&format!("a: {written}"), 0, 0).unwrap_err();
        assert_eq!(refused.message, format!("`{written}` has more digits than a whole number holds here"));
    }
    let pi = *node::parse("3.14159265358979323846", 0, 0).unwrap_err();
    assert_eq!(pi.message, "`3.14159265358979323846` has more digits than a number keeps");
    assert!(pi.help.unwrap().starts_with("write 3.141592653589793, or quote it"));
    let odd = *node::parse("9007199254740993.0", 0, 0).unwrap_err();
    assert_eq!(odd.message, "`9007199254740993.0` has more digits than a number keeps");
    let small = *node::parse("1e-400", 0, 0).unwrap_err();
    assert_eq!(small.message, "`1e-400` is nearer to 0 than a number can be");
    let kept = [
        "18446744073709551615",
        "-9223372036854775808",
        "0.10000000000000001",
        "0.50000000000000000000000",
        "1e22",
        "0",
        "0.0",
        "1.50e-7",
        "5e-324",
        "!!float 3",
    ];
    for fine in kept {
        assert!(node::parse(&format!("a: {fine}"), 0, 0).is_ok(), "{fine}");
    }
}

#[test]
fn tags_of_types_are_obeyed() {
    use serde_json::json;
    let fine = [
        ("!!str 3", json!("3")),
        ("! 3", json!("3")),
        ("!<tag:yaml.org,2002:str> 3", json!("3")),
        ("!!int \"3\"", json!(3)),
        ("!!bool \"true\"", json!(true)),
        ("!!null \"\"", json!(null)),
        ("!!seq [1]", json!([1])),
        ("!!map { !!str b: 1 }", json!({ "b": 1 })),
        ("[ &x !!str 3, *x ]", json!(["3", "3"])),
        ("a!b", json!("a!b")),
        ("'!Ref a'", json!("!Ref a")),
    ];
    for (written, value) in fine {
        assert_eq!(node::parse(&format!("a: {written}"), 0, 0).unwrap().to_json(), json!({ "a": value }), "{written}");
    }
}

#[test]
fn other_tags_are_refused() {
    let refused = [
        "!Ref foo",
        "!include other.yaml",
        "!env HOME",
        "!!set { a, b }",
        "!!omap [a: 1]",
        "!!int 3.5",
        "!!str [3]",
        "!!map [1]",
        "!!timestamp 2001-01-01",
        "!!python/tuple [1]",
        "!Sub\n  b: 1",
        "[1, !!seq { b: 1 }]",
        "{ !x b: 1 }",
        "1e400",
    ];
    let told = refused.map(|written| {
        let error = *node::parse(&format!("a: {written}"), 0, 0).unwrap_err();
        format!("{written:?}: {}\n    {}", error.message, error.help.as_deref().unwrap_or("-"))
    });
    insta::assert_snapshot!(told.join("\n"), @r#"
    "!Ref foo": the tag `!Ref` has no meaning here
        take it out; texts, numbers, lists and mappings need none
    "!include other.yaml": the tag `!include` has no meaning here
        name the file under `include` at the top of the pipeline, or give it by `--vars`
    "!env HOME": the tag `!env` has no meaning here
        name the variable under `env_passthrough`, or give its value by `--set`
    "!!set { a, b }": the tag `!!set` has no meaning here
        take it out; texts, numbers, lists and mappings need none
    "!!omap [a: 1]": the tag `!!omap` has no meaning here
        take it out; texts, numbers, lists and mappings need none
    "!!int 3.5": a tag (`!!…`) does not fit its value, or has no meaning here: take it out
        -
    "!!str [3]": the tag `!!str` does not fit its value
        -
    "!!map [1]": the tag `!!map` does not fit its value
        -
    "!!timestamp 2001-01-01": a tag (`!!…`) does not fit its value, or has no meaning here: take it out
        -
    "!!python/tuple [1]": the tag `!!python/tuple` has no meaning here
        take it out; texts, numbers, lists and mappings need none
    "!Sub\n  b: 1": the tag `!Sub` has no meaning here
        take it out; texts, numbers, lists and mappings need none
    "[1, !!seq { b: 1 }]": the tag `!!seq` does not fit its value
        -
    "{ !x b: 1 }": the tag `!x` has no meaning here
        -
    "1e400": `1e400` is larger than a number can be
        -
    "#);
}

#[test]
fn evaluated_values() {
    use serde_json::json;
    let vars = "{ n: 3, big: 18446744073709551615, f: 0.5, one: 1.0, l: [1, a], m: { k: v }, t: yes }";
    assert_eq!(value("${{ vars.n }}", vars), Some(json!(3)));
    assert_eq!(value("${{ vars.n / 2 }}", vars), Some(json!(1.5)));
    assert_eq!(value("${{ vars.big }}", vars), Some(json!(18446744073709551615u64)));
    assert_eq!(value("${{ vars.one }}", vars), Some(json!(1.0)));
    assert_eq!(value("[x, '${{ vars.l }}', '${{ vars.m }}']", vars), Some(json!(["x", [1, "a"], { "k": "v" }])));
    assert_eq!(value("a-${{ vars.f }}-${{ vars.t }}", vars), Some(json!("a-0.5-yes")));
    assert_eq!(value("$${{ vars.f }}", vars), Some(json!("${{ vars.f }}")));
    assert_eq!(value("${{ vars.none | default(4) }}", vars), Some(json!(4)));
    assert_eq!(value("${{ vars.none }}", vars), None);
    assert_eq!(value("${{ vars.n + }}", vars), None);
    assert_eq!(value("${{ 1 / 0 }}", vars), None);
    assert_eq!(value("${{ [1] * 3 | join(',') }}", vars), None, "a filter binds more tightly");
    assert_eq!(value("${{ ([1] * 3) | join(',') }}", vars), Some(json!("1,1,1")));
}
