//! Drafts of stages: with compiled templates, matrix points and numbered instances.

use std::sync::Arc;

use athanor_stages::kind::{Kind, Ports};
use athanor_stages::ports::{InputPort, OutputPort};

use crate::language::document::Stage;
use crate::language::expression::{Engine, Template};
use crate::language::node::{Key, Node, Value};
use crate::language::scope::Scope;
use crate::language::shape::{Literal, Named};
use crate::language::variable::Listed;
use crate::language::{Diagnostic, Diagnostics, SourceText, suggest};

use super::cluster::ClusterTemplates;
use super::container::ContainerTemplates;
use super::evaluate::{Reported, evaluate};
use super::matrix::{self, Point};
use super::model::InstanceId;
use super::other_syntax;
use super::outputs;
use super::params::{Checked, ParamCheck};
use super::select::instance_name;
use super::shown_values;

/// Draft of a stage: everything that does not depend on other stages.
pub(super) struct Draft<'d, 'e> {
    /// Its name, where it is written.
    pub key: &'d Key,
    /// Its keys.
    pub keys: &'d Stage,
    /// Kind; `None` after a mistake.
    pub kind: Option<&'static dyn Kind>,
    /// The ports of its kind; `None` where the stage names its own.
    pub ports: Option<Vec<InputPort>>,
    /// Its expressions.
    pub templates: Templates<'d, 'e>,
    /// Its instances; `None` when a mistake leaves them unknown.
    pub slots: Option<Vec<Slot>>,
}

/// A stage at one point.
pub(super) struct Slot {
    /// The point.
    pub point: Point,
    /// Its name.
    pub name: String,
    /// State.
    pub state: State,
    /// Output ports; `None` when a mistake, or a false `when`, leaves them unknown.
    pub outputs: Option<Arc<[OutputPort]>>,
    /// The canonical value of its parameters; `None` after a mistake, and where it is dropped.
    pub params: Option<serde_json::Value>,
}

/// State of a stage at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Part of the plan.
    Included(InstanceId),
    /// Its `when` is false.
    Excluded,
    /// Unknown because of a mistake.
    Unknown,
}

/// The expressions of a stage.
pub(super) struct Templates<'d, 'e> {
    /// Inputs, by name.
    pub inputs: Vec<(&'d Key, Template<'e>)>,
    params: Option<Template<'e>>,
    /// The script.
    pub run: Option<Template<'e>>,
    /// The shell that runs it.
    pub shell: Option<Template<'e>>,
    /// Variables that it sets, by name.
    pub env: Vec<(&'d Key, Template<'e>)>,
    /// Container.
    pub container: Option<ContainerTemplates<'e>>,
    /// Paths of the project that are read in place.
    pub reads: Option<Template<'e>>,
    /// Outputs, by name.
    pub outputs: Vec<(&'d Key, Template<'e>)>,
    /// Key of `resources`.
    pub cpus: Option<Template<'e>>,
    /// Key of `resources`.
    pub gpus: Option<Template<'e>>,
    /// Key of `resources`.
    pub memory: Option<Template<'e>>,
    /// Key of `resources`.
    pub gpu_memory: Option<Template<'e>>,
    /// Options of jobs on a cluster.
    pub cluster: ClusterTemplates<'e>,
    /// Time-out.
    pub timeout: Option<Template<'e>>,
    /// Retries.
    pub retries: Option<Template<'e>>,
    /// Seed.
    pub seed: Option<Template<'e>>,
    /// Sandbox.
    pub sandbox: Option<Template<'e>>,
    /// Paths to write to.
    pub writes: Option<Template<'e>>,
    /// Whether it keeps state.
    pub state: Option<Template<'e>>,
    when: Option<Template<'e>>,
}

/// Properties that the instances of a stage share.
struct Common<'c> {
    name: &'c str,
    many: bool,
    templates: &'c Templates<'c, 'c>,
    /// Output ports of its kind that do not depend on parameters.
    fixed: Option<Arc<[OutputPort]>>,
    /// Whether the stage names its own outputs.
    declares: bool,
    /// Whether its outputs are known; if not, what reads them is not to blame.
    known: bool,
}

/// Context of the compilation that drafting needs.
pub(super) struct Drafting<'e> {
    /// Compiles expressions.
    pub engine: &'e Engine,
    /// The texts that spans count in.
    pub texts: &'e [SourceText],
    /// All kinds.
    pub kinds: &'e [&'static dyn Kind],
    /// `vars`.
    pub scope: &'e Scope,
}

