"""Sizes of reports, and how long a browser draws them.

Runs pipelines of commands with curves (100, 1,000 and 10,000 instances, one that fails among them) and writes their reports; further
pipeline files that are given, with options where they have some, are reported as they are. A browser (Debian's chromium, headless)
opens each report; the CPU time of the page's thread is what counts, since other work on the machine changes it little. Prints a
Markdown table.

Usage: python3 benches/report.py ATHANOR [PIPELINE …] [--sizes 100,1000,10000] [--work DIR]
"""

import argparse
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile
import time

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--window-size=1280,1000",
         "--remote-debugging-pipe"]


def pipeline(instances):
    """A pipeline with this many instances: trainings with curves, and what reads them."""
    models = max(instances // 10, 1)
    rest = instances - models - 1
    return f"""athanor: 1
name: n{instances}
vars: {{ models: [{", ".join(map(str, range(models)))}], rest: [{", ".join(map(str, range(rest)))}] }}
stages:
  data: {{ kind: command, run: "seq 9 > ${{{{ outputs.o }}}}", outputs: {{ o: o }} }}
  model:
    kind: command
    matrix: {{ model: "${{{{ vars.models }}}}" }}
    inputs: {{ i: data }}
    run: |
      awk 'BEGIN {{ for (e = 1; e <= 50; e++) {{ printf "{{\\"event\\":\\"metric\\",\\"name\\":\\"loss\\",\\"value\\":%f,\\"step\\":%d}}\\n", 1 / e + ${{{{ matrix.model }}}} / 1000, e }} }}' >> $ATHANOR_EVENTS
      cat ${{{{ inputs.i }}}} > ${{{{ outputs.o }}}}
    outputs: {{ o: o }}
  prediction:
    kind: command
    matrix: {{ part: "${{{{ vars.rest }}}}" }}
    inputs: {{ i: data }}
    run: |
      [ ${{{{ matrix.part }}}} -ne 7 ] || exit 3
      echo ${{{{ matrix.part }}}} > ${{{{ outputs.o }}}}
    outputs: {{ o: o }}
"""


class Browser:
    """A headless browser, driven over a pipe with its debugging protocol."""

    def __init__(self, program, folder):
        theirs, self.requests = os.pipe()
        self.answers, answers = os.pipe()
        # The browser reads requests at 3 and answers at 4.
        line = f'exec "$@" 3<&{theirs} 4>&{answers}'
        profile = tempfile.mkdtemp(dir=folder)
        command = ["bash", "-c", line, "bash", program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen(command, pass_fds=(theirs, answers), stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        self.buffer, self.last, self.session = b"", 0, None

    def call(self, method, **params):
        self.last += 1
        request = {"id": self.last, "method": method, "params": params}
        if self.session:
            request["sessionId"] = self.session
        os.write(self.requests, json.dumps(request).encode() + b"\0")
        while True:
            while b"\0" not in self.buffer:
                self.buffer += os.read(self.answers, 1 << 20)
            message, self.buffer = self.buffer.split(b"\0", 1)
            answer = json.loads(message)
            if answer.get("id") == self.last:
                return answer.get("result", {})

    def draw(self, page):
        """Milliseconds of CPU time of the page's thread until it is drawn."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Performance.enable", timeDomain="threadTicks")
        self.call("Page.navigate", url=f"file://{page}")
        shown = "document.documentElement.dataset.drawn ?? null"
        while self.call("Runtime.evaluate", expression=shown, returnByValue=True).get("result", {}).get("value") is None:
            time.sleep(0.1)
        time.sleep(0.5)
        metrics = {metric["name"]: metric["value"] for metric in self.call("Performance.getMetrics")["metrics"]}
        return round(metrics["TaskDuration"] * 1000)


def drawn(program, page, folder):
    browser = Browser(program, folder)
    try:
        return browser.draw(page)
    finally:
        browser.process.kill()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("athanor", type=pathlib.Path)
    parser.add_argument("pipelines", nargs="*", help="such as 'pipelines/hpa.yaml --profile smoke'")
    parser.add_argument("--sizes", default="100,1000,10000")
    parser.add_argument("--work", type=pathlib.Path)
    options = parser.parse_args()
    athanor = options.athanor.resolve()
    browser = shutil.which("chromium")
    work = pathlib.Path(tempfile.mkdtemp(dir=options.work))
    cases = []
    for size in [int(size) for size in options.sizes.split(",") if size]:
        folder = work / f"n{size}"
        folder.mkdir()
        (folder / "p.yaml").write_text(pipeline(size))
        subprocess.run([athanor, "run", "p.yaml", "-k"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        cases.append((f"{size:,} instances, one failed", folder, "p.yaml"))
    cases += [(f"`{path}`", pathlib.Path.cwd(), path) for path in options.pipelines]
    print("| report | instances made | size | written in | drawn in |\n| --- | --- | --- | --- | --- |")
    for name, folder, file in cases:
        page = work / "report.html"
        begun = time.perf_counter()
        subprocess.run([athanor, "report", *shlex.split(file), "-o", page], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        took = (time.perf_counter() - begun) * 1000
        text = page.read_text()
        made = len(re.findall(r'"(?:done|cached)"', text[text.index('"instances"'):text.index('"reasons"')]))
        draws = sorted(filter(None, (drawn(browser, page, work) for _ in range(3)))) if browser else []
        shown = f"{draws[len(draws) // 2]} ms" if draws else "no chromium"
        print(f"| {name} | {made:,} | {len(text.encode()) / 1e6:.2f} MB | {took:.0f} ms | {shown} |")
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
