//! Shell lines that do something to the inputs of a stage, as stages do or as nobody should.

use fastrand::Rng;

use super::spoils::Spoil;

/// Something a stage does to its inputs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Action {
    /// What comes of it.
    pub(crate) spoil: Spoil,
    /// Whether it does so when its own work is done.
    at_end: bool,
    /// What it does to each stored input, which is `$t`.
    each: &'static str,
}

/// All that stages do.
const ACTIONS: [Action; 17] = [
    now(Spoil::Alter, "files; for f in $files; do chmod u+w $f; echo x >> $f; done"),
    now(Spoil::Alter, "files; for f in $files; do touch -r $f ref; chmod u+w $f; echo x >> $f; touch -r ref $f; done"),
    now(
        Spoil::Alter,
        "files; for f in $files; do touch -r $f ref; chmod u+w $f; printf X | dd of=$f conv=notrunc; touch -r ref $f; chmod u-w $f; done",
    ),
    // As `sed -i` does it.
    now(
        Spoil::Alter,
        "files; for f in $files; do d=$(dirname $f); chmod u+w $d; cp -p $f $d/new; chmod u+w $d/new; echo x >> $d/new; mv -f $d/new $f; done",
    ),
    at_end(Spoil::Alter, "files; for f in $files; do chmod u+w $f; echo x >> $f; done"),
    at_end(Spoil::Alter, "files; for f in $files; do chmod u+w $f; : > $f; echo other > $f; done"),
    now(Spoil::Remove, "folder && test -e $t/text.txt && chmod -R u+w $t && rm $t/text.txt"),
    now(Spoil::Remove, "folder && test -e $t/text.txt && chmod -R u+w $t && mv $t/text.txt $t/other"),
    at_end(Spoil::Remove, "folder && test -e $t/text.txt && chmod -R u+w $t && rm -rf $t"),
    at_end(Spoil::Add, "folder && chmod u+w $t && echo index > $t/labels.cache"),
    at_end(Spoil::Add, "folder && chmod u+w $t && mkdir $t/__pycache__ && echo code > $t/__pycache__/m.pyc"),
    now(Spoil::Nothing, "files; for f in $files; do chmod u+wx $f; done"),
    now(Spoil::Passing, "files; for f in $files; do chmod u+w $f; touch $f; done"),
    now(Spoil::Nothing, "files; for f in $files; do chmod u+w $f; late $f; done"),
    at_end(Spoil::Nothing, "for f in out.txt made.txt second.txt made.d/text.txt; do test ! -f $f || late $f; done"),
    now(
        Spoil::Passing,
        "files; for f in $files; do cp -p $f copy; chmod u+w $f; echo x >> $f; sleep 0.03; cat copy > $f; rm -f copy; done",
    ),
    at_end(
        Spoil::Passing,
        "folder && test -e $t/text.txt && chmod u+w $t && mv $t/text.txt $t/o && sleep 0.03 && mv $t/o $t/text.txt",
    ),
];

const fn now(spoil: Spoil, each: &'static str) -> Action {
    Action { spoil, at_end: false, each }
}

const fn at_end(spoil: Spoil, each: &'static str) -> Action {
    Action { spoil, at_end: true, each }
}

/// A process that makes itself a session, holds a file open, and writes to it when its stage is long gone. The stage goes on
/// when it has begun.
const LATE: &str = r#"late() {
setsid sh -c 'exec 9>> "$2"; : > "$1/late-$$"; while test -d "$1"; do sleep 0.02; done; echo late >&9' \
late-writer "$ATHANOR_PROJECT/broken" "$(readlink -f $1)" < /dev/null > /dev/null 2>&1 &
until test -e "$ATHANOR_PROJECT/broken/late-$!" || ! kill -0 $!; do sleep 0.01; done
}
"#;

impl Action {
    /// One of all.
    pub(crate) fn any(rng: &mut Rng) -> Action {
        ACTIONS[rng.usize(0..ACTIONS.len())]
    }

    /// The shell lines, to be read by a stage's line before it does its work. Files of the user's and copies that the stage may
    /// write to are left alone; of a private copy it does not know that it is one.
    pub(crate) fn lines(&self) -> String {
        let Action { at_end, each, .. } = self;
        let when = if *at_end { "trap every EXIT" } else { "every" };
        format!(
            "set +eu
{LATE}files() {{ files=$(find $t -type f); }}
folder() {{ test -d $t; }}
one() {{
test -e $1 || return 0
t=$(readlink -f $1)
case $t in $ATHANOR_PROJECT/*) return 0;; esac
{{ {each}; }} 2> /dev/null
}}
every() {{
for i in $(find inputs/i*/ -mindepth 1 -name '*.*' -prune 2> /dev/null); do one $i; done
}}
{when}
true
"
        )
    }
}