impl Drafting<'_> {
    /// Drafts a stage; instances in the plan are numbered from `next` on.
    pub(super) fn draft<'d>(
        &self,
        key: &'d Key,
        keys: &'d Stage,
        next: &mut u32,
        problems: &mut Diagnostics,
    ) -> Draft<'d, '_> {
        let mut found = Vec::new();
        let kind = keys.kind.as_ref().and_then(|kind| self.kind(&kind.name, kind.span, &mut found));
        let templates = self.templates(keys, &mut found);
        let points = self.points(keys, &mut found);
        let (ports, fixed) = match kind.map(Kind::ports) {
            Some(Ports::Fixed { inputs, outputs, outputs_vary }) => {
                (Some(inputs), (!outputs_vary).then(|| Arc::from(outputs)))
            }
            Some(Ports::Declared) | None => (None, None),
        };
        check_keys(key, keys, kind, ports.is_some(), &mut found);
        found.extend(other_syntax::warnings(keys, self.texts));
        problems.extend(found);
        let slots = points.map(|points| {
            let readable = |outputs: &Named<_, _>| outputs.names.len() == outputs.entries.len();
            let known =
                kind.is_some() && !keys.unread.contains(&"outputs") && keys.outputs.as_ref().is_none_or(readable);
            let (many, declares) = (keys.matrix.is_some(), ports.is_none());
            let stage = Common { name: &key.name, many, templates: &templates, fixed, declares, known };
            let mut check = kind.map(|kind| ParamCheck::new(kind, key.span));
            points.into_iter().map(|point| self.slot(&stage, point, check.as_mut(), next, problems)).collect()
        });
        Draft { key, keys, kind, ports, templates, slots }
    }

    fn kind(
        &self,
        name: &str,
        span: crate::language::Span,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<&'static dyn Kind> {
        let kind = self.kinds.iter().copied().find(|kind| kind.name() == name);
        if kind.is_none() {
            let help = suggest::help(name, self.kinds.iter().map(|kind| kind.name()), "kinds");
            problems.push(Diagnostic::new(span, format!("unknown kind `{name}`")).maybe_help(help));
        }
        kind
    }

    fn templates<'d>(&self, keys: &'d Stage, problems: &mut Vec<Diagnostic>) -> Templates<'d, '_> {
        let scope: &[&str] = if keys.matrix.is_some() { &["vars", "matrix"] } else { &["vars"] };
        let run_scope: Vec<&str> = scope.iter().copied().chain(["inputs", "outputs", "resources"]).collect();
        let mut compile = |node: &Node, scope: &[&str]| self.engine.template(node, self.texts, scope, problems);
        let (resources, slurm) = (keys.resources.as_ref(), keys.slurm.as_ref());
        Templates {
            inputs: keys
                .inputs
                .iter()
                .flat_map(|inputs| &inputs.entries)
                .map(|(key, value)| (key, compile(&value.0, scope)))
                .collect(),
            params: keys.params.as_ref().map(|params| compile(&params.0, scope)),
            run: keys.run.as_ref().map(|run| compile(&run.node, &run_scope)),
            env: keys
                .env
                .iter()
                .flat_map(|env| &env.entries)
                .map(|(key, value)| (key, compile(&value.node, &run_scope)))
                .collect(),
            shell: keys.shell.as_ref().map(|shell| compile(&shell.node, scope)),
            container: keys.container.as_ref().map(|container| ContainerTemplates {
                image: container.image.as_ref().map(|value| compile(&value.node, scope)),
                engine: container.engine.as_ref().map(|value| compile(&value.node, scope)),
            }),
            reads: keys.reads.as_ref().map(|reads| compile(&reads.0, scope)),
            outputs: keys
                .outputs
                .iter()
                .flat_map(|outputs| &outputs.entries)
                .map(|(key, value)| (key, compile(&value.node, scope)))
                .collect(),
            cpus: resources.and_then(|keys| keys.cpus.as_ref()).map(|value| compile(&value.node, scope)),
            gpus: resources.and_then(|keys| keys.gpus.as_ref()).map(|value| compile(&value.node, scope)),
            memory: resources.and_then(|keys| keys.memory.as_ref()).map(|value| compile(&value.node, scope)),
            gpu_memory: resources.and_then(|keys| keys.gpu_memory.as_ref()).map(|value| compile(&value.node, scope)),
            cluster: ClusterTemplates {
                time: resources.and_then(|keys| keys.time.as_ref()).map(|value| compile(&value.node, scope)),
                partition: slurm.and_then(|keys| keys.partition.as_ref()).map(|value| compile(&value.node, scope)),
                account: slurm.and_then(|keys| keys.account.as_ref()).map(|value| compile(&value.node, scope)),
                qos: slurm.and_then(|keys| keys.qos.as_ref()).map(|value| compile(&value.node, scope)),
            },
            timeout: keys.timeout.as_ref().map(|value| compile(&value.node, scope)),
            retries: keys.retries.as_ref().map(|value| compile(&value.node, scope)),
            seed: keys.seed.as_ref().map(|value| compile(&value.node, scope)),
            sandbox: keys.sandbox.as_ref().map(|value| compile(&value.node, scope)),
            writes: keys.writes.as_ref().map(|value| compile(&value.0, scope)),
            state: keys.state.as_ref().map(|value| compile(&value.node, scope)),
            when: keys.when.as_ref().map(|value| compile(&value.node, scope)),
        }
    }

    fn points(&self, keys: &Stage, problems: &mut Vec<Diagnostic>) -> Option<Vec<Point>> {
        let Some(matrix) = &keys.matrix else { return Some(vec![Point::default()]) };
        let template = self.engine.template(&matrix.0, self.texts, &["vars"], problems);
        let matrix = template.evaluate(self.scope, problems)?;
        if matrix.value == Value::Null {
            return Some(vec![Point::default()]);
        }
        matrix::points(&matrix, problems)
    }

    fn slot(
        &self,
        stage: &Common<'_>,
        point: Point,
        check: Option<&mut ParamCheck>,
        next: &mut u32,
        problems: &mut Diagnostics,
    ) -> Slot {
        let name = instance_name(stage.name, point.axes.iter().map(|(axis, value)| (&**axis, &*value.label)));
        let scope = self.scope.at(&point, stage.many);
        let templates = stage.templates;
        let mut found = Vec::new();
        let state = match evaluate::<bool>(templates.when.as_ref(), &scope, &mut found) {
            Ok(Some(false)) => State::Excluded,
            Ok(_) => {
                *next += 1;
                State::Included(InstanceId(*next - 1))
            }
            Err(Reported) => State::Unknown,
        };
        let dropped = state == State::Excluded;
        // Parameters may make no sense where `when` is false.
        let checked =
            check.filter(|_| !dropped).and_then(|check| parameters(templates, &scope, self.texts, check, &mut found));
        let (params, by_params) = checked.map_or((None, None), |checked| (Some(checked.params), checked.outputs));
        let outputs = match &stage.fixed {
            _ if !stage.known => None,
            Some(fixed) => Some(Arc::clone(fixed)),
            None if stage.declares => outputs::declared(&templates.outputs, (!dropped).then_some(&scope), &mut found),
            None => by_params,
        };
        problems.extend(found.into_iter().map(|problem| problem.in_instance(stage.many.then_some(&name))));
        Slot { point, name, state, outputs, params }
    }
}

