//! Reports and the live page in a real browser: they load nothing, report no error, draw their charts, filter, and fit dark and
//! narrow screens. Skipped, and said so, where there is no Chromium.

mod chromium;
mod live;
#[path = "../support/mod.rs"]
mod support;

use chromium::Browser;
use support::Project;

/// Attribute that a report sets when it is drawn.
const DRAWN: &str = "document.documentElement.dataset.drawn !== undefined";

/// Number of pixels of a canvas that are not as its corner is.
fn painted(browser: &mut Browser, selector: &str) -> i64 {
    let code = format!(
        "(() => {{ const canvas = document.querySelector({selector:?}); const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data; let count = 0; for (let at = 0; at < data.length; at += 4) if (data[at] !== data[0] || data[at + 3] !== data[3]) count += 1; return count; }})()"
    );
    browser.eval(&code).as_i64().unwrap()
}

/// A pipeline with curves, figures, a matrix and a failure.
const PIPELINE: &str = r#"
athanor: 1
name: tour
vars: { epochs: 30 }
stages:
  data:
    kind: command
    run: seq 10 > ${{ outputs.o }}
    outputs: { o: data.txt }
  model:
    kind: command
    matrix: { arch: [small, large], fold: [0, 1] }
    inputs: { i: data }
    run: |
      for epoch in $(seq ${{ vars.epochs }}); do
        echo '{"event":"metric","name":"loss","value":'$(awk "BEGIN { print 1 / $epoch + ${{ matrix.fold }} / 10 }")',"step":'$epoch'}' >> $ATHANOR_EVENTS
        echo '{"event":"metric","name":"accuracy","value":'$(awk "BEGIN { print 1 - 1 / ($epoch + 1) }")',"step":'$epoch'}' >> $ATHANOR_EVENTS
      done
      cat ${{ inputs.i }} > ${{ outputs.o }}
    outputs: { o: model.txt }
  report:
    kind: command
    inputs: { models: model }
    run: |
      echo '{"event":"metric","name":"macro_f1","value":0.875}' >> $ATHANOR_EVENTS
      echo '{"event":"figure","name":"classes","figure":{"title":"Classes","kind":"table","columns":["class","f1"],"rows":[["<b>bold</b>",0.5],["other",0.75]]}}' >> $ATHANOR_EVENTS
      echo '{"event":"figure","name":"confusion","figure":{"title":"Confusion","kind":"matrix","rows":["a","b"],"columns":["a","b"],"values":[[9,1],[2,8]]}}' >> $ATHANOR_EVENTS
      echo done > ${{ outputs.o }}
    outputs: { o: report.txt }
  broken:
    kind: command
    inputs: { i: report }
    run: |
      echo '</script><img src=http://evil.example/x.png onerror=alert(1)>'
      exit 3
    outputs: { o: broken.txt }
"#;

