//! Lowering of drafted stages to instances: inputs wired, parameters checked, shell lines rendered.

use athanor_stages::artifact::ArtifactType;
use athanor_stages::kind::Kind;
use athanor_stages::ports::{Arity, InputPort};

use crate::language::quantity::{ByteSize, GpuShare};
use crate::language::scalar::{Cpus, Retries, Seed};
use crate::language::scope::Scope;
use crate::language::{Diagnostic, Diagnostics, Shell, suggest};

use super::access::access;
use super::cluster::cluster_options;
use super::command::CommandTemplate;
use super::container::container;
use super::draft::{Draft, Slot, State, Templates};
use super::evaluate::evaluate;
use super::model::{CommandLine, DeclaredRead, Input, Instance, InstanceId, Resources, Work};
use super::reads;
use super::wiring::{Reader, Wiring};

/// Checks the names of a stage's inputs against the ports of its kind.
pub(super) fn check_inputs(draft: &Draft<'_, '_>, problems: &mut Vec<Diagnostic>) {
    let (Some(ports), Some(kind)) = (&draft.ports, draft.kind) else { return };
    for (key, _) in &draft.templates.inputs {
        if !ports.iter().any(|port| port.name == key.name) {
            let help = suggest::help(&key.name, ports.iter().map(|port| port.name.as_str()), "its inputs");
            let message = format!("the kind `{}` has no input `{}`", kind.name(), key.name);
            problems.push(Diagnostic::new(key.span, message).maybe_help(help));
        }
    }
    let given = draft.keys.inputs.iter().flat_map(|inputs| &inputs.names).collect::<Vec<_>>();
    if draft.keys.unread.contains(&"inputs") {
        return;
    }
    let lacking = ports.iter().filter(|port| port.arity != Arity::Optional && !given.contains(&&port.name));
    let lacking: Vec<String> = lacking.map(|port| format!("`{}` ({})", port.name, port.artifact.noun())).collect();
    if !lacking.is_empty() {
        let noun = if lacking.len() == 1 { "its input" } else { "its inputs" };
        let message = format!("the stage `{}` lacks {noun} {}", draft.key.name, lacking.join(", "));
        let help = format!("`athanor kinds {}` describes the inputs", kind.name());
        problems.push(Diagnostic::new(draft.key.span, message).help(help));
    }
}

/// Lowering of one stage.
pub(super) struct Lowering<'s, 'd, 'e> {
    stage: usize,
    draft: &'s Draft<'d, 'e>,
    scope: &'s Scope,
    line: Option<CommandTemplate<'s, 'e>>,
}

impl<'s, 'd, 'e> Lowering<'s, 'd, 'e> {
    /// Lowering of the stage number `stage`; `scope` has `vars`.
    pub(super) fn new(stage: usize, draft: &'s Draft<'d, 'e>, scope: &'s Scope) -> Self {
        let Templates { run, env, inputs, outputs, .. } = &draft.templates;
        let others = || inputs.iter().chain(outputs).map(|(_, template)| template).collect();
        let line = run.as_ref().map(|run| CommandTemplate::new(run, env, others(), draft.keys));
        Lowering { stage, draft, scope, line }
    }

    /// Instances of the stage that are in the plan and free of mistakes.
    pub(super) fn lower(self, wiring: &mut Wiring<'s, 'd, 'e>, problems: &mut Diagnostics) -> Vec<Instance> {
        let draft = self.draft;
        let mut instances = Vec::new();
        if draft.kind.is_none() {
            // Its inputs and parameters cannot be checked.
            return instances;
        }
        let many = draft.keys.matrix.is_some();
        for slot in draft.slots.iter().flatten() {
            let id = match slot.state {
                State::Included(id) => id,
                State::Excluded => continue,
                // There will be no plan; its other mistakes are still to be found.
                State::Unknown => InstanceId::default(),
            };
            let mut found = Vec::new();
            let instance = self.instance(id, slot, many, wiring, &mut found);
            problems.extend(found.into_iter().map(|problem| problem.in_instance(many.then_some(&slot.name))));
            instances.extend(instance);
        }
        instances
    }