/// Checks the parameters at a point.
fn parameters(
    templates: &Templates<'_, '_>,
    scope: &Scope,
    texts: &[SourceText],
    check: &mut ParamCheck,
    problems: &mut Vec<Diagnostic>,
) -> Option<Checked> {
    let Some(template) = &templates.params else { return check.check(None, problems) };
    let Some(params) = template.evaluate(scope, problems) else {
        check.check_names(&template.keys(), problems);
        return None;
    };
    let before = problems.len();
    let checked = check.check(Some(&params), problems);
    shown_values::with_values(&mut problems[before..], &params, texts, scope);
    checked
}

/// Checks that a stage has the keys that its kind takes.
fn check_keys(key: &Key, keys: &Stage, kind: Option<&'static dyn Kind>, fixed: bool, problems: &mut Vec<Diagnostic>) {
    let Some(kind) = kind else { return };
    if !fixed && keys.run.is_none() && !keys.unread.contains(&"run") {
        let help = "write its script as `run: …`";
        problems.push(Diagnostic::new(key.span, format!("the command `{}` lacks `run`", key.name)).help(help));
    }
    if fixed {
        let message = |noun: &str| format!("`{noun}` is for commands; the kind `{}` has its own", kind.name());
        let help = "take it out, or use `kind: command`";
        if let Some(run) = &keys.run {
            problems.push(Diagnostic::new(run.node.span, message("run")).help(help));
        }
        let first = |listed: &Listed<Literal<String>>| listed.0.first().map(|literal| literal.span);
        for (key, span) in [
            ("shell", keys.shell.as_ref().map(|shell| shell.node.span)),
            ("env", keys.env.as_ref().map(|env| env.span)),
            ("env_passthrough", keys.env_passthrough.as_ref().and_then(|list| list.0.first()).map(|name| name.span)),
            ("versions", keys.versions.as_ref().and_then(first)),
            ("container", keys.container.as_ref().map(|container| container.span)),
            ("state", keys.state.as_ref().map(|state| state.node.span)),
        ] {
            problems.extend(span.map(|span| Diagnostic::new(span, message(key)).help(help)));
        }
        let access = [
            ("reads", keys.reads.as_ref().map(|value| value.0.span)),
            ("sandbox", keys.sandbox.as_ref().map(|value| value.node.span)),
            ("writes", keys.writes.as_ref().map(|value| value.0.span)),
        ];
        for (noun, span) in access.into_iter().filter_map(|(noun, span)| Some((noun, span?))) {
            let message = format!("`{noun}` is for commands; the kind `{}` reads and writes nothing else", kind.name());
            problems.push(Diagnostic::new(span, message).help("take it out"));
        }
        if let Some(outputs) = &keys.outputs {
            let span = outputs.entries.first().map_or(outputs.span, |(key, _)| key.span);
            problems.push(Diagnostic::new(span, message("outputs")).help(help));
        }
    }
}
