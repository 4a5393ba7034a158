//! Headline metrics: the few numbers that speak for a whole pipeline.

use crate::metric_names::{is_small_better, rank, tells_quality};
use crate::plan::{InstanceId, Plan};

/// Instances whose metrics are looked at, of those that are alone in their stages.
const MAX_ALONE: usize = 40;
/// Instances whose metrics are looked at, of those among which the best one is sought.
const MAX_COMPARED: usize = 200;

/// Metric that speaks for a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Headline {
    /// Instance.
    pub instance: InstanceId,
    /// Metric.
    pub metric: String,
    /// Value.
    pub value: f64,
    /// Number of instances of which this one is the best; 1 if its stage has no other one.
    pub best_of: usize,
}

/// Headline metrics of a plan, the most telling first, at most `most`, by the `numbers` of its instances.
///
/// They are of instances that are the only ones of their stages: a report, an ensemble. Where none of these tells how good
/// something is, as in a comparison of variants, the best variant speaks.
pub(crate) fn headline(plan: &Plan, most: usize, numbers: impl Fn(InstanceId) -> Vec<(String, f64)>) -> Vec<Headline> {
    let stages = stages_by_weight(plan);
    let alone = stages.iter().filter(|instances| instances.len() == 1).take(MAX_ALONE).flatten();
    let mut headline: Vec<Headline> = alone
        .flat_map(|id| {
            let instance = *id;
            numbers(instance).into_iter().map(move |(metric, value)| Headline { instance, metric, value, best_of: 1 })
        })
        .collect();
    headline.sort_by_key(|entry| rank(&entry.metric));
    if !headline.first().is_some_and(|entry| tells_quality(&entry.metric)) {
        let several = stages.iter().filter(|instances| instances.len() > 1);
        let mut left = MAX_COMPARED;
        let compared = several.take_while(|instances| {
            let fits = instances.len() <= left;
            left = left.saturating_sub(instances.len());
            fits
        });
        if let Some(best) = compared.filter_map(|instances| best(instances, &numbers)).next() {
            headline.insert(0, best);
        }
    }
    headline.truncate(most);
    headline
}

/// The best of these instances, by the metric that tells most.
fn best(instances: &[InstanceId], numbers: &impl Fn(InstanceId) -> Vec<(String, f64)>) -> Option<Headline> {
    let of_instance = |id: InstanceId| numbers(id).into_iter().map(move |(metric, value)| (id, metric, value));
    let all: Vec<_> =
        instances.iter().copied().flat_map(of_instance).filter(|(_, metric, _)| tells_quality(metric)).collect();
    let (_, metric, _) = all.iter().min_by_key(|(_, metric, _)| rank(metric))?.clone();
    let of_metric = || all.iter().filter(|(_, name, value)| *name == metric && !value.is_nan());
    let sign = if is_small_better(&metric) { -1.0 } else { 1.0 };
    // Of equals the first one.
    let (instance, _, value) = of_metric().rev().max_by(|one, other| (sign * one.2).total_cmp(&(sign * other.2)))?;
    Some(Headline { instance: *instance, value: *value, best_of: of_metric().count(), metric })
}

/// Instances by stage: stages that no other one reads from first, and of these the last ones first.
fn stages_by_weight(plan: &Plan) -> Vec<Vec<InstanceId>> {
    let mut by_stage: Vec<Vec<InstanceId>> = vec![Vec::new(); plan.stages.len()];
    // Place of the last instance of each stage in the order.
    let mut last: Vec<Option<usize>> = vec![None; plan.stages.len()];
    for (place, id) in plan.order().into_iter().enumerate() {
        let stage = plan.instances[id.index()].stage;
        by_stage[stage].push(id);
        last[stage] = Some(place);
    }
    let mut stages: Vec<usize> = (0..last.len()).filter(|stage| last[*stage].is_some()).collect();
    stages.sort_by_key(|stage| std::cmp::Reverse(last[*stage]));
    stages.sort_by_key(|stage| by_stage[*stage].iter().any(|id| plan.consumers(*id).next().is_some()));
    stages.into_iter().map(|stage| std::mem::take(&mut by_stage[stage])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::SourceText;
    use crate::plan::{Overrides, compile};

    const PIPELINE: &str = "
athanor: 1
name: p
stages:
  data: { kind: command, run: 'echo > ${{ outputs.o }}', outputs: { o: o } }
  model:
    kind: command
    matrix: { rate: [1, 2, 3] }
    run: 'cat ${{ inputs.i }} > ${{ outputs.o }} # ${{ matrix.rate }}'
    inputs: { i: data }
    outputs: { o: o }
";

    fn shown(numbers: impl Fn(&str) -> Vec<(&'static str, f64)>) -> Vec<(String, String, f64, usize)> {
        let source = SourceText { name: "p.yaml".to_owned(), text: PIPELINE.to_owned() };
        let plan = compile(&source, &Overrides::default()).unwrap_or_else(|_| panic!("the pipeline has mistakes"));
        let name = |id: InstanceId| plan.instances[id.index()].name.clone();
        let owned = |id| numbers(&name(id)).into_iter().map(|(metric, value)| (metric.to_owned(), value)).collect();
        headline(&plan, 4, owned)
            .into_iter()
            .map(|entry| (name(entry.instance), entry.metric, entry.value, entry.best_of))
            .collect()
    }

    #[test]
    fn scores_of_a_stage_alone_speak_for_the_pipeline() {
        let found = shown(|name| match name {
            "data" => vec![("loss", 0.5), ("macro_f1", 0.75), ("rows", 7.0)],
            _ => vec![("macro_f1", 1.0)],
        });
        let names: Vec<&str> = found.iter().map(|(_, metric, ..)| metric.as_str()).collect();
        assert_eq!(names, ["macro_f1", "loss", "rows"]);
        assert!(found.iter().all(|(name, .., best_of)| name == "data" && *best_of == 1), "{found:?}");
    }

    #[test]
    fn the_best_variant_speaks_where_nothing_else_tells_how_good_it_is() {
        let of_model = |f1: f64, loss: f64| vec![("accuracy", f1), ("loss", loss)];
        let found = shown(|name| match name {
            "data" => vec![("rows", 7.0)],
            "model[rate=1]" => of_model(0.5, 0.1),
            "model[rate=2]" => of_model(0.75, 0.2),
            _ => of_model(f64::NAN, 0.3),
        });
        let best = ("model[rate=2]".to_owned(), "accuracy".to_owned(), 0.75, 2);
        assert_eq!(found, [best, ("data".to_owned(), "rows".to_owned(), 7.0, 1)]);
        let losses = shown(|name| match name {
            "model[rate=1]" => vec![("loss", 0.2)],
            "model[rate=3]" => vec![("loss", 0.2)],
            "model[rate=2]" => vec![("loss", 0.3)],
            _ => Vec::new(),
        });
        assert_eq!(losses, [("model[rate=1]".to_owned(), "loss".to_owned(), 0.2, 3)]);
        assert_eq!(shown(|_| Vec::new()), []);
    }
}