    fn instance(
        &self,
        id: InstanceId,
        slot: &'s Slot,
        many: bool,
        wiring: &mut Wiring<'s, 'd, 'e>,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<Instance> {
        let draft = self.draft;
        let templates = &draft.templates;
        let scope = self.scope.at(&slot.point, many);
        let resources = self.resources(&scope, problems);
        let timeout = evaluate(templates.timeout.as_ref(), &scope, problems);
        let retries = evaluate::<Retries>(templates.retries.as_ref(), &scope, problems);
        let seed = evaluate::<Seed>(templates.seed.as_ref(), &scope, problems);
        let shell = evaluate::<Shell>(templates.shell.as_ref(), &scope, problems).map(Option::unwrap_or_default);
        let access = access(templates.sandbox.as_ref(), templates.writes.as_ref(), &scope, problems);
        let cluster = cluster_options(&templates.cluster, draft.keys, &scope, problems);
        let state = evaluate::<bool>(templates.state.as_ref(), &scope, problems);
        let container = container(templates.container.as_ref(), &scope, problems);
        let inputs = self.inputs(slot, &scope, wiring, problems);
        let reads = self.reads(&scope, wiring, problems);
        let params = slot.params.clone();
        let (line, outputs) = (self.line.as_ref().filter(|_| draft.ports.is_none()), slot.outputs.as_deref());
        let (Some(resources), Some(inputs), Some(params), Some(outputs)) = (resources, inputs, params, outputs) else {
            if let (Some(line), Ok(shell)) = (line, shell) {
                line.check(scope, &shell, problems);
            }
            return None;
        };
        let work = match line {
            Some(line) => {
                let line = line.render(scope, shell.ok()?, &inputs, outputs, &resources, problems)?;
                Work::Command(Box::new(CommandLine { reads: reads?, container: container.ok()?, ..line }))
            }
            None if draft.ports.is_some() => Work::BuiltIn { params },
            None => return None,
        };
        Some(Instance {
            id,
            stage: self.stage,
            name: slot.name.clone(),
            point: slot.point.labels(),
            kind: draft.kind?,
            work,
            seed: seed.ok()?.map_or(0, |seed| seed.0),
            inputs,
            outputs: outputs.to_vec(),
            resources,
            resources_span: draft.keys.resources.as_ref().map_or(draft.key.span, |resources| resources.span),
            timeout: timeout.ok()?,
            retries: retries.ok()?.map_or(0, |retries| retries.0),
            access: access.ok()?,
            cluster: cluster.ok()?,
            state: state.ok()?.unwrap_or_default(),
            span: draft.key.span,
        })
    }

    /// Paths of the project that are read in place.
    fn reads(
        &self,
        scope: &Scope,
        wiring: &mut Wiring<'s, 'd, 'e>,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<Vec<DeclaredRead>> {
        let Some(template) = &self.draft.templates.reads else { return Some(Vec::new()) };
        let reads = reads::declared(&template.evaluate(scope, problems)?, problems)?;
        reads.iter().for_each(|(read, span)| wiring.declare(&read.path, *span));
        Some(reads.into_iter().map(|(read, _)| read).collect())
    }

    fn resources(&self, scope: &Scope, problems: &mut Vec<Diagnostic>) -> Option<Resources> {
        let templates = &self.draft.templates;
        let cpus = evaluate::<Cpus>(templates.cpus.as_ref(), scope, problems);
        let gpus = evaluate::<GpuShare>(templates.gpus.as_ref(), scope, problems);
        let memory = evaluate::<ByteSize>(templates.memory.as_ref(), scope, problems);
        let gpu_memory = evaluate::<ByteSize>(templates.gpu_memory.as_ref(), scope, problems);
        if let (Some(template), None) = (&templates.gpu_memory, &templates.gpus) {
            let help = "add `gpus: 1`, or a fraction such as `gpus: 0.5` to share one";
            problems.push(Diagnostic::new(template.span, "`gpu_memory` is for stages that have `gpus`").help(help));
        }
        Some(Resources {
            cpus: match cpus.ok()? {
                None if self.draft.kind.is_some_and(Kind::uses_all_cpus) => None,
                given => Some(given.map_or(1, |cpus| cpus.0)),
            },
            gpus: gpus.ok()?.unwrap_or_default(),
            memory: memory.ok()?,
            gpu_memory: gpu_memory.ok()?,
        })
    }

    /// The inputs in the order of the kind's ports, or as written.
    fn inputs(
        &self,
        slot: &'s Slot,
        scope: &Scope,
        wiring: &mut Wiring<'s, 'd, 'e>,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<Vec<Input>> {
        let draft = self.draft;
        let mut inputs = Vec::new();
        let mut complete = true;
        for (key, template) in &draft.templates.inputs {
            let port = draft.ports.as_ref().map(|ports| ports.iter().find(|port| port.name == key.name));
            let port: Option<&InputPort> = match port {
                // Reported by `check_inputs`.
                Some(None) => {
                    complete = false;
                    continue;
                }
                Some(Some(port)) => Some(port),
                None => None,
            };
            let reader = Reader {
                point: &slot.point,
                artifact: port.map_or(ArtifactType::Any, |port| port.artifact),
                free: port.is_none(),
                port: &key.name,
            };
            let value = template.evaluate(scope, problems);
            match value.and_then(|value| wiring.input(&value, &reader, port, problems)) {
                Some(input) => inputs.push(input),
                None => complete = false,
            }
        }
        if let Some(ports) = &draft.ports {
            inputs.sort_by_key(|input| ports.iter().position(|port| port.name == input.port));
        }
        complete.then_some(inputs)
    }
}