/// The report of a run of the pipeline in which everything but its last stage works.
fn report(project: &Project) -> String {
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    let outcome = project.athanor(&["report", "p.yaml", "-o", "report.html"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    format!("file://{}", project.path("report.html").display())
}

#[test]
fn a_report_is_drawn_and_loads_nothing() {
    let Some(mut browser) = Browser::start() else { return };
    let project = Project::new(PIPELINE);
    let address = report(&project);
    browser.set_up(1280, 1000, false);
    browser.open(&address, DRAWN);
    assert_eq!(browser.requests(), std::slice::from_ref(&address), "nothing but the file itself");
    assert_eq!(browser.errors(), [] as [String; 0]);
    assert!(painted(&mut browser, "canvas.gantt") > 2000);
    assert!(painted(&mut browser, ".u-wrap canvas") > 500);
    assert_eq!(browser.eval("document.querySelectorAll('svg .node').length"), 4);
    assert_eq!(browser.eval("document.querySelectorAll('#figures table').length"), 2);
    let charts = "[...document.querySelectorAll('#learning-curves h3')].map((title) => title.textContent).join()";
    assert_eq!(browser.eval(charts), "accuracy,loss", "a score and a loss");
    let text = browser.eval("document.body.innerText").as_str().unwrap().to_owned();
    for part in [
        "tour",
        "macro_f1 of report",
        "<b>bold</b>",
        "</script><img src=http://evil.example",
        "exit status 3",
        "never ran",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert_eq!(browser.eval("document.images.length"), 0, "a log is no picture");
    browser.screenshot("report-light");
}

#[test]
fn the_legend_filters_and_the_tip_says_values() {
    let Some(mut browser) = Browser::start() else { return };
    let project = Project::new(PIPELINE);
    let address = report(&project);
    browser.set_up(1280, 1000, false);
    browser.open(&address, DRAWN);
    let shown = "document.querySelectorAll('#learning-curves .legend span:not(.off)').length";
    assert_eq!(browser.eval(shown), 4);
    browser.eval(
        "(() => { const box = document.getElementById('curve-filter'); box.value = 'fold=1'; box.dispatchEvent(new Event('input')); })()",
    );
    assert_eq!(browser.eval(shown), 2);
    let chart = "(() => { const box = document.querySelector('.u-over'); box.scrollIntoView({ block: 'center' }); const { left, top, width, height } = box.getBoundingClientRect(); return [left + width / 2, top + height / 2]; })()";
    let place = browser.eval(chart);
    let moved = serde_json::json!({ "type": "mouseMoved", "x": place[0], "y": place[1] });
    browser.call("Input.dispatchMouseEvent", moved);
    browser.wait("!document.getElementById('tip').hidden");
    let tip = browser.eval("document.getElementById('tip').textContent").as_str().unwrap().to_owned();
    assert!(tip.contains("step ") && tip.contains("fold=1"), "{tip}");
    assert_eq!(browser.errors(), [] as [String; 0]);
}

#[test]
fn a_comparison_shows_the_lines_of_a_script_that_differ() {
    let Some(mut browser) = Browser::start() else { return };
    let project = Project::new(PIPELINE);
    report(&project);
    assert_eq!(project.run(&["--set", "epochs=20"]).code, 1);
    let outcome = project.athanor(&["report", "p.yaml", "--set", "epochs=20", "--diff", "last~1", "-o", "diff.html"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    browser.set_up(1280, 1000, false);
    browser.open(&format!("file://{}", project.path("diff.html").display()), DRAWN);
    let lines =
        |kind: &str| format!("document.querySelector('#compared-with-the-other-run pre .{kind}').textContent.trim()");
    assert_eq!(browser.eval(&lines("down")), "- for epoch in $(seq 30); do");
    assert_eq!(browser.eval(&lines("up")), "+ for epoch in $(seq 20); do");
    assert_eq!(browser.eval("document.querySelectorAll('#learning-curves .legend i.dashed').length"), 4);
    assert_eq!(browser.errors(), [] as [String; 0]);
}

#[test]
fn a_page_compares_two_runs() {
    let Some(mut browser) = Browser::start() else { return };
    let project = Project::new(&PIPELINE.replace("    matrix:", "    seed: ${{ vars.epochs }}\n    matrix:"));
    report(&project);
    assert_eq!(project.run(&["--set", "epochs=20"]).code, 1);
    let outcome = project.athanor(&["compare", "p.yaml", "last~1", "last", "--html", "both.html"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let address = format!("file://{}", project.path("both.html").display());
    browser.set_up(1280, 1000, false);
    browser.open(&address, DRAWN);
    assert_eq!(browser.requests(), std::slice::from_ref(&address), "nothing but the file itself");
    let titles = browser.eval("[...document.querySelectorAll('h2')].map((title) => title.textContent).join()");
    assert_eq!(titles, "Runs,Differences,Metrics,Learning curves");
    let row = |section: &str, name: &str| {
        format!(
            "[...document.querySelectorAll('#{section} tr')].map((row) => [...row.children].map((cell) => cell.textContent)).find((row) => row[1] === '{name}').slice(2).join()"
        )
    };
    assert_eq!(browser.eval(&row("differences", "seed")), "30,20");
    assert_eq!(browser.eval(&row("metrics", "macro_f1")), "0.8750,0.8750,0", "what is the same in both is there, too");
    assert_eq!(browser.eval("document.querySelectorAll('#learning-curves .legend i.dashed').length"), 4);
    assert!(painted(&mut browser, ".u-wrap canvas") > 500);
    assert_eq!(browser.errors(), [] as [String; 0]);
    browser.screenshot("comparison");
}

#[test]
fn the_timeline_shows_what_was_found_in_the_cache() {
    let Some(mut browser) = Browser::start() else { return };
    let project = Project::new(PIPELINE);
    report(&project);
    project.edit("arch: [small, large]", "arch: [small, large, huge]");
    let address = report(&project);
    browser.set_up(1280, 1000, false);
    browser.open(&address, DRAWN);
    let legend = "document.querySelector('#timeline .legend').innerText";
    let legend = browser.eval(legend).as_str().unwrap().to_owned();
    assert!(legend.contains("found in the cache (7)"), "{legend}");
    // Of the lowest lane, with room for its label and for the axis below.
    let mark = "(() => { const canvas = document.querySelector('canvas.gantt'); canvas.scrollIntoView({ block: 'center' }); const { left, bottom, width } = canvas.getBoundingClientRect(); const scale = canvas.width / width; const y = canvas.height - Math.round(33 * scale); const row = canvas.getContext('2d').getImageData(0, y, canvas.width, 1).data; const tone = getComputedStyle(document.documentElement).getPropertyValue('--cached').trim(); const is = (at) => '#' + [0, 1, 2].map((part) => row[at * 4 + part].toString(16).padStart(2, '0')).join('') === tone; for (let at = 0; at < canvas.width; at += 1) if (is(at)) return [left + at / scale + 1, bottom - 33]; return null; })()";
    let place = browser.eval(mark);
    let moved = serde_json::json!({ "type": "mouseMoved", "x": place[0], "y": place[1] });
    browser.call("Input.dispatchMouseEvent", moved);
    browser.wait("document.getElementById('tip').textContent.includes('found in the cache')");
    browser.wait("document.getElementById('tip').textContent.includes('data')");
    assert_eq!(browser.errors(), [] as [String; 0]);
    browser.screenshot("report-cached");
}

#[test]
fn a_report_fits_dark_and_narrow_screens() {
    let Some(mut browser) = Browser::start() else { return };
    let project = Project::new(PIPELINE);
    let address = report(&project);
    browser.set_up(390, 844, true);
    browser.open(&address, DRAWN);
    let paper = browser.eval("getComputedStyle(document.body).backgroundColor");
    assert_eq!(paper, "rgb(18, 22, 28)");
    assert_eq!(browser.eval("document.documentElement.scrollWidth"), 390, "nothing sticks out");
    assert!(painted(&mut browser, "canvas.gantt") > 500);
    assert_eq!(browser.errors(), [] as [String; 0]);
    browser.screenshot("report-dark-narrow");
    browser.set_up(1280, 1000, true);
    browser.wait("document.querySelector('canvas.gantt').width > 700");
    browser.screenshot("report-dark");
    let features = serde_json::json!([{ "name": "prefers-color-scheme", "value": "dark" }]);
    browser.call("Emulation.setEmulatedMedia", serde_json::json!({ "media": "print", "features": features }));
    assert_eq!(browser.eval("getComputedStyle(document.body).backgroundColor"), "rgb(255, 255, 255)", "paper is light");
    browser.screenshot("report-print");
}
